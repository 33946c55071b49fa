"""Drawing a record as a document: eight looks, one held out for each kind of document.

A look says where the head stands, how labels and values, rows and boxes are set, and which rules
are drawn. The page is set in the largest size in which it fits. What stands in it is left to
`records`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFont

from recipes.embedded.generators import lettering
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.lettering import Style
from recipes.embedded.generators.records import (
    Goods,
    Head,
    Lines,
    Pairs,
    Prose,
    Record,
    Ticks,
)
from recipes.embedded.materials import Font, Materials, Split

TALLEST = 448  # pixels
MARGIN = 16
LARGEST, SMALLEST = 22, 10  # pixels per em
ACCENTS = ((30, 70, 130), (130, 30, 40), (20, 100, 70), (90, 50, 120), (50, 50, 50), (170, 90, 10))


@dataclass(frozen=True)
class Look:
    """How a document is set.

    head: "left", "center", "right", "banner" (on a coloured bar) or "frame". pairs: "colon",
    "columns", "dots", "boxes" or "stacked". goods: "plain", "rules", "grid", "zebra" or "dots".
    rule: between blocks "solid", "dashed" or "none". categories: of the faces.
    """

    head: str
    pairs: str
    goods: str
    rule: str
    categories: tuple[str, ...] = ("sans-serif",)


LOOKS: Mapping[str, Look] = {
    "till": Look("center", "columns", "plain", "dashed", ("monospace",)),
    "plain": Look("left", "colon", "plain", "none", ("sans-serif", "serif")),
    "banner": Look("banner", "columns", "zebra", "none"),
    "ruled": Look("left", "colon", "rules", "solid", ("serif",)),
    "boxed": Look("frame", "boxes", "grid", "none"),
    "dotted": Look("center", "dots", "dots", "none", ("serif", "display")),
    "modern": Look("right", "stacked", "rules", "solid", ("sans-serif",)),
    "office": Look("right", "colon", "grid", "dashed", ("serif", "sans-serif")),
}
HELD_OUT: Mapping[str, str] = {  # the look of each kind that only the test split shows
    "receipt": "dotted",
    "invoice": "modern",
    "letter": "office",
    "form": "boxed",
    "business card": "banner",
    "menu": "ruled",
    "ticket": "office",
    "schedule": "boxed",
}


def look_names(kind: str, split: Split) -> list[str]:
    """The looks a kind of document may have in a split."""
    held = HELD_OUT[kind]
    return [held] if split == "test" else [name for name in LOOKS if name != held]


def draw(
    materials: Materials, rng: random.Random, record: Record, look: Look, split: Split
) -> Image.Image:
    """The document as an RGB picture, at most `TALLEST` pixels on a side."""
    font = lettering.choose_font(
        materials, rng, record.text, categories=look.categories, split=split
    )
    hand = lettering.choose_font(
        materials, rng, record.text, categories=("handwriting",), split=split
    )
    width = rng.choice((300, 336)) if record.kind in ("receipt", "menu") else rng.choice((400, 448))
    paper = (
        (255, 255, 255)
        if rng.random() < 0.65
        else (rng.randint(238, 255), rng.randint(236, 252), 235)
    )
    hand = hand if rng.random() < 0.6 else font
    bold = lettering.bold_of(materials, font, split)
    page = Page(materials, look, (font, bold, hand), rng.choice(ACCENTS), width)
    for em in range(rng.randint(17, LARGEST), SMALLEST - 1, -1):
        page = replace(page, em=em)
        height, widest = page.set(record, None)
        if height <= TALLEST and widest <= width - MARGIN + 2:
            break
    height = min(TALLEST, max(height, round(width * rng.choice((0.55, 0.7, 0.85)))))
    sheet = lettering.paper(rng, width, height, paper)
    page.set(record, sheet)
    return sheet


@dataclass(frozen=True)
class Page:
    """A page being set. Every method takes the height it starts at and returns where it ends."""

    materials: Materials
    look: Look
    fonts: tuple[Font, Font, Font]  # of the text, its bold face, and what is filled in by hand
    accent: RGB
    width: int
    em: int = LARGEST

    def set(self, record: Record, sheet: Image.Image | None) -> tuple[int, int]:
        """Draw on `sheet`, or only measure (None); the height and width that are needed."""
        canvas = sheet or Image.new("RGB", (1, 1))  # measuring needs no room
        draw = Pen(ImageDraw.Draw(canvas), self.materials)
        top = MARGIN
        for number, block in enumerate(record.blocks):
            if number and self.look.rule != "none" and isinstance(block, Goods | Pairs):
                top = self._rule(draw, top)
            if isinstance(block, Head):
                top = self._head(draw, block.text, top)
            elif isinstance(block, Lines):
                top = self._lines(draw, block, top)
            elif isinstance(block, Prose):
                style = Style(self.fonts[0], self.em)
                lines = lettering.wrap(self.materials, style, block.text, self.width - 2 * MARGIN)
                top = self._lines(draw, Lines(tuple(lines)), top)
            elif isinstance(block, Pairs):
                top = self._pairs(draw, block, top)
            elif isinstance(block, Goods):
                top = self._goods(draw, block, top)
            else:
                top = self._ticks(draw, block, top)
            top += self.em // 2
        return top + MARGIN // 2, draw.right

    def _face(
        self, *, scale: float = 1.0, bold: bool = False, hand: bool = False
    ) -> ImageFont.FreeTypeFont:
        font = self.fonts[2] if hand else self.fonts[1] if bold else self.fonts[0]
        if hand and font is not self.fonts[0]:
            scale *= 1.2  # handwriting faces are small
        return self.materials.font(font.name, round(self.em * scale))

    @property
    def _step(self) -> int:
        return round(self.em * 1.42)

    def _rule(self, draw: Pen, top: int) -> int:
        step = 8 if self.look.rule == "dashed" else self.width
        for left in range(MARGIN, self.width - MARGIN, step):
            end = min(left + (5 if self.look.rule == "dashed" else step), self.width - MARGIN)
            draw.pen.line((left, top + 2, end, top + 2), (110, 110, 110))
        return top + 8

    def _head(self, draw: Pen, text: str, top: int) -> int:
        face, ink = self._face(scale=1.35, bold=True), (0, 0, 0)
        high = round(self._step * 1.35)
        if self.look.head == "banner":
            draw.pen.rectangle((0, top - MARGIN, self.width, top + high + 6), self.accent)
            ink, top = (255, 255, 255), top - 2
        elif self.look.head == "frame":
            draw.pen.rectangle(
                (MARGIN - 6, top - 4, self.width - MARGIN + 6, top + high), None, self.accent, 2
            )
        draw.text(text, self._place(draw, text, face), top, face, ink)
        return top + high + 4

    def _place(self, draw: Pen, text: str, face: ImageFont.FreeTypeFont) -> float:
        """Where a line of the head starts."""
        spare = self.width - 2 * MARGIN - face.getlength(text)
        share = {"left": 0.0, "banner": 0.0, "right": 1.0}.get(self.look.head, 0.5)
        return MARGIN + max(0.0, spare * share)

    def _lines(self, draw: Pen, block: Lines, top: int) -> int:
        face = self._face()
        for line in block.lines:
            left = self._place(draw, line, face) if block.centred else MARGIN
            draw.text(line, left, top, face, (20, 20, 20))
            top += self._step
        return top

    def _pairs(self, draw: Pen, block: Pairs, top: int) -> int:
        set_ = self.look.pairs if not block.sums or self.look.pairs != "stacked" else "columns"
        widest = max(self._face(bold=True).getlength(f"{label}:") for label, _ in block.pairs)
        for number, (label, value) in enumerate(block.pairs):
            last = block.sums and number == len(block.pairs) - 1
            plain = self._face(bold=last)
            face = self._face(bold=last, hand=block.by_hand)
            ink = (
                (20, 30, 110) if block.by_hand and self.fonts[2] is not self.fonts[0] else (0, 0, 0)
            )
            length = face.getlength(value)
            if set_ == "stacked":
                draw.text(label, MARGIN, top, self._face(scale=0.8), self.accent)
                draw.text(value, MARGIN, top + round(self._step * 0.75), face, ink)
                top += max(
                    round(self._step * 1.9), round(self._step * 0.75) + sum(face.getmetrics())
                )
                continue
            left = MARGIN + widest + self.em * 0.7
            if set_ in ("columns", "dots"):
                left = max(left, self.width - MARGIN - length)
            if set_ == "dots":
                start = MARGIN + plain.getlength(label) + 6
                _dots(draw.pen, start, left - 6, top + self.em)
            if set_ == "boxes":
                box = (left - 5, top - 1, self.width - MARGIN, top + self._step - 2)
                draw.pen.rectangle(box, None, (120, 120, 120))
            draw.text(f"{label}:" if set_ == "colon" else label, MARGIN, top, plain, (20, 20, 20))
            draw.text(value, left, top, face, ink)
            top += self._step + (4 if set_ == "boxes" else 0)
        return top

    def _goods(self, draw: Pen, block: Goods, top: int) -> int:
        face, bold, style = self._face(), self._face(bold=True), self.look.goods
        named = any(block.columns)
        rows = [block.columns, *block.rows] if named else list(block.rows)
        widths = [max(bold.getlength(c) for c in column) for column in zip(*rows, strict=True)]
        rights = [_is_number(column) for column in zip(*block.rows, strict=True)]
        lefts = self._columns(draw, widths)
        for number, cells in enumerate(rows):
            header = named and number == 0
            if style == "zebra" and number % 2 == 1:
                draw.pen.rectangle(
                    (MARGIN - 6, top - 2, self.width - MARGIN + 6, top + self._step - 3),
                    (228, 234, 242),
                )
            for cell, left, wide, right in zip(cells, lefts, widths, rights, strict=True):
                used = bold if header else face
                start = left + wide - used.getlength(cell) if right else left
                draw.text(cell, start, top, used, (0, 0, 0))
            if style == "dots" and len(cells) == 2:
                _dots(
                    draw.pen, lefts[0] + face.getlength(cells[0]) + 6, lefts[1] - 6, top + self.em
                )
            top += self._step
            if style == "grid" or (style == "rules" and (header or number == len(rows) - 1)):
                draw.pen.line(
                    (MARGIN - 6, top - 3, self.width - MARGIN + 6, top - 3), (120, 120, 120)
                )
        return top

    def _columns(self, draw: Pen, widths: Sequence[float]) -> list[float]:
        """Where the columns start: the last ends at the margin, the spare room is shared."""
        spare = self.width - 2 * MARGIN - sum(widths)
        gap = spare / max(1, len(widths) - 1)
        if gap < self.em * 0.6:
            draw.right = max(draw.right, self.width + 1)  # too tight: a smaller size is needed
        return [MARGIN + sum(widths[:i]) + gap * i for i in range(len(widths))]

    def _ticks(self, draw: Pen, block: Ticks, top: int) -> int:
        face, side = self._face(), round(self.em * 0.95)
        for label, ticked in block.boxes:
            box = (MARGIN, top + 2, MARGIN + side, top + 2 + side)
            draw.pen.rectangle(box, "white", (40, 40, 40), 2)
            if ticked:
                left, high = MARGIN, top + 2
                marks = [
                    (left + side * x, high + side * y)
                    for x, y in ((0.2, 0.5), (0.45, 0.78), (0.85, 0.2))
                ]
                draw.pen.line(marks, (20, 20, 20), max(2, side // 7))
            draw.text(label, MARGIN + side + 8, top, face, (20, 20, 20))
            top += self._step + 3
        return top


class Pen:
    """Puts text on a page and remembers how far to the right it went."""

    def __init__(self, pen: ImageDraw.ImageDraw, materials: Materials) -> None:
        self.pen = pen
        self.right = 0

    def text(
        self, text: str, left: float, top: float, face: ImageFont.FreeTypeFont, ink: RGB
    ) -> None:
        """One line with its top left corner at (left, top)."""
        self.pen.text((left, top), text, ink, face)
        self.right = max(self.right, round(left + face.getlength(text)))


def _dots(pen: ImageDraw.ImageDraw, left: float, right: float, top: float) -> None:
    for x in range(round(left), round(right), 6):
        pen.point((x, top), (60, 60, 60))
        pen.point((x + 1, top), (60, 60, 60))


def _is_number(cells: Sequence[str]) -> bool:
    return all(
        any(c.isdigit() for c in cell) and not any(c.isalpha() for c in cell) for cell in cells
    )
