"""The stages of the embedded model through the product's own trainer, with the generators here.

    python -m recipes.embedded.learn STAGE --model FOLDER --out FOLDER --time-budget 60m

STAGE is one of `stages/` beside this file (without its ending) or any stage `smolvlm train` knows;
everything else is as there (`docs/training.md`): `--set`, `--resume`, `--workers`. The materials
must have been built (`README.md`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from recipes.embedded.generators import generators
from recipes.embedded.materials import Materials
from smolvlm.cli.train import Training, run
from smolvlm.errors import SmolVLMError
from smolvlm.types import Sample
from smolvlm.weights.cache import cache_folder

STAGES = Path(__file__).parent / "stages"


def bound_generators(assets: Path) -> dict[str, Callable[[int], Sample]]:
    """Every generator as a function of the seed alone."""
    materials = Materials.open(assets)
    return {name: partial(make, materials) for name, make in generators().items()}


def told(args: argparse.Namespace) -> Training:
    """The command line as `smolvlm train` would have been told it."""
    own = STAGES / f"{args.stage}.yaml"
    return Training(
        stage=str(own) if own.exists() else args.stage,
        model=args.model,
        mixture=str(args.mixture),
        out=str(args.out),
        assignments=tuple(args.set),
        time_budget=args.time_budget,
        resume=args.resume,
        dry_run=args.dry_run,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
        save_every=args.save_every,
    )


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mixture", type=Path, default=Path(__file__).parent / "mixture.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--time-budget")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--save-every", type=float, default=240.0)
    args = parser.parse_args()
    try:
        run(told(args), bound_generators(cache_folder() / "assets"))
    except SmolVLMError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
