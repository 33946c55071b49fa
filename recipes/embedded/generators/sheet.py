"""A contact sheet of a generator: twenty samples with their questions and answers, to be looked at.

python -m recipes.embedded.generators.sheet NAME OUT.webp [--first SEED] [--split test]
python -m recipes.embedded.generators.sheet all docs/sheets
"""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from recipes.embedded.command import exit_code
from recipes.embedded.generators import generators
from recipes.embedded.materials import Materials
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Sample, TextPart
from smolvlm.weights.cache import cache_folder

COLUMNS, ROWS = 5, 4
PICTURE, TEXT = 300, 150  # pixels: side of a picture, height of the words beneath
LETTERS = 52  # characters of a line beneath
ALL, QUALITY = "all", 40  # a picture of 300 pixels and its words stay legible at this quality


def contact_sheet(samples: Sequence[Sample], face: ImageFont.FreeTypeFont) -> Image.Image:
    """Up to `COLUMNS` x `ROWS` samples: their pictures, questions and answers, set in `face`."""
    sheet = Image.new("RGB", (COLUMNS * (PICTURE + 10), ROWS * (PICTURE + TEXT)), (225, 225, 225))
    draw = ImageDraw.Draw(sheet)
    for number, sample in enumerate(samples[: COLUMNS * ROWS]):
        left = number % COLUMNS * (PICTURE + 10) + 5
        top = number // COLUMNS * (PICTURE + TEXT) + 5
        strip = _strip(sample)
        sheet.paste(strip, (left, top))
        draw.multiline_text((left, top + PICTURE + 2), _words(sample), "black", face, spacing=1)
    return sheet


def _strip(sample: Sample) -> Image.Image:
    """All pictures of a sample in one square."""
    pictures = [
        part.source
        for message in sample.messages
        for part in message.parts
        if isinstance(part, ImagePart)
    ]
    per_row = 1 if len(pictures) == 1 else 2 if len(pictures) <= 4 else 4
    side = PICTURE // per_row
    square = Image.new("RGB", (PICTURE, PICTURE), (225, 225, 225))
    for number, picture in enumerate(pictures):
        small = picture.copy()
        small.thumbnail((side - 2, side - 2), Image.Resampling.LANCZOS)
        square.paste(small, (number % per_row * side, number // per_row * side))
    return square


def _words(sample: Sample) -> str:
    """Questions and answers as lines; line breaks of an answer shown as `|`."""
    lines = [sample.key]
    for message in sample.messages:
        text = " ".join(part.text for part in message.parts if isinstance(part, TextPart))
        mark = "> " if message.role == "assistant" else ""
        lines += textwrap.wrap(mark + text.strip().replace("\n", " | "), LETTERS)
    return "\n".join(lines[:11])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.embedded.generators.sheet")
    parser.add_argument("name", help="of a generator, or `all`: then OUT is a folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0, help="the first of twenty seeds")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--cache", type=Path, help="default: where smolvlm keeps its files")
    options = parser.parse_args(arguments)

    def draw() -> None:
        materials = Materials.open((options.cache or cache_folder()) / "assets")
        for name, path in _wanted(options.name, options.out).items():
            samples = _samples(materials, name, options.first, options.split)
            face = materials.font(materials.fonts("train", "sans-serif")[0].name, 12)
            contact_sheet(samples, face).save(path, quality=QUALITY)

    return exit_code(draw)


def _wanted(name: str, out: Path) -> dict[str, Path]:
    """Where the sheet of each wanted generator goes."""
    known = generators()
    if name == ALL:
        out.mkdir(parents=True, exist_ok=True)
        return {each: out / f"{each}.webp" for each in known}
    if name not in known:
        raise InputError(f"no generator {name!r}; there are {ALL} and {', '.join(known)}")
    return {name: out}


def _samples(materials: Materials, name: str, first: int, split: str) -> list[Sample]:
    make = generators()[name]
    known = {"split": split} if "split" in inspect.signature(make).parameters else {}
    return [make(materials, seed, **known) for seed in range(first, first + COLUMNS * ROWS)]


if __name__ == "__main__":
    sys.exit(main())
