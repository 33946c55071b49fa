"""How many held-out drawings the whole model names: what the tower knows and the rest can read.

    python -m recipes.embedded.held_out MODEL --pack DIR

The drawings that `align` holds out, each on white as in E1, asked "What is this?"; an answer counts
when one of the drawing's names stands in it. `align` says of the same drawings how many the tower
knows. Nothing here is a test drawing, so what is found may steer training. `learn` does read these
drawings, each once in some thousand samples; the tower, where it is frozen there, does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import smolvlm
from recipes.embedded.align import split_rows
from recipes.embedded.command import exit_code
from recipes.embedded.openmoji import on_white, score
from recipes.embedded.pack import AssetPack
from recipes.embedded.recall import ask, hit
from smolvlm.api import Assistant


def named(assistant: Assistant, pack: AssetPack) -> dict[str, Any]:
    """The share of held-out drawings named right, with its interval, and every answer by id."""
    _, rows = split_rows(pack)
    answers = ask(assistant, (on_white(pack.image(row)) for row in rows))
    said = [pack.row(row) for row in rows]
    hits = [
        hit(answer, [name for name in (row["label"], *row["answers"]) if name])
        for row, answer in zip(said, answers, strict=True)
    ]
    return {
        "score": score(hits),
        "answers": {row["id"]: answer for row, answer in zip(said, answers, strict=True)},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--answers", action="store_true", help="print every answer too")
    args = parser.parse_args(arguments)

    def ask() -> None:
        found = named(smolvlm.load(args.model, max_tiles=1), AssetPack(args.pack))
        shown = found if args.answers else found["score"]
        print(json.dumps(shown, indent=1, ensure_ascii=False))

    return exit_code(ask)


if __name__ == "__main__":
    sys.exit(main())
