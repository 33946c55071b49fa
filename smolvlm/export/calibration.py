"""The pictures a model is quantised by: a folder of the user's own, or some that are drawn here.

Real pictures of the kind the model will see are better: layers are rounded so that what these bring
into them stays. Those that are held out say what that cost. What is done with the prompts is left
to `quantize.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from smolvlm.errors import InputError
from smolvlm.evaluation.agreement import Prompt
from smolvlm.media.images import load_image
from smolvlm.media.video_frames import PICTURE_SUFFIXES
from smolvlm.processing.processor import Processor
from smolvlm.types import ImagePart, Message, TextPart

QUESTION = "Describe the image."
DRAWN = 12
DRAWN_SIDE = 448  # pixels
# Fewer pictures than this say little about the ranges of a layer's inputs.
FEW = 8
# Every so many pictures one is not rounded by but measured on.
HELD_OUT = 4
# More are of no use to the ranges, and each takes seconds.
MOST = 64


@dataclass(frozen=True)
class CalibrationSet:
    """Prompts to round by and prompts to measure on; the same ones where there are few.

    source: where they come from, for the receipt.
    """

    source: str
    fitted: tuple[Prompt, ...]
    measured: tuple[Prompt, ...]

    def describe(self) -> dict[str, Any]:
        """What the receipt says."""
        apart = self.fitted is not self.measured
        return {
            "source": self.source,
            "rounded_by": len(self.fitted),
            "measured_on": len(self.measured),
            "measured_on_others": apart,
            "question": QUESTION,
        }


def calibration_set(processor: Processor, folder: Path | None) -> CalibrationSet:
    """The prompts of a folder's pictures, or of the drawn ones; `InputError` if there are none.

    Warns when there are so few that they are both rounded by and measured on.
    """
    if folder is None:
        source, pictures = f"{DRAWN} pictures drawn by smolvlm", drawn_pictures()
    else:
        paths = _paths(folder)
        source = f"{len(paths)} pictures of {folder.resolve().name}"
        pictures = [load_image(path) for path in paths]
    prompts = tuple(make_prompt(processor, picture) for picture in pictures)
    if len(prompts) < FEW:
        warnings.warn(
            f"{len(prompts)} pictures are few to calibrate with, and the receipt is measured on "
            f"the same ones; give {FEW} or more",
            stacklevel=2,
        )
        return CalibrationSet(source, prompts, prompts)
    held = prompts[HELD_OUT - 1 :: HELD_OUT]
    fitted = tuple(p for i, p in enumerate(prompts) if i % HELD_OUT != HELD_OUT - 1)
    return CalibrationSet(source, fitted, held)


def make_prompt(processor: Processor, picture: Any, question: str = QUESTION) -> Prompt:
    """A picture and a question as an engine takes them."""
    message = Message("user", (ImagePart(picture), TextPart(question)))
    inputs = processor([processor.open([message])])
    return Prompt(inputs.tokens(0), inputs.sample_tiles(0))


def drawn_pictures(count: int = DRAWN, side: int = DRAWN_SIDE) -> list[Image.Image]:
    """Shapes and words on shaded grounds, the same ones every time; three in four with noise."""
    rng = np.random.default_rng(0)
    return [_draw(rng, side, noise=12.0 * (number % 4)) for number in range(count)]


def _draw(rng: np.random.Generator, side: int, *, noise: float) -> Image.Image:
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
    ground = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(ground)
    for is_round in rng.permutation([True, False, True, False]):
        x, y, width, height = rng.uniform(0.05, 0.6, 4) * side
        shape = pen.ellipse if is_round else pen.rectangle
        shape((x, y, x + width, y + height), fill=_colour(rng), outline=_colour(rng), width=4)
    words = " ".join(rng.permutation(["open", "closed", "12:45", "north", "milk", "3.99", "stop"]))
    place = tuple(rng.uniform(0.05, 0.7, 2) * side)
    pen.text(place, words[: int(rng.integers(4, 30))], fill=_colour(rng), font_size=side / 12)
    pixels = np.asarray(ground) + rng.normal(0, noise, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _paths(folder: Path) -> Sequence[Path]:
    """The pictures of a folder, evenly spread ones where there are very many."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} to calibrate with; give one with pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no pictures; calibration needs some, {FEW} or more")
    return paths if len(paths) <= MOST else [paths[i * len(paths) // MOST] for i in range(MOST)]
