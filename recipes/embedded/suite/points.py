"""E10-point: where a control of a window is, answered as `x,y` in hundredths of the picture.

The windows are those of `generators.screens` in the look that is kept for measuring. Training wants
the middle of a control; here every point of its box is right, so the rectangles are noted as the
window is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from unittest.mock import patch

from recipes.embedded.generators import screens, skins
from recipes.embedded.generators.wordings import WORDINGS
from recipes.embedded.materials import Materials
from recipes.embedded.suite.drawn import FIRST_SEED, fits_wording, turns
from recipes.embedded.suite.rows import Row
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Message, Sample

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Points:
    """A plan for `items` questions about places."""

    items: int

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        rows: list[Row] = []
        for seed in count(FIRST_SEED):
            if len(rows) == self.items:
                break
            sample, rectangles = drawn(materials, seed)
            row = asked(sample, rectangles, seed)
            if row is not None:
                rows.append(row)
        random.Random(name).shuffle(rows)
        for number, row in enumerate(rows):
            row["id"] = f"{name}/{number}"
        return rows

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item; `InputError` when the window has changed."""
        sample, rectangles = drawn(materials, row["seed"])
        again = asked(sample, rectangles, row["seed"])
        if again is None or {**again, "id": row["id"]} != row:
            raise InputError(f"{row['id']} is no longer what its seed draws; write the lists anew")
        return sample.messages[0] if row["turn"] == 0 else _with_pictures(sample, row)


def _with_pictures(sample: Sample, row: Row) -> Message:
    """A later question, asked first."""
    pictures = sample.messages[0].parts[:-1]
    return Message("user", (*pictures, sample.messages[2 * row["turn"]].parts[-1]))


def drawn(materials: Materials, seed: int) -> tuple[Sample, list[Rectangle]]:
    """The window of a seed, and its rounded rectangles in hundredths of the picture."""
    noted: list[Rectangle] = []

    class Noting(skins.Painter):
        """Draws as its parent does."""

        def window(self, window: skins.Window) -> list[skins.Placed]:
            self.pen = _NotingPen(self.pen, noted)  # type: ignore[assignment]
            return super().window(window)

    with patch.object(skins, "Painter", Noting):
        sample = screens.screen(materials, seed, split="test")
    shown = sample.messages[0].parts[0]
    assert isinstance(shown, ImagePart)
    across, down = 100 / shown.source.width, 100 / shown.source.height
    return sample, [(x0 * across, y0 * down, x1 * across, y1 * down) for x0, y0, x1, y1 in noted]


class _NotingPen:
    """A pen that keeps the rounded rectangles it draws; all else is the real pen's."""

    def __init__(self, pen: Any, noted: list[Rectangle]) -> None:
        self._pen, self._noted = pen, noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pen, name)

    def rounded_rectangle(self, box: Rectangle, *style: Any) -> None:
        self._noted.append(box)
        self._pen.rounded_rectangle(box, *style)


def asked(sample: Sample, rectangles: Sequence[Rectangle], seed: int) -> Row | None:
    """The first question about a place, with the box of what it asks for; None if there is none."""
    for turn, (question, answer) in enumerate(turns(sample)):
        if fits_wording(question, WORDINGS["where"]) and not answer.startswith("There is no"):
            x, y = map(float, answer.split(","))
            box = min((r for r in rectangles if _holds(r, x, y)), key=_area)
            target = ",".join(f"{value:.1f}" for value in box)
            return Row(id="", question=question, targets=[target], seed=seed, turn=turn)
    return None


def _holds(box: Rectangle, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
