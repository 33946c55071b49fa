"""The stages of the embedded model through the product's own trainer, with the generators here.

    python -m recipes.embedded.learn STAGE --model FOLDER --out FOLDER --time-budget 60m

STAGE is one of `stages/` beside this file (without its ending) or any stage `smolvlm train` knows;
everything else is as there (`docs/training.md`): `--set`, `--resume`, `--workers`. The materials
must have been built (`README.md`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from recipes.embedded.command import exit_code
from recipes.embedded.generators import generators
from recipes.embedded.materials import Materials
from smolvlm.cli.train import Training, run
from smolvlm.types import Sample
from smolvlm.weights.cache import cache_folder

HERE = Path(__file__).parent
STAGES, MIXTURE = HERE / "stages", HERE / "mixture.yaml"


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
        mixture=args.mixture,
        out=args.out,
        assignments=tuple(args.set),
        time_budget=args.time_budget,
        resume=args.resume,
        dry_run=args.dry_run,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
        save_every=args.save_every,
    )


def parser() -> argparse.ArgumentParser:
    """The options; those of `smolvlm train` that a stage of this recipe needs."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("stage")
    made.add_argument("--model", default="embedded")
    made.add_argument("--out")
    made.add_argument("--mixture", default=str(MIXTURE))
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    made.add_argument("--time-budget")
    made.add_argument("--resume", action="store_true")
    made.add_argument("--dry-run", action="store_true")
    made.add_argument("--device")
    made.add_argument("--threads", type=int)
    made.add_argument("--workers", type=int)
    made.add_argument("--save-every", type=float, default=240.0)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    args = parser().parse_args(arguments)
    # Only a run needs the materials; what it would do can be read without them.
    return exit_code(
        lambda: run(told(args), {} if args.dry_run else bound_generators(cache_folder() / "assets"))
    )


if __name__ == "__main__":
    sys.exit(main())
