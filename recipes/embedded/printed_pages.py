"""Short pieces of real printed pages with the text they show, cut from PDF files with a text layer.

A piece is part of a line, one line or several lines, at most `LONGEST` characters wide so that it
stays readable in one tile. A piece is kept only when nothing else of the page reaches into its box
and its text is plain ASCII after ligatures and typographic signs are undone. Needs `pypdfium2`.
"""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LONGEST = 46  # characters of a line; about 10 pixels each in a tile of 448
WIDTH = 440  # pixels of the longest side, at most
MARGIN = 2.0  # points around the letters
LINES = (1, 1, 2, 3, 3, 5, 8)  # how many are taken; several rarely pass the other rules
LETTERS = 0.8  # least share of letters among the signs of a piece: prose rather than code
WIDEST_GAP = 1.5  # between words, in line heights; a wider one is a column or a page number
LINE_HEIGHT = 30  # pixels a single line may grow to
PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u00a0": " ",
        "\x02": "-",
        "\ufffe": "-",
        "\u00ad": "-",
    }
)
_ORDINARY = re.compile(r"[\x20-\x7e]+")
_CODE = re.compile(r"(?:\. ?){4,}|_{3,}|-{4,}|[\\@^{}]|``|''")  # leaders, rules, commands


@dataclass(frozen=True)
class Word:
    """One printed word and its box in points: left, bottom, right, top."""

    text: str
    box: tuple[float, float, float, float]


def pieces(path: Path, rng: random.Random, pages: int) -> Iterator[tuple[str, str, Image.Image]]:
    """(name, text, picture) of up to two pieces on each of up to `pages` pages of one PDF."""
    import pypdfium2  # type: ignore[import-untyped]  # only building the pack needs it

    document = pypdfium2.PdfDocument(path)
    for number in sorted(rng.sample(range(len(document)), min(pages, len(document)))):
        page = document[number]
        lines = page_lines(page) if page.get_rotation() == 0 else []
        for turn in range(2):
            found = _choose(lines, rng)
            if found is not None:
                yield f"{path.stem}-{number + 1}-{turn}", *_cut(page, found)
    document.close()


def page_lines(page: object) -> list[list[Word]]:
    """The lines of a `pypdfium2.PdfPage`, each a list of the words that lie on the page."""
    layer = page.get_textpage()  # type: ignore[attr-defined]
    text = layer.get_text_range()
    if len(text) != layer.count_chars():
        return []
    width, height = page.get_size()  # type: ignore[attr-defined]
    lines: list[list[Word]] = []
    for line in re.finditer(r"[^\r\n]+", text):
        words = []
        for word in re.finditer(r"\S+", line.group()):
            start = line.start() + word.start()
            boxes = [layer.get_charbox(start + i) for i in range(len(word.group()))]
            box = _union(boxes)
            if 0 < box[0] < box[2] < width and 0 < box[1] < box[3] < height:
                words.append(Word(_plain(word.group()), box))
        if words:
            lines.append(words)
    return lines


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(PLAIN))


def _union(boxes: list[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


def _choose(lines: list[list[Word]], rng: random.Random) -> list[list[Word]] | None:
    """Some lines, or part of one, that read well and stand alone; None after 20 tries."""
    for _ in range(20 if lines else 0):
        first = rng.randrange(len(lines))
        count = rng.choice(LINES)
        chosen = lines[first : first + count]
        if count == 1:
            start = rng.randrange(len(chosen[0]))
            chosen = [chosen[0][start : start + rng.randint(1, 7)]]
        if len(chosen) == count and _is_readable(chosen) and _stands_alone(chosen, lines):
            return chosen
    return None


def _is_readable(chosen: list[list[Word]]) -> bool:
    texts = [_text(line) for line in chosen]
    letters = sum(c.isalpha() for text in texts for c in text)
    total = sum(not c.isspace() for text in texts for c in text)
    return (
        all(_ORDINARY.fullmatch(text) and len(text) <= LONGEST for text in texts)
        and not any(_CODE.search(text) for text in texts)
        and letters >= max(3, LETTERS * total)
        and not any(text.endswith(" .") for text in texts)
        and all(map(_is_even, chosen))
        and _is_column(chosen)
    )


def _is_even(line: list[Word]) -> bool:
    """True when the words follow each other without a wide gap."""
    height = max(word.box[3] - word.box[1] for word in line)
    gaps = (after.box[0] - word.box[2] for word, after in itertools.pairwise(line))
    return all(-1.0 <= gap <= WIDEST_GAP * height for gap in gaps)


def _is_column(chosen: list[list[Word]]) -> bool:
    """True when each line lies below the one before, not far, and is about as tall."""
    boxes = [_union([word.box for word in line]) for line in chosen]
    heights = [top - bottom for _, bottom, _, top in boxes]
    if min(heights) < 4 or max(heights) > 30:
        return False
    gaps = [upper[1] - lower[3] for upper, lower in itertools.pairwise(boxes)]
    return all(-1.0 <= gap <= 12.0 for gap in gaps)


def _stands_alone(chosen: list[list[Word]], lines: list[list[Word]]) -> bool:
    """True when no other word of the page touches the box."""
    left, bottom, right, top = _union([word.box for line in chosen for word in line])
    inside = {id(word) for line in chosen for word in line}
    return not any(
        word.box[0] < right + 1
        and word.box[2] > left - 1
        and word.box[1] < top + 0.5
        and word.box[3] > bottom - 0.5
        for line in lines
        for word in line
        if id(word) not in inside
    )


def _text(line: list[Word]) -> str:
    return " ".join(word.text for word in line)


def _cut(page: object, chosen: list[list[Word]]) -> tuple[str, Image.Image]:
    """The text of a piece and its picture, grey, at most `WIDTH` pixels on a side."""
    words = [word for line in chosen for word in line]
    left, bottom, right, top = _union([word.box for word in words])
    width, height = page.get_size()  # type: ignore[attr-defined]
    box = (
        max(0.0, left - MARGIN),
        max(0.0, bottom - MARGIN),
        max(0.0, width - right - MARGIN),
        max(0.0, height - top - MARGIN),
    )
    across, up = width - box[0] - box[2], height - box[1] - box[3]
    scale = min(WIDTH / across, LINE_HEIGHT * len(chosen) * 1.4 / up, WIDTH / up)
    picture = page.render(scale=scale, crop=box).to_pil()  # type: ignore[attr-defined]
    return "\n".join(map(_text, chosen)), picture.convert("L")
