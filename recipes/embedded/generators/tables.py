"""Tables: real or invented values in seven looks, with questions about cells, rows and headers.

Row 4 of the mixture. The look `HELD_OUT` is drawn for the test split only. Answers are cells as
they are printed. Where the values come from is left to `values`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from recipes.embedded.generators import canvas, lettering, values
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.lettering import Style
from recipes.embedded.generators.questions import Generator, Turn, sample, yes_no
from recipes.embedded.generators.wordings import ORDINALS, ask
from recipes.embedded.materials import Font, Materials, Split, Table
from smolvlm.types import Sample

SIDE = 448  # pixels of the longest side
LARGEST, SMALLEST = 24, 12  # pixels per em
UNANSWERABLE = 0.05  # share of the questions
TINTS = ((230, 240, 250), (240, 240, 240), (235, 245, 230), (252, 240, 225), (245, 232, 245))
FILLS = ((40, 70, 120), (60, 60, 60), (20, 110, 90), (150, 60, 40), (90, 50, 120))


@dataclass(frozen=True)
class Look:
    """How a table is drawn.

    rules: "grid", "rows", "columns", "three" (above and below the header and at the end) or "none".
    header: "plain", "bold", "fill" or "tint". zebra: every second row tinted.
    """

    rules: str
    header: str
    zebra: bool = False


LOOKS: Mapping[str, Look] = {
    "grid": Look("grid", "bold"),
    "filled grid": Look("grid", "fill"),
    "rows": Look("rows", "bold"),
    "zebra": Look("none", "fill", zebra=True),
    "columns": Look("columns", "tint"),
    "bare": Look("none", "bold"),
    "book": Look("three", "plain", zebra=True),
}
HELD_OUT = "book"


@dataclass(frozen=True)
class Printed:
    """A table as it looks: every cell a text."""

    title: str | None
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]  # which columns hold numbers and stand at the right

    def narrower(self) -> Printed:
        """The same table without its last column."""
        rows = tuple(row[:-1] for row in self.rows)
        return Printed(self.title, self.columns[:-1], rows, self.right[:-1])

    def numbers(self, column: int) -> list[float]:
        """The values of a column of numbers, as printed."""
        return [float(row[column].replace(",", "")) for row in self.rows]


def table(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A table of three to eight rows and two to five columns."""
    rng = random.Random(f"table/{seed}")
    source = values.table(
        materials, rng, rows=rng.randint(3, 8), columns=rng.randint(2, 5), split=split
    )
    printed = _print(source, rng)
    names = [HELD_OUT] if split == "test" else [name for name in LOOKS if name != HELD_OUT]
    look = LOOKS[rng.choice(names)]
    picture = _draw(materials, rng, printed, look, split)
    while picture.width > SIDE and len(printed.columns) > 2:  # too wide even in small print
        printed = printed.narrower()
        picture = _draw(materials, rng, printed, look, split)
    return sample("table", seed, [canvas.finish(picture, rng)], about(rng, printed))


def _print(source: Table, rng: random.Random) -> Printed:
    commas = rng.random() < 0.6
    columns = [values.written(cells, commas=commas) for cells in zip(*source.rows, strict=True)]
    numeric = source.numeric()
    return Printed(
        source.title if rng.random() < 0.5 else None,
        source.columns,
        tuple(zip(*columns, strict=True)),
        tuple(i in numeric for i in range(len(source.columns))),
    )


