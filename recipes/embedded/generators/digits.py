"""Mixture row 11, digits: one figure in any training face, large or as coarse as a tiny scan.

Real handwritten digits stay out of training here; the coarse views come near to how such sets look.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from recipes.embedded.generators import canvas
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.questions import Generator, Turn, sample
from recipes.embedded.materials import Materials
from smolvlm.types import Sample

_DIGIT = (
    "Which digit is this?", "What digit is shown?", "What number is this?", "Read the digit.",
    "Which number do you see?", "Name the digit.",
)  # fmt: skip
_COARSE = (20, 24, 28, 28, 40)  # pixels of a side; 28 is usual for handwritten digits


def digit(materials: Materials, seed: int) -> Sample:
    """One digit, ten classes alike."""
    rng = random.Random(f"digit/{seed}")
    value = rng.randint(0, 9)
    glyph = _glyph(rng, str(value), materials)
    if rng.random() < 0.6:
        glyph = _coarse(rng, glyph)
    ink, paper = _tones(rng)
    flat = Image.new("RGB", glyph.size, paper)
    picture = Image.composite(Image.new("RGB", glyph.size, ink), flat, glyph)
    turn = Turn(rng.choice(_DIGIT), str(value))
    return sample("digit", seed, [canvas.finish(picture, rng)], [turn])


def _glyph(rng: random.Random, text: str, materials: Materials) -> Image.Image:
    """The figure as a mask, slanted and turned a little."""
    faces = [font for font in materials.fonts() if font.covers("0123456789")]
    size, side = rng.randint(220, 400), canvas.SIDE
    face = materials.font(rng.choice(faces).name, size) if faces else ImageFont.load_default(size)
    mask = Image.new("L", (side, side))
    middle = side / 2 + rng.uniform(-20, 20), side / 2 + rng.uniform(-20, 20)
    ImageDraw.Draw(mask).text(middle, text, 255, face, anchor="mm")
    shear = rng.uniform(-0.25, 0.25)
    slant = (1, shear, -shear * side / 2, 0, 1, 0)
    mask = mask.transform(mask.size, Image.Transform.AFFINE, slant, Image.Resampling.BILINEAR)
    return mask.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR)


def _coarse(rng: random.Random, mask: Image.Image) -> Image.Image:
    """The mask as a scan of a few pixels, enlarged."""
    side = rng.choice(_COARSE)
    mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0, 5)))
    mask = mask.resize((side, side), Image.Resampling.BOX)
    rough = rng.choice((Image.Resampling.NEAREST, Image.Resampling.BICUBIC))
    return mask.resize((canvas.SIDE, canvas.SIDE), rough)


def _tones(rng: random.Random) -> tuple[RGB, RGB]:
    """(ink, paper): black and white either way, or a dark and a light colour."""
    dark = (rng.randint(0, 70), rng.randint(0, 70), rng.randint(0, 70))
    light = (rng.randint(215, 255), rng.randint(215, 255), rng.randint(215, 255))
    black, white = (0, 0, 0), (255, 255, 255)
    return rng.choice(((white, black), (black, white), (dark, light), (light, dark)))


GENERATORS: Mapping[str, Generator] = {"digit": digit}
