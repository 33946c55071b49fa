"""E1e and E14: the lists written by hand, and the pictures they name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes.embedded.materials import Materials
from recipes.embedded.suite import packages, shown
from recipes.embedded.suite.shown import Shown, distractors, open_picture, read
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, TextPart
from tests.recipes.qt_collections import make_collection

LISTS = {"e1e_words.jsonl": (116, 4), "e14_photos.jsonl": (71, 10)}
NONE: Any = None  # no materials are needed


@pytest.mark.parametrize("file", LISTS)
def test_the_lists_are_whole(file: str) -> None:
    items = list(read(file).values())
    assert len(items) == LISTS[file][0]
    for item in items:
        assert item["package"] in packages.BY_NAME, item["id"]
        assert item["answer"][-1] == "." or item["answer"].isdigit(), item["id"]
        assert len(set(item["keywords"])) == len(item["keywords"]) <= 5, item["id"]
        assert len(item["keywords"]) >= (2 if file.startswith("e14") else 1), item["id"]
    assert len({item["answer"] for item in items}) == len(items)


@pytest.mark.parametrize("file", LISTS)
def test_wrong_answers_are_wrong(file: str) -> None:
    ways = LISTS[file][1]
    by_answer = {item["answer"]: item for item in read(file).values()}
    rows = Shown(file, ways).rows(NONE, "T")
    assert len({row["id"] for row in rows}) == LISTS[file][0]
    assert rows == Shown(file, ways).rows(NONE, "T")
    for row in rows:
        assert len(set(row["choices"])) == ways and row["targets"][0] in row["choices"]
        right = by_answer[row["targets"][0]]
        words = {word.lower() for word in right["keywords"]}
        for other in row["choices"]:
            if other in by_answer and other != right["answer"] and "distractors" not in right:
                assert words.isdisjoint(map(str.lower, by_answer[other]["keywords"])), row["id"]
    places = Counter(row["choices"].index(row["targets"][0]) for row in rows)
    assert len(places) == ways  # the right answer stands anywhere


def test_open_questions_accept_every_keyword() -> None:
    rows = Shown("e14_photos.jsonl").rows(NONE, "E14-open")
    row = next(row for row in rows if row["drawing"].endswith("/chelsea"))
    assert row["targets"] == ["cat", "kitten", "tabby"] and "choices" not in row
    assert [r["drawing"] for r in Shown("e14_photos.jsonl", 10).rows(NONE, "X")] == [
        r["drawing"] for r in rows
    ]


def test_too_few_wrong_answers_are_noticed() -> None:
    listed = list(read("e1e_words.jsonl").values())
    several = next(item for item in listed if item.get("group") == "several")
    with pytest.raises(AssertionError, match="wrong answers"):
        distractors(several, listed, 9, shown.random.Random(0))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for every package."""
    monkeypatch.setattr(shown, "folder", lambda source: tmp_path)
    return tmp_path


def test_a_photograph_is_opened(root: Path) -> None:
    item = read("e14_photos.jsonl")["scikit-image/chelsea"]
    path = root / item["member"]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (2048, 512), (9, 8, 7)).save(path)
    picture = open_picture(item)
    assert (picture.size, picture.mode) == ((1024, 256), "RGB")
    row = next(
        row for row in Shown("e14_photos.jsonl").rows(NONE, "T") if row["drawing"] == item["id"]
    )
    message = Shown("e14_photos.jsonl").message(row, Materials.synthetic())
    assert isinstance(message.parts[0], ImagePart) and message.parts[1] == TextPart(
        item["question"]
    )
    path.unlink()
    with pytest.raises(InputError, match=r"scikit-image 0\.26\.0 has no skimage/data/chelsea\.png"):
        open_picture(item)


def test_a_drawing_out_of_a_collection_stands_on_white(root: Path, tmp_path: Path) -> None:
    item = read("e1e_words.jsonl")["words/apple"]
    drawing = tmp_path / "apple.webp"
    Image.new("RGBA", (60, 60), (255, 0, 0, 0)).save(drawing, lossless=True)
    path = root / shown.COLLECTIONS / "lang.rcc"
    path.parent.mkdir(parents=True)
    path.write_bytes(make_collection({item["member"]: drawing.read_bytes()}))
    picture = open_picture(item)
    np.testing.assert_array_equal(np.asarray(picture), np.full((60, 60, 3), 255))
    with pytest.raises(InputError, match=r"has no .*pear"):
        open_picture(read("e1e_words.jsonl")["words/pear"])
