"""Pictures with known contents: boxes, where they go, backgrounds, and pasting drawings into them.

A `Scene` is the truth about one picture; everything that is asked (`asking`) is read from it and
everything that is seen (`paint`) is drawn from it. Coordinates are pixels from the top left corner.
What the things are is left to `shapes` and `sprites`.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageFont, ImageOps

from recipes.embedded.generators import colours
from recipes.embedded.generators.colours import RGB
from recipes.embedded.materials import Materials, Split

SIDE = 448  # pixels; the tile of the embedded model
SIZES = ((448, 448), (448, 448), (448, 336), (336, 448), (384, 384))  # (width, height)
MOST_OVERLAP = 0.04  # of the smaller of two boxes; data-sources.md 3.5 allows 0.15
LEAST_CONTRAST = 95.0  # colour distance between a thing and what is behind it
_EDGE_CONTRAST = 90.0  # colour distance from which a pixel of an edge can be seen
# wallpapers among the photographs of the materials that are drawn
_DRAWN_WALLPAPERS = frozenset(
    {
        "Fossa_by_Jasper_Roks",
        "Infinite-Sea_by_Aury88",
        "Painting-Colors_by__herobrine7gamer",
        "Autumn",
        "summer_1am",
    }
)
_TRIES = 40  # random places tried for a box before everything is made smaller
_SHRINK = 0.92
_PLAIN_FONTS = ("sans-serif", "serif", "monospace")


@dataclass(frozen=True)
class Box:
    """An upright rectangle."""

    left: int
    top: int
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the middle."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> int:
        """Square pixels."""
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """Common area as a share of the smaller box."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0, wide) * max(0, high) / max(1, min(self.area, other.area))


@dataclass(frozen=True)
class Thing:
    """One thing of a scene.

    name: its noun without article. box: where it is. colour: its basic colour where that is known;
    `rgb` the drawn one. size: "small", "medium" or "large" for shapes. sprite: its index in the
    drawings, None for a shape.
    """

    name: str
    box: Box
    colour: str | None = None
    rgb: RGB | None = None
    size: str | None = None
    sprite: int | None = None
    mirrored: bool = False

    @property
    def phrase(self) -> str:
        """How it is called: "red circle", "duck"."""
        return self.name if self.sprite is not None else f"{self.colour} {self.name}"


@dataclass(frozen=True)
class Scene:
    """The truth about one picture of `width` x `height` pixels; `backdrop` seeds its background."""

    width: int
    height: int
    things: tuple[Thing, ...]
    backdrop: Backdrop


@dataclass(frozen=True)
class Backdrop:
    """What is behind the things: `kind` "plain", "gradient" or "photo"; `colour` its mean."""

    kind: str
    colour: RGB
    seed: int
    split: Split = "train"


def backdrop(
    rng: random.Random,
    *,
    avoid: Sequence[RGB] = (),
    dark: bool = True,
    kinds: Sequence[str] = ("plain", "plain", "plain", "gradient", "photo"),
    split: Split = "train",
) -> Backdrop:
    """A background that differs from every colour in `avoid`; `dark` False keeps it light."""
    kind = rng.choice(kinds)
    for _ in range(60):
        colour = _back_colour(rng, dark)
        if all(colours.distance(colour, other) >= LEAST_CONTRAST + 25 for other in avoid):
            break
    else:
        grey = max(range(0, 256, 5), key=lambda v: _nearest((v, v, v), avoid))
        colour, kind = (grey, grey, grey), "plain"
    return Backdrop(kind, colour, rng.getrandbits(32), split)


def _nearest(colour: RGB, others: Sequence[RGB]) -> float:
    return min(colours.distance(colour, other) for other in others)


def _back_colour(rng: random.Random, dark: bool) -> RGB:
    draw = rng.random()
    if draw < 0.4:
        return 255, 255, 255
    if draw < 0.75 or not dark:
        return rng.randint(185, 255), rng.randint(185, 255), rng.randint(185, 255)
    if draw < 0.9:
        grey = rng.randint(10, 90)
        return grey, grey, grey
    return rng.randint(20, 130), rng.randint(20, 130), rng.randint(20, 130)


def paint_backdrop(back: Backdrop, width: int, height: int, materials: Materials) -> Image.Image:
    """The background as an RGB picture. A photograph is faded, so that it asserts nothing."""
    rng = random.Random(back.seed)
    names = materials.backgrounds(back.split) if back.kind == "photo" else []
    if names:
        photo = _crop(_photo(materials, rng.choice(names)), width, height, rng)
        flat = Image.new("RGB", (width, height), back.colour)
        photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 4)))
        return Image.blend(photo, flat, rng.uniform(0.72, 0.85))
    if back.kind == "gradient":
        shift = rng.randint(15, 35) * rng.choice((-1, 1))
        other = tuple(min(255, max(0, c + shift)) for c in back.colour)
        ramp = Image.linear_gradient("L").resize((width, height))
        ramp = ramp.transpose(Image.Transpose.ROTATE_180) if rng.random() < 0.5 else ramp
        plain = Image.new("RGB", (width, height), back.colour)
        return Image.composite(Image.new("RGB", (width, height), other), plain, ramp)
    return Image.new("RGB", (width, height), back.colour)


