"""Write the item lists of the embedded suite, or draw the suite from them:

    python -m recipes.embedded.suite list  [--tasks E7 ...]    # recipes/embedded/items/*.jsonl
    python -m recipes.embedded.suite build [--out FOLDER]      # pictures and questions

Needs the asset and material packs. `smolvlm eval --suite embedded` finds what `build` wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes.embedded.materials import Materials
from recipes.embedded.suite.build import build, write_lists
from recipes.embedded.suite.plans import PLANS
from smolvlm.errors import SmolVLMError
from smolvlm.weights.cache import cache_folder


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("list", "build"))
    parser.add_argument("--tasks", nargs="*", default=[], help="only these (default: all)")
    parser.add_argument("--assets", type=Path, help="folder of the packs (default: the cache)")
    parser.add_argument("--out", type=Path, help="where the suite goes (default: the cache)")
    args = parser.parse_args()
    unknown = set(args.tasks) - {plan.name for plan in PLANS}
    if unknown:
        parser.error(f"no task {', '.join(sorted(unknown))}")
    plans = [plan for plan in PLANS if not args.tasks or plan.name in args.tasks]
    try:
        materials = Materials.open(args.assets or cache_folder("assets"))
        if args.action == "list":
            write_lists(plans, materials, tell)
        else:
            build(plans, materials, args.out or cache_folder("suites") / "embedded", tell)
    except SmolVLMError as error:
        raise SystemExit(f"error: {error}") from None


def tell(task: str, items: int) -> None:
    """One line a task."""
    print(f"{task}: {items} items", flush=True)


if __name__ == "__main__":
    main()
