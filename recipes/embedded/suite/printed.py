"""E3 with several lines: the beginnings of neighbouring lines of real printed pages.

Whole lines of these manuals are wider than one tile can show, so as many words of each are taken as
fit, and the rest of the page inside the picture is painted over. The text is the page's own text
layer. Single lines are in the material pack already (`generators.pdf`).
"""

from __future__ import annotations

import gzip
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from recipes.embedded import printed_pages
from recipes.embedded.material_table import BY_KEY
from recipes.embedded.materials import Materials
from recipes.embedded.printed_pages import Word
from recipes.embedded.suite.packages import GNUPLOT, POLICY, R_DOC, folder
from recipes.embedded.suite.rows import Row
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Message, TextPart

QUESTION = "Read the text line by line."
WIDTH = 448  # pixels of the picture
MARGIN = 4.0  # points around the letters
SHORTEST, LONGEST = 14, 46  # characters of a line
LETTERS = 0.8  # least share of letters: prose rather than code
MOST_GAP = 9.0  # points between two lines
MOST_INDENT = 2.0  # points by which the beginnings of lines may differ
PAGES_TRIED = 400  # of each manual, in random order
_PLAIN = re.compile(r"[\x20-\x7e]+")
_CODE = re.compile(r"(?:\. ?){4,}|_{3,}|-{4,}|[\\@^{}<>=]|``|''|[a-z][.,;]\d")
MANUALS: dict[str, tuple[tuple[str, str], ...]] = {
    "r-doc": tuple(
        ("r-doc", f"R-{name}.pdf") for name in ("intro", "lang", "data", "admin", "exts", "ints")
    ),
    "gnuplot-doc": (("gnuplot-doc", "gnuplot.pdf"),),
    "debian-policy": (("debian-policy", "policy.pdf.gz"),),
}
_SOURCES = {source.key: source for source in (BY_KEY["r-doc"], R_DOC, GNUPLOT, POLICY)}


@dataclass(frozen=True)
class Printed:
    """The plan: `items` pieces of `lines` lines, in turn from each package."""

    lines: int
    items: int

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        sources = [_pieces(manuals, self.lines, name) for manuals in MANUALS.values()]
        rows: list[Row] = []
        for source in itertools.islice(itertools.cycle(sources), self.items):
            place, text = next(source)
            rows.append(Row(id="", question=QUESTION, targets=[text], drawing=place))
        random.Random(name).shuffle(rows)
        for number, row in enumerate(rows):
            row["id"] = f"{name}/{number}"
        return rows

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item; `InputError` when the page says something else."""
        key, file, page, first = row["drawing"].split("/")
        sheet = _document(key, file)[int(page)]
        lines = printed_pages.page_lines(sheet)
        piece = cut(lines, int(first), self.lines)
        if piece is None or text_of(piece) != row["targets"][0]:
            raise InputError(f"{row['id']}: page {page} of {file} has another text")
        return Message("user", (ImagePart(picture(sheet, lines, piece)), TextPart(row["question"])))


def _pieces(manuals: Sequence[tuple[str, str]], count: int, name: str) -> Iterator[tuple[str, str]]:
    """(place, text) of one piece a page, pages in random order; `InputError` when they run out."""
    rng = random.Random(f"{name}/{manuals[0][0]}")
    pages = [(*manual, page) for manual in manuals for page in range(len(_document(*manual)))]
    for key, file, page in rng.sample(pages, min(PAGES_TRIED, len(pages))):
        lines = printed_pages.page_lines(_document(key, file)[page])
        firsts = [n for n in range(len(lines) - count + 1) if cut(lines, n, count)]
        if firsts:
            first = rng.choice(firsts)
            piece = cut(lines, first, count)
            assert piece is not None
            yield f"{key}/{file}/{page}/{first}", text_of(piece)
    raise InputError(f"{name}: too few pages of {manuals[0][0]} have {count} plain lines")


@lru_cache(maxsize=16)
def _document(key: str, file: str) -> Any:
    """An opened PDF of a package, unpacked where need be."""
    import pypdfium2  # type: ignore[import-untyped]

    path: Path = next(folder(_SOURCES[key]).rglob(file))
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return pypdfium2.PdfDocument(data)


def cut(lines: Sequence[Sequence[Word]], first: int, count: int) -> list[list[Word]] | None:
    """The beginnings of `count` lines from the `first` on; None unless they read well as a block.

    They must stand below one another, start at the same place, and be plain prose.
    """
    piece = [beginning(line) for line in lines[first : first + count]]
    if len(piece) < count or not all(map(_is_prose, piece)):
        return None
    lefts = [line[0].box[0] for line in piece]
    if max(lefts) - min(lefts) > MOST_INDENT:
        return None
    gaps = (
        min(word.box[1] for word in upper) - max(word.box[3] for word in lower)
        for upper, lower in itertools.pairwise(piece)
    )
    return piece if all(-2.0 <= gap <= MOST_GAP for gap in gaps) else None


def beginning(line: Sequence[Word]) -> list[Word]:
    """As many words as `LONGEST` characters hold."""
    taken: list[Word] = []
    length = -1
    for word in line:
        length += 1 + len(word.text)
        if length > LONGEST:
            break
        taken.append(word)
    return taken


def _is_prose(line: Sequence[Word]) -> bool:
    text = " ".join(word.text for word in line)
    signs = [c for c in text if not c.isspace()]
    return (
        len(text) >= SHORTEST
        and _PLAIN.fullmatch(text) is not None
        and _CODE.search(text) is None
        and sum(c.isalpha() for c in signs) >= LETTERS * len(signs)
    )


def text_of(piece: Sequence[Sequence[Word]]) -> str:
    """What the piece says, a line of text for each line of print."""
    return "\n".join(" ".join(word.text for word in line) for line in piece)


def picture(page: Any, lines: Sequence[Sequence[Word]], piece: Sequence[Sequence[Word]]) -> Any:
    """The piece, `WIDTH` pixels wide, RGB; other words of the page are painted over."""
    words = [word for line in piece for word in line]
    left, bottom = (min(word.box[i] for word in words) - MARGIN for i in (0, 1))
    right, top = (max(word.box[i] for word in words) + MARGIN for i in (2, 3))
    wide, high = page.get_size()
    scale = WIDTH / (right - left)
    crop = (left, max(0.0, bottom), max(0.0, wide - right), max(0.0, high - top))
    shown: Image.Image = page.render(scale=scale, crop=crop).to_pil().convert("RGB")
    pen, inside = ImageDraw.Draw(shown), {id(word) for word in words}
    for word in (word for line in lines for word in line if id(word) not in inside):
        x0, y0, x1, y1 = word.box
        box = ((x0 - left) * scale, (top - y1) * scale, (x1 - left) * scale, (top - y0) * scale)
        if box[2] > 0 and box[0] < shown.width and box[3] > 0 and box[1] < shown.height:
            pen.rectangle((box[0] - 2, box[1] - 3, box[2] + scale, box[3] + 3), "white")
    return shown
