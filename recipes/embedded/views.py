"""From a drawing with an alpha channel to the square tile the network sees.

A view is a pure function of (drawing, seed): the drawing is scaled, perhaps mirrored, and put
somewhere on a plain background, never cut off. What the drawing shows is left to `pack`, what the
network makes of it to `align`.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

WHITE_SHARE = 0.5  # of the backgrounds: most drawings that people show stand on white
PALE_SHARE = 0.4  # of the backgrounds; the rest are dark greys
SMALLEST_SHARE = 0.55  # of the tile's side that the drawing's longest side takes, at least
GREY_SHARE, RECOLOURED_SHARE = 0.1, 0.3  # of varied views


def view(drawing: Image.Image, *, side: int, seed: int) -> NDArray[np.uint8]:
    """One tile, uint8 (side, side, 3), of an RGBA drawing; the same seed gives the same tile."""
    return _laid(drawing, side=side, seed=seed)[0]


def _laid(
    drawing: Image.Image, *, side: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The tile (side, side, 3), and how opaque the drawing is on it (side, side)."""
    rng = random.Random(seed)
    longest = round(side * rng.uniform(SMALLEST_SHARE, 1.0))
    scale = longest / max(drawing.size)
    width, height = (max(1, round(length * scale)) for length in drawing.size)
    drawing = drawing.resize((width, height), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        drawing = ImageOps.mirror(drawing)
    tile = Image.new("RGB", (side, side), _background(rng))
    place = (rng.randint(0, side - width), rng.randint(0, side - height))
    tile.paste(drawing, place, drawing)
    alpha = Image.new("L", (side, side))
    alpha.paste(drawing.getchannel("A"), place)
    return np.asarray(tile), np.asarray(alpha)


def blank(*, side: int, seed: int) -> NDArray[np.uint8]:
    """A tile with nothing on it, uint8 (side, side, 3): any one colour."""
    rng = random.Random(seed)
    colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
    return np.asarray(Image.new("RGB", (side, side), colour))


def _background(rng: random.Random) -> tuple[int, int, int]:
    """White, a pale colour, or a dark grey."""
    draw = rng.random()
    if draw < WHITE_SHARE:
        return 255, 255, 255
    if draw < WHITE_SHARE + PALE_SHARE:
        return rng.randint(170, 255), rng.randint(170, 255), rng.randint(170, 255)
    grey = rng.randint(20, 110)
    return grey, grey, grey


def varied_view(drawing: Image.Image, *, side: int, seed: int) -> NDArray[np.uint8]:
    """A `view` whose drawing is also turned a little and changed in colour: uint8 (side, side, 3).

    The same thing by another artist has other colours and other proportions, so neither may decide.
    """
    return covered_view(drawing, side=side, seed=seed)[0]


def covered_view(
    drawing: Image.Image, *, side: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A `varied_view`, and how opaque the drawing is on it: uint8 (side, side, 3), (side, side)."""
    rng = random.Random(seed)
    red, green, blue, alpha = drawing.split()
    colours = Image.merge("RGB", (red, green, blue))
    if rng.random() < GREY_SHARE:
        colours = ImageOps.grayscale(colours).convert("RGB")
    elif rng.random() < RECOLOURED_SHARE:
        hue, *rest = colours.convert("HSV").split()
        turn = rng.randrange(-30, 31)
        hue = hue.point([(value + turn) % 256 for value in range(256)])
        colours = Image.merge("HSV", (hue, *rest)).convert("RGB")
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        colours = enhance(colours).enhance(rng.uniform(0.7, 1.3))
    width, height = colours.size
    stretch = rng.uniform(0.85, 1.18)
    varied = Image.merge("RGBA", (*colours.split(), alpha))
    varied = varied.resize((max(1, round(width * stretch)), height), Image.Resampling.BILINEAR)
    varied = varied.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True)
    return _laid(varied, side=side, seed=rng.getrandbits(32))
