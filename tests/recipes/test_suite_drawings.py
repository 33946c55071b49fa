"""The rest of the suite's own pictures: withheld things, charts, print, worn words, changes."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes.embedded.generators import text
from recipes.embedded.labels import is_withheld
from recipes.embedded.materials import Materials, Table
from recipes.embedded.printed_pages import Word
from recipes.embedded.suite import artists, changed, printed, vega
from recipes.embedded.suite.artists import ARTISTS, Artists
from recipes.embedded.suite.rows import ITEMS, Row, read_rows
from recipes.embedded.suite.worn import worn
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Sample


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials.synthetic()


def picture_of(sample: Sample) -> Image.Image:
    part = sample.messages[0].parts[0]
    assert isinstance(part, ImagePart) and isinstance(part.source, Image.Image)
    return part.source


def test_every_thing_of_e1d_is_withheld() -> None:
    rows = read_rows(ITEMS / "e1d.jsonl")
    openmoji = [row for row in rows if row["meta"]["artist"] == "openmoji"]
    assert len(openmoji) == 46
    assert {row["meta"]["artist"] for row in rows} == set(ARTISTS)
    assert all(row["meta"]["withheld"] == "yes" and len(row["choices"]) == 4 for row in rows)
    labels = {row["targets"][0].removesuffix(".") for row in openmoji}
    words = {label.partition(" ")[2] for label in labels} | {label.lower() for label in labels}
    assert sum(is_withheld(word) for word in words) >= 40  # the rest are worded otherwise there
    # The first items of a quick run are by several artists.
    assert len({row["meta"]["artist"] for row in rows[:8]}) == 5


def test_a_drawing_that_its_package_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artists, "withheld", lambda artist, folder: {})
    row = next(r for r in read_rows(ITEMS / "e1d.jsonl") if r["meta"]["artist"] == "noto")
    with pytest.raises(InputError, match="noto has no such drawing"):
        Artists(Path("nowhere")).message(row, Materials.synthetic())


TABLE = Table(
    "goals", "Goals", ("Team", "Home", "Away"),
    (("Reds", 4.0, 3.0), ("Blues", 9.0, 8.0), ("Greens", 6.5, 2.0), ("Golds", 1.0, 5.0)),
)  # fmt: skip


@pytest.fixture
def one_table(materials: Materials, monkeypatch: pytest.MonkeyPatch) -> Materials:
    monkeypatch.setattr(vega, "tables", lambda: (TABLE,))
    monkeypatch.setattr(materials, "tables", lambda split: [])
    return materials


@pytest.mark.parametrize("seed", range(30))
def test_what_is_asked_about_a_chart_is_in_the_table(seed: int) -> None:
    rng = vega.random.Random(seed)
    made = vega.choose(rng, [TABLE])
    cells = {row[0]: row[1:] for row in TABLE.rows}
    for name, column in made.series.items():
        at = TABLE.columns.index(name) - 1
        assert list(column) == [cells[label][at] for label in made.labels]
    for turn in vega.about(rng, made):
        if turn.answer in made.labels:  # an extreme
            [column] = made.series.values()
            value = column[made.labels.index(turn.answer)]
            assert value in (max(column), min(column)) and column.count(value) == 1
        elif turn.answer not in ("Yes.", "No."):
            [label] = [label for label in made.labels if label in turn.question]
            names = [name for name in made.series if len(made.series) == 1 or name in turn.question]
            assert float(turn.answer) in [made.series[n][made.labels.index(label)] for n in names]
    spec = vega.specification(rng, made)
    assert len(spec["data"]["values"]) == len(made.labels) * len(made.series)


def test_tables_that_suit_no_chart_are_refused() -> None:
    below = Table("t", "T", ("Key", "Value"), tuple((f"k{i}", -1.0) for i in range(9)))
    with pytest.raises(InputError, match="none of 1 tables suits"):
        vega.choose(vega.random.Random(0), [below])


def test_a_chart_is_drawn(one_table: Materials) -> None:
    pytest.importorskip("vl_convert")
    first, again = vega.chart(one_table, 5), vega.chart(one_table, 5)
    np.testing.assert_array_equal(picture_of(first), picture_of(again))
    width, height = picture_of(first).size
    assert 440 <= width <= 456 and 330 <= height <= 456
    assert len(np.unique(np.asarray(picture_of(first)).reshape(-1, 3), axis=0)) > 20


def test_without_vega_lite_the_package_is_named(
    one_table: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(InputError, match="vl-convert-python; install it"):
        vega.chart(one_table, 5)


def line(words: str, top: float, left: float = 72.0) -> list[Word]:
    """Words of print, 6 points a letter, 10 points high."""
    found, x = [], left
    for word in words.split():
        found.append(Word(word, (x, top - 10, x + 6 * len(word), top)))
        x += 6 * (len(word) + 1)
    return found


PAGE = [
    line("A first line of print that goes on and on beyond what is taken", 700),
    line("and a second one of nearly the same length, though not quite", 686),
    line("in the third, all ends.", 672),
    line("x <- c(1, 2, 3) # no prose", 658),
    line("An indented line of plain words", 644, left=90),
]


def test_print_is_cut_at_whole_words() -> None:
    piece = printed.cut(PAGE, 0, 3)
    assert piece is not None
    assert printed.text_of(piece) == (
        "A first line of print that goes on and on\n"
        "and a second one of nearly the same length,\n"
        "in the third, all ends."
    )
    assert all(len(row) <= printed.LONGEST for row in printed.text_of(piece).split("\n"))


@pytest.mark.parametrize(("first", "count"), [(1, 3), (2, 2), (0, 4), (3, 2), (4, 2)])
def test_code_indents_and_missing_lines_are_left_out(first: int, count: int) -> None:
    assert printed.cut(PAGE, first, count) is None


def test_the_rest_of_the_page_is_painted_over() -> None:
    class Page:
        """All black, so that white is what was painted."""

        def get_size(self) -> tuple[float, float]:
            return 595.0, 842.0

        def render(self, *, scale: float, crop: tuple[float, ...]) -> Any:
            size = (
                round((595 - crop[0] - crop[2]) * scale),
                round((842 - crop[1] - crop[3]) * scale),
            )
            return type("Bitmap", (), {"to_pil": lambda self: Image.new("RGB", size)})()

    piece = printed.cut(PAGE, 0, 3)
    assert piece is not None
    shown = printed.picture(Page(), PAGE, piece)
    assert abs(shown.width - printed.WIDTH) <= 1
    pixels = np.asarray(shown.convert("L"))
    white = np.flatnonzero((pixels > 0).any(axis=0))
    last = piece[0][-1].box[2]  # the words behind "on and on" go
    assert len(white) and white[0] / printed.WIDTH * 266 > last - 72 - 10
    assert pixels[:, : printed.WIDTH // 2].max() == 0


def test_worn_pictures_keep_their_text(materials: Materials) -> None:
    wear = worn(text.word)
    clean = [text.word(materials, seed, split="test") for seed in range(4)]
    bad = [wear(materials, seed, split="test") for seed in range(4)]
    again = [wear(materials, seed, split="test") for seed in range(4)]
    for one, two, three in zip(clean, bad, again, strict=True):
        assert one.messages[1:] == two.messages[1:]
        assert one.messages[0].parts[1:] == two.messages[0].parts[1:]
        np.testing.assert_array_equal(picture_of(two), picture_of(three))
        was, now = (np.asarray(picture_of(s), np.float32) for s in (one, two))
        assert was.shape == now.shape and np.abs(was - now).mean() > 3
        assert now.std() > 4  # something is still to be seen


@pytest.mark.parametrize(
    "answer",
    [
        "The yellow square grew.",
        "The black star disappeared.",
        "The heart changed from black to brown.",
    ],
)
def test_five_changes_are_offered(answer: str) -> None:
    offered = changed.choices(answer, vega.random.Random(1))
    assert len(set(offered)) == 5 and answer in offered
    assert sum("changed from" in choice for choice in offered) == 1


def test_changes_are_right_as_often_as_they_happen() -> None:
    rows: list[Row] = read_rows(ITEMS / "e12_change.jsonl")
    places = Counter(row["choices"].index(row["targets"][0]) for row in rows)
    assert min(places.values()) >= 10