@lru_cache(maxsize=64)
def _photo(materials: Materials, name: str) -> Image.Image:
    picture = materials.picture(name)
    picture.thumbnail((2 * SIDE, 2 * SIDE))
    return picture


def _crop(photo: Image.Image, width: int, height: int, rng: random.Random) -> Image.Image:
    """A random part of `photo`, at least half of it, in the wanted shape."""
    scale = min(photo.width / width, photo.height / height) * rng.uniform(0.55, 1.0)
    wide, high = int(width * scale), int(height * scale)
    left, top = rng.randint(0, photo.width - wide), rng.randint(0, photo.height - high)
    return photo.resize((width, height), box=(left, top, left + wide, top + high))


def photo_part(
    materials: Materials, rng: random.Random, width: int, height: int, split: Split
) -> Image.Image | None:
    """A random part of a random photograph; None when the materials hold none."""
    names = [name for name in materials.backgrounds(split) if name not in _DRAWN_WALLPAPERS]
    return _crop(_photo(materials, rng.choice(names)), width, height, rng) if names else None


def place(
    rng: random.Random, sizes: Sequence[tuple[int, int]], width: int, height: int
) -> list[Box]:
    """A box for each (width, height) in `sizes`, inside the picture and almost without overlap.

    Where they do not fit, all are made smaller by the same factor.
    """
    scale = 1.0
    while True:
        boxes: list[Box] = []
        for wide, high in sizes:
            scaled = min(int(wide * scale), width - 4), min(int(high * scale), height - 4)
            box = _free(rng, (max(4, scaled[0]), max(4, scaled[1])), (width, height), boxes)
            if box is None:
                break
            boxes.append(box)
        if len(boxes) == len(sizes):
            return boxes
        scale *= _SHRINK


def _free(
    rng: random.Random, size: tuple[int, int], within: tuple[int, int], taken: Sequence[Box]
) -> Box | None:
    """A box of `size` at a random free place; both sizes are (width, height)."""
    for _ in range(_TRIES):
        left, top = (
            rng.randint(2, most - side - 2) for side, most in zip(size, within, strict=True)
        )
        box = Box(left, top, *size)
        if all(box.overlap(other) <= MOST_OVERLAP for other in taken):
            return box
    return None


def paste(picture: Image.Image, drawing: Image.Image, thing: Thing) -> None:
    """Put an RGBA drawing into the box of `thing`."""
    if thing.mirrored:
        drawing = ImageOps.mirror(drawing)
    drawing = drawing.resize(
        (thing.box.width, thing.box.height), Image.Resampling.BILINEAR, reducing_gap=2
    )
    picture.paste(drawing, (thing.box.left, thing.box.top), drawing)


def paint(
    scene: Scene, materials: Materials, look: Callable[[Thing], Image.Image], seed: str
) -> Image.Image:
    """The picture of a scene; `look` gives the RGBA drawing of a thing."""
    picture = paint_backdrop(scene.backdrop, scene.width, scene.height, materials)
    for thing in scene.things:
        paste(picture, look(thing), thing)
    return finish(picture, random.Random(seed))


def finish(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Sometimes the traces of a camera or a file: softening, light, JPEG. RGB."""
    draw = rng.random()
    if draw < 0.55:
        return picture
    if draw < 0.7:
        return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))
    if draw < 0.8:
        factor = rng.uniform(0.9, 1.06)
        return picture.point([min(255, int(v * factor)) for v in range(256)] * 3)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=rng.randint(45, 92))
    return Image.open(buffer).convert("RGB")


def contrast(edge: NDArray[np.int32], colour: RGB) -> float:
    """Share of the edge pixels (K, 3) of a drawing that stand out from a plain `colour`."""
    apart = ((edge - np.array(colour, np.int32)) ** 2).sum(1)  # (K,)
    return float((apart > _EDGE_CONTRAST**2).mean()) if len(edge) else 0.0


def typeface(
    materials: Materials, rng: random.Random, size: int, *, text: str, split: Split = "train"
) -> ImageFont.FreeTypeFont:
    """A plain printed face of the split that has every character of `text`.

    Pillow's own face where the materials hold none.
    """
    faces = [
        font
        for font in materials.fonts(split)
        if font.category in _PLAIN_FONTS and font.covers(text) and not font.caps
    ]
    if faces:
        return materials.font(rng.choice(faces).name, size)
    face = ImageFont.load_default(size)
    assert isinstance(face, ImageFont.FreeTypeFont), "this Pillow was built without FreeType"
    return face
