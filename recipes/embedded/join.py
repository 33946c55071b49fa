"""One model of two: the tower and the connector of one folder, the language model of another.

    python -m recipes.embedded.join TOWER TEXT OUT

`align` never touches the language model, so what it makes of an early folder can be read by a
language model that has learned more since. Settings and tokenizer are those of TOWER.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipes.embedded.command import exit_code
from recipes.embedded.sides import copy_settings
from smolvlm.errors import InputError
from smolvlm.training.parts import part_of
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import write_checkpoint


def join(tower: Path, text: Path, out: Path) -> None:
    """Write the joined model to `out`; `InputError` for language models of two forms."""
    if out.resolve() in (tower.resolve(), text.resolve()):
        raise InputError(f"{out} is one of the two models; choose another folder for the result")
    eyes, words = open_checkpoint(tower), open_checkpoint(text)
    if eyes.config.text != words.config.text:
        raise InputError(f"{tower} and {text} have language models of different forms")
    copy_settings(tower, out)
    write_checkpoint(
        out, {n: (words if part_of(n) == "text" else eyes).raw(n) for n in eyes.names()}
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tower", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    return exit_code(lambda: join(args.tower, args.text, args.out))


if __name__ == "__main__":
    sys.exit(main())
