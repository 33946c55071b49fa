"""How the eight shapes look: corner points in a unit square, sizes of equal area, RGBA drawings.

A shape is drawn three times too large and scaled down, so that its edges are smooth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from recipes.embedded.generators.canvas import Thing

_ASPECT = {"rectangle": 0.52, "diamond": 1.45}  # height / width; the others are about square
_OVERSAMPLED = 3


def draw(thing: Thing) -> Image.Image:
    """The RGBA drawing of a shape, as large as its box."""
    assert thing.rgb is not None
    wide, high = thing.box.width * _OVERSAMPLED, thing.box.height * _OVERSAMPLED
    mask = Image.new("L", (wide, high))
    pen = ImageDraw.Draw(mask)
    if thing.name == "circle":
        pen.ellipse((0, 0, wide - 1, high - 1), fill=255)
    else:
        pen.polygon([(x * (wide - 1), y * (high - 1)) for x, y in outline(thing.name)], fill=255)
    mask = mask.resize((thing.box.width, thing.box.height), Image.Resampling.BOX)
    picture = Image.new("RGBA", mask.size, (*thing.rgb, 255))
    picture.putalpha(mask)
    return picture


def outline(name: str) -> list[tuple[float, float]]:
    """Corner points of a shape in a unit square, x to the right and y down."""
    if name == "star":
        points = [
            (0.5 + r * math.sin(math.pi * k / 5), 0.5 - r * math.cos(math.pi * k / 5))
            for k, r in ((k, 0.5 if k % 2 == 0 else 0.2) for k in range(10))
        ]
        return _stretched(points)
    if name == "heart":
        turns = [2 * math.pi * k / 60 for k in range(60)]
        points = [
            (
                16 * math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
            )
            for t in turns
        ]
        return _stretched(points)
    third = 0.33
    corners: dict[str, list[tuple[float, float]]] = {
        "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "rectangle": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "triangle": [(0.5, 0), (1, 1), (0, 1)],
        "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
        "cross": [
            (third, 0),
            (1 - third, 0),
            (1 - third, third),
            (1, third),
            (1, 1 - third),
            (1 - third, 1 - third),
            (1 - third, 1),
            (third, 1),
            (third, 1 - third),
            (0, 1 - third),
            (0, third),
            (third, third),
        ],
    }
    return corners[name]


def _stretched(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points moved and scaled until they fill the unit square."""
    xs, ys = zip(*points, strict=True)
    return [
        ((x - min(xs)) / (max(xs) - min(xs)), (y - min(ys)) / (max(ys) - min(ys)))
        for x, y in points
    ]


def extent(name: str, side: int) -> tuple[int, int]:
    """(width, height) of a shape whose area is about that of a square of `side` pixels."""
    aspect = _ASPECT.get(name, 1.0)
    return max(8, round(side / math.sqrt(aspect))), max(8, round(side * math.sqrt(aspect)))
