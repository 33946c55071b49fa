"""E10: points in windows that are drawn, and questions about real screenshots."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes.embedded.generators import screens
from recipes.embedded.generators.skins import Painter
from recipes.embedded.materials import Materials
from recipes.embedded.suite import points, screenshots
from recipes.embedded.suite.points import Points, drawn
from recipes.embedded.suite.screenshots import Screenshots
from smolvlm.errors import InputError
from smolvlm.evaluation.metrics import middle, point_in_box
from smolvlm.types import ImagePart, TextPart

NONE: Any = None  # no materials are needed


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials.synthetic()


def test_noting_rectangles_changes_no_picture(materials: Materials) -> None:
    noted, rectangles = drawn(materials, 7)
    plain = screens.screen(materials, 7, split="test")
    pictures = [s.messages[0].parts[0] for s in (noted, plain)]
    assert all(isinstance(part, ImagePart) for part in pictures)
    np.testing.assert_array_equal(*(np.asarray(part.source) for part in pictures))  # type: ignore
    assert points.skins.Painter is Painter  # the drawing class is back
    assert rectangles and all(0 <= v <= 100.5 for box in rectangles for v in box)


def test_the_middle_that_training_wants_is_in_the_box(materials: Materials) -> None:
    plan = Points(12)
    rows = plan.rows(materials, "T")
    assert len({row["seed"] for row in rows}) == 12
    for row in rows:
        sample, _ = drawn(materials, row["seed"])
        answer = sample.messages[2 * row["turn"] + 1].parts[0]
        assert isinstance(answer, TextPart)
        assert point_in_box(answer.text, row["targets"]) == 1.0
        left, top, right, bottom = map(float, row["targets"][0].split(","))
        assert (right - left) * (bottom - top) < 2000  # hundredths squared: never the whole window
        message = plan.message(row, materials)
        assert message.parts[-1] == TextPart(row["question"])
        assert isinstance(message.parts[0], ImagePart)


def test_a_window_that_has_changed_is_refused(materials: Materials) -> None:
    plan = Points(1)
    [row] = plan.rows(materials, "T")
    for change in ({"targets": ["1,2,3,4"]}, {"question": "Where?"}, {"turn": 9}):
        with pytest.raises(InputError, match="no longer what its seed draws"):
            plan.message({**row, **change}, materials)  # type: ignore[typeddict-item]


def test_who_points_at_the_middle_is_right() -> None:
    assert middle("10,20,30,60") == "20.0,40.0"
    assert point_in_box(middle("10,20,30,60"), ["10,20,30,60"]) == 1.0


def test_the_questions_about_screenshots_are_whole() -> None:
    listed = screenshots.read()
    assert len({item["id"] for item in listed}) == len(listed) == 123
    assert Counter(item["kind"] for item in listed) == {"point": 51, "text": 42, "state": 30}
    states = Counter(item["targets"][0] for item in listed if item["kind"] == "state")
    assert states == {"Yes.": 15, "No.": 15}
    for item in listed:
        if item["kind"] == "point":
            left, top, right, bottom = map(float, item["targets"][0].split(","))
            assert 0 <= left < right <= 100 and 0 <= top < bottom <= 100, item["id"]


@pytest.mark.parametrize(("kind", "count"), [("text", 42), ("state", 30), ("point", 51)])
def test_screenshots_are_asked_by_kind(
    kind: Any, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Screenshots(kind)
    rows = plan.rows(NONE, "T")
    assert len(rows) == count and rows == plan.rows(NONE, "T")
    assert all(("choices" in row) == (kind == "state") for row in rows)
    monkeypatch.setattr(screenshots, "folder", lambda source: tmp_path)
    picture = tmp_path / screenshots.FIGURES / f"{rows[0]['drawing']}.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(picture)
    [shown, words] = plan.message(rows[0], NONE).parts
    assert isinstance(shown, ImagePart) and shown.source.getpixel((3, 3)) == (255, 255, 255)
    assert words == TextPart(rows[0]["question"])
