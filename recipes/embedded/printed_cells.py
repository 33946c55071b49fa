"""Pages of print that know where every character stands.

What a reader has to learn first is local: which characters lie on which part of the picture. A page
is filled with lines of one or several sizes; `Page.marks` gives the centre of every character,
`Page.characters_at` the character at any point, both in pixels of the tile the network sees.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recipes.embedded.generators import canvas, lettering
from recipes.embedded.generators.text import phrase
from recipes.embedded.materials import Font, Materials

SIZES = (*[(448, 448)] * 5, (448, 336), (336, 448), (448, 288))  # (width, height)
STRIP = 0.1  # of the pages are one low strip, as a line that is cut from a page
SMALLEST, LARGEST = 14, 100  # pixels per em
PLAIN_SIZES, PLAIN = (22, 90), 0.75  # sizes of most pages, and their share
MARGIN = 6  # pixels
FIRST, LAST = 32, 126  # code points that are told apart; a blank is the same as nothing
CLASSES = LAST - FIRST + 1
LEAST_BAND = 7.0  # pixels above and below the middle of a line that belong to it, at least
HELD_OUT = 12  # one face in so many is held out
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIGNS = "0123456789.,:;!?-/()%$&'\"+#@"


@dataclass(frozen=True)
class Line:
    """A printed line: edges float64 (n + 1,) of its characters, its band and middle, on paper."""

    text: str
    edges: NDArray[np.float64]
    top: float
    bottom: float


@dataclass(frozen=True)
class Page:
    """A square picture of `side` pixels and the lines on it, which lie on paper of another form.

    paper: (width, height) in pixels; angle: degrees by which the print is turned.
    """

    picture: Image.Image
    lines: tuple[Line, ...]
    paper: tuple[int, int]
    angle: float

    def marks(self) -> list[tuple[Line, NDArray[np.float64]]]:
        """Each line with the centres of its characters in the picture, float64 (n, 2): x, y."""
        return [(line, self._onto_picture(_centres(line))) for line in self.lines]

    def characters_at(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """The class of the character at each point (x, y) of the picture: int64 (N,), 0 none."""
        places = self._onto_paper(points)  # (N, 2)
        found = np.zeros(len(places), dtype=np.int64)
        scale = self.paper[1] / self.picture.height
        for line in self.lines:
            middle = (line.top + line.bottom) / 2
            half = max((line.bottom - line.top) / 2, LEAST_BAND * scale)
            inside = (
                (np.abs(places[:, 1] - middle) <= half)
                & (places[:, 0] >= line.edges[0])
                & (places[:, 0] < line.edges[-1])
            )
            at = np.searchsorted(line.edges, places[inside, 0], side="right") - 1
            codes = np.array([class_of(c) for c in line.text])
            found[inside] = codes[np.clip(at, 0, len(codes) - 1)]
        return found

    def _onto_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        turned: NDArray[np.float64] = _turned(points, self.paper, self.angle) * self._scale()
        return turned

    def _onto_paper(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return _turned(points / self._scale(), self.paper, -self.angle)

    def _scale(self) -> NDArray[np.float64]:
        sizes = (self.picture.size, self.paper)
        of_picture, of_paper = (np.array(size, dtype=np.float64) for size in sizes)
        scale: NDArray[np.float64] = of_picture / of_paper  # (2,)
        return scale


def class_of(character: str) -> int:
    """Which of `CLASSES` a character is; 0 for a blank and all that is not plain ASCII."""
    code = ord(character)
    return code - FIRST if FIRST <= code <= LAST else 0


def _centres(line: Line) -> NDArray[np.float64]:
    across = (line.edges[:-1] + line.edges[1:]) / 2
    return np.stack([across, np.full(len(across), (line.top + line.bottom) / 2)], axis=1)


def _turned(
    points: NDArray[np.float64], paper: tuple[int, int], angle: float
) -> NDArray[np.float64]:
    """Points (N, 2) turned about the middle of the paper, as Pillow turns a picture."""
    middle = np.array(paper) / 2
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    away = points - middle
    turned = np.stack(
        [cosine * away[:, 0] + sine * away[:, 1], cosine * away[:, 1] - sine * away[:, 0]], axis=1
    )
    result: NDArray[np.float64] = turned + middle
    return result


def faces(materials: Materials, *, held_out: bool) -> list[Font]:
    """The faces to learn from, or those of the training split that are kept for a look.

    All of them for both where there are fewer than `HELD_OUT` families.
    """
    fonts = sorted(materials.fonts("train"), key=lambda font: font.name)
    families = sorted({font.family for font in fonts})
    kept = set(families[HELD_OUT - 1 :: HELD_OUT])
    return [font for font in fonts if (font.family in kept) == held_out] or fonts


def printed(materials: Materials, fonts: Sequence[Font], rng: random.Random, *, side: int) -> Page:
    """A page of random print, `side` pixels a side."""
    strip = rng.random() < STRIP
    paper = (448, rng.randint(36, 110)) if strip else rng.choice(SIZES)
    mask = Image.new("L", paper)
    lines = _fill(materials, fonts, rng, mask)
    angle = rng.uniform(-5, 5) if rng.random() < 0.25 and not strip else 0.0
    mask = mask.rotate(angle, Image.Resampling.BICUBIC) if angle else mask
    colour = lettering.paper_colour(rng)
    sheet = lettering.paper(rng, *paper, colour)
    photo = canvas.photo_part(materials, rng, *paper, "train") if rng.random() < 0.15 else None
    if photo is not None:
        sheet = Image.blend(photo, Image.new("RGB", paper, colour), rng.uniform(0.72, 0.88))
    lettering.inked(sheet, mask, (0, 0), lettering.ink_on(rng, colour))
    picture = canvas.finish(sheet, rng).resize((side, side), Image.Resampling.LANCZOS)
    return Page(picture, tuple(lines), paper, angle)


def _fill(
    materials: Materials, fonts: Sequence[Font], rng: random.Random, mask: Image.Image
) -> list[Line]:
    """Write lines from the top to the bottom; what was written."""
    width, height = mask.size
    least, largest = PLAIN_SIZES if rng.random() < PLAIN else (SMALLEST, LARGEST)
    most = max(least, min(largest, height * 0.75))
    size = round(math.exp(rng.uniform(math.log(least), math.log(most))))
    font, spacing = rng.choice(fonts), rng.uniform(1.0, 1.5)
    lines: list[Line] = []
    pen, y = ImageDraw.Draw(mask), float(rng.randint(0, MARGIN))
    while True:
        if lines and rng.random() < 0.2:
            font, size = rng.choice(fonts), max(SMALLEST, round(size * rng.uniform(0.6, 1.4)))
        face = materials.font(font.name, size)
        ascent, descent = face.getmetrics()
        if y + ascent + descent > height:
            return lines
        text = _fitting(_text(materials, font, rng, (width - 2 * MARGIN) / (0.45 * size)), face,
                        width - 2 * MARGIN)  # fmt: skip
        if text.strip():
            x = MARGIN + rng.random() * (width - 2 * MARGIN - face.getlength(text))
            pen.text((x, y), text, 255, face)
            lines.append(_line(text, face, x, y))
        y += (ascent + descent) * spacing * (1 if rng.random() < 0.8 else rng.uniform(1, 2))


def _line(text: str, face: ImageFont.FreeTypeFont, x: float, y: float) -> Line:
    advances = np.array([face.getlength(c) for c in text])
    edges = np.concatenate([[0.0], np.cumsum(advances)])
    edges *= face.getlength(text) / max(edges[-1], 1e-6)
    baseline = y + face.getmetrics()[0]
    size = face.size
    return Line(text, x + edges, baseline - 0.75 * size, baseline + 0.1 * size)


def _text(materials: Materials, font: Font, rng: random.Random, room: float) -> str:
    """About `room` characters that the face can draw: prose, words, numbers, nonsense."""
    count = max(2, round(room * rng.uniform(0.5, 1.1)))
    draw = rng.random()
    if draw < 0.5:
        text = phrase(materials, rng, count, "train")
    elif draw < 0.78:
        words = [rng.choice(materials.words("train")) for _ in range(1 + count // 7)]
        text = " ".join(words)
    else:
        pool = LETTERS if draw < 0.88 else SIGNS if draw < 0.95 else LETTERS.upper() + SIGNS
        text = "".join(" " if rng.random() < 0.12 else rng.choice(pool) for _ in range(count))
    case = rng.random()
    text = text.upper() if case < 0.15 else text.title() if case < 0.28 else text
    return "".join(c for c in lettering.shown(font, text) if c in font.chars and c.isascii())


def _fitting(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """The beginning of `text` that is no wider than `room` pixels."""
    while text and face.getlength(text) > room:
        text = text[: -max(1, len(text) // 12)]
    return text.strip()