def _draw(
    materials: Materials, rng: random.Random, table: Printed, look: Look, split: Split
) -> Image.Image:
    text = "".join([table.title or "", *table.columns, *(c for row in table.rows for c in row)])
    font = lettering.choose_font(materials, rng, text, split=split)
    bold = lettering.bold_of(materials, font, split) if look.header != "plain" else font
    style, widths = _widths(materials, rng, font, table)
    high = round(style.size * rng.uniform(1.5, 2.1))
    top = (2 * style.size if table.title else 0) + 12
    size = (sum(widths) + 24, min(SIDE, top + high * (len(table.rows) + 1) + 16))
    high = min(high, (size[1] - top - 8) // (len(table.rows) + 1))
    paper = (255, 255, 255) if rng.random() < 0.7 else rng.choice(TINTS)
    headed = Style(bold, round(style.size * 1.15))
    least = round(lettering.width_of(materials, headed, table.title or "")) + 24
    sheet = lettering.paper(rng, max(size[0], least, 200), size[1], paper)
    draw = ImageDraw.Draw(sheet)
    ink = (0, 0, 0) if rng.random() < 0.7 else (40, 40, 60)
    if table.title:
        draw.text((12, 10), table.title, ink, materials.font(bold.name, headed.size))
    lefts = [12 + sum(widths[:i]) for i in range(len(widths) + 1)]
    fill = _fills(draw, rng, look, lefts, top, high, len(table.rows))
    for number, cells in enumerate([table.columns, *table.rows]):
        colour = lettering.ink_on(rng, fill, least=21.5) if number == 0 and fill else ink
        face = materials.font((bold if number == 0 else font).name, style.size)
        for cell, left, width, right in zip(cells, lefts, widths, table.right, strict=False):
            x = left + width - 7 - face.getlength(cell) if right else left + 7
            draw.text((x, top + number * high + high / 2), cell, colour, face, anchor="lm")
    _rules(draw, look, lefts, top, high, len(table.rows))
    return _squarer(sheet, rng, paper)


def _widths(
    materials: Materials, rng: random.Random, font: Font, table: Printed
) -> tuple[Style, list[int]]:
    """The largest style in which all columns fit, or a little less, and the column widths."""
    columns = list(zip(table.columns, *table.rows, strict=True))
    title = table.title or ""
    for em in range(rng.randint(18, LARGEST), SMALLEST - 1, -1):
        style = Style(font, em)
        widths = [
            round(max(lettering.width_of(materials, style, cell) for cell in cells) * 1.1) + 16
            for cells in columns
        ]
        tall = (len(table.rows) + 1) * em * 1.5 + 2 * em
        wide = max(sum(widths), lettering.width_of(materials, style, title) * 1.4)
        if wide <= SIDE - 24 and tall <= SIDE - 30:
            break
    spare = max(0, SIDE - 24 - sum(widths)) // len(widths)
    grow = rng.randint(0, min(spare, 50))
    return style, [width + grow for width in widths]


def _fills(
    draw: ImageDraw.ImageDraw,
    rng: random.Random,
    look: Look,
    lefts: Sequence[int],
    top: int,
    high: int,
    rows: int,
) -> RGB | None:
    """Tint rows and header; the header's colour, None for none."""
    if look.zebra:
        tint = rng.choice(TINTS)
        for number in range(2, rows + 1, 2):
            box = (lefts[0], top + number * high, lefts[-1], top + (number + 1) * high)
            draw.rectangle(box, tint)
    if look.header not in ("fill", "tint"):
        return None
    fill = rng.choice(FILLS if look.header == "fill" else TINTS)
    draw.rectangle((lefts[0], top, lefts[-1], top + high), fill)
    return fill


def _rules(
    draw: ImageDraw.ImageDraw, look: Look, lefts: Sequence[int], top: int, high: int, rows: int
) -> None:
    grey, bottom = (90, 90, 90), top + (rows + 1) * high
    levels = {
        "grid": range(rows + 2),
        "rows": range(rows + 2),
        "columns": (0, 1, rows + 1),
        "three": (0, 1, rows + 1),
        "none": (),
    }[look.rules]
    for level in levels:
        draw.line((lefts[0], top + level * high, lefts[-1], top + level * high), grey)
    if look.rules in ("grid", "columns"):
        for left in lefts:
            draw.line((left, top, left, bottom), grey)


def _squarer(sheet: Image.Image, rng: random.Random, paper: RGB) -> Image.Image:
    """A flat picture gets more paper, so that a square view does not stretch it much."""
    least = round(sheet.width * rng.choice((0.5, 0.65, 0.8)))
    if sheet.height >= least:
        return sheet
    taller = Image.new("RGB", (sheet.width, least), paper)
    taller.paste(sheet, (0, rng.randint(0, least - sheet.height)))
    return taller


def about(rng: random.Random, table: Printed) -> list[Turn]:
    """One to four questions about a table."""
    turns = [_cell(rng, table), _cell(rng, table), *_counts(rng, table)]
    turns += [turn for turn in (_reverse(rng, table), _extreme(rng, table)) if turn]
    turns += [turn for turn in (_compared(rng, table),) if turn]
    if table.title:
        turns.append(Turn(ask(rng, "table title"), table.title))
    turns = [rng.choice(turns) for _ in range(rng.randint(1, 4))]
    if rng.random() < UNANSWERABLE * len(turns):
        turns.append(_missing(rng, table))
    return list({turn.question: turn for turn in turns}.values())


def _cell(rng: random.Random, table: Printed) -> Turn:
    row, column = rng.choice(table.rows), rng.randrange(1, len(table.columns))
    return Turn(ask(rng, "cell", table.columns[column], row[0]), row[column])


def _counts(rng: random.Random, table: Printed) -> list[Turn]:
    row = rng.randrange(len(table.rows))
    return [
        Turn(ask(rng, "row count"), str(len(table.rows))),
        Turn(ask(rng, "column count"), str(len(table.columns))),
        Turn(ask(rng, "headers"), ", ".join(table.columns)),
        Turn(ask(rng, "row number", ORDINALS[row], table.columns[0]), table.rows[row][0]),
    ]


def _reverse(rng: random.Random, table: Printed) -> Turn | None:
    """From a value to its row, where only one row has it."""
    column = rng.randrange(1, len(table.columns))
    cells = [row[column] for row in table.rows]
    row = rng.choice(table.rows)
    if cells.count(row[column]) > 1:
        return None
    names = (table.columns[column], table.columns[0], row[column])
    return Turn(ask(rng, "row of", *names), row[0])


def _numeric(rng: random.Random, table: Printed) -> int | None:
    columns = [i for i, right in enumerate(table.right) if right and i]
    return rng.choice(columns) if columns else None


def _extreme(rng: random.Random, table: Printed) -> Turn | None:
    """The row with the largest or smallest value of a column, where it is the only one."""
    column = _numeric(rng, table)
    if column is None:
        return None
    numbers = table.numbers(column)
    word, best = rng.choice((("largest", max(numbers)), ("smallest", min(numbers))))
    if numbers.count(best) > 1:
        return None
    names = (word, table.columns[column], table.columns[0])
    return Turn(ask(rng, "row with", names[1], word, names[2]), table.rows[numbers.index(best)][0])


def _compared(rng: random.Random, table: Printed) -> Turn | None:
    column = _numeric(rng, table)
    if column is None:
        return None
    numbers = table.numbers(column)
    one, other = rng.sample(range(len(numbers)), 2)
    if numbers[one] == numbers[other]:
        return None
    names = (table.columns[column], table.rows[one][0], table.rows[other][0])
    return Turn(ask(rng, "greater", *names), yes_no(numbers[one] > numbers[other]))


def _missing(rng: random.Random, table: Printed) -> Turn:
    """A column that is not there."""
    others = [name for name, *_ in values.FIGURES if name not in table.columns]
    column = rng.choice(others)
    question = ask(rng, "cell", column, rng.choice(table.rows)[0])
    return Turn(question, f"There is no {column} in the table.")


GENERATORS: Mapping[str, Generator] = {"table": table}
