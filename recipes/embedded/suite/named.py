"""E1: drawings of single things by an artist who is never trained on (`items/e1_openmoji.jsonl`).

The same drawings are asked about in three ways: which of four or of twenty names, spelt as the
answers in training, and openly. Withheld concepts are part of all, and a task of their own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

from recipes.embedded.assets import ITEMS as DRAWINGS
from recipes.embedded.generators import english
from recipes.embedded.materials import Materials
from recipes.embedded.pack import LONGEST_SIDE
from recipes.embedded.suite.rows import Row
from smolvlm.types import ImagePart, Message, TextPart

QUESTION = "What is this?"
MARGIN = 0.05  # of the picture's side, left free around the drawing
Listed = Mapping[str, Any]  # a line of e1_openmoji.jsonl


@dataclass(frozen=True)
class Named:
    """A plan for drawings: which of them, and at most how many.

    distractors: the key of the list under which the wrong names stand; None for open questions.
    """

    distractors: str | None
    most: int | None = None
    wanted: Callable[[Listed], bool] = bool

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        text = DRAWINGS.read_text(encoding="utf-8")
        listed = [json.loads(line) for line in text.splitlines()]
        random.Random("E1").shuffle(listed)
        chosen = [item for item in listed if self.wanted(item)][: self.most]
        return [self._row(item, name) for item in chosen]

    def _row(self, item: Listed, name: str) -> Row:
        row = Row(
            id=f"{name}/{item['id']}",
            question=QUESTION,
            targets=list(item["keywords"]),
            drawing=f"openmoji/{item['id']}",
            meta={"group": item["group"], "withheld": "yes" if item["withheld"] else "no"},
        )
        if self.distractors is None:
            return row
        names = [spelt(label) for label in (item["answer"], *item[self.distractors])]
        choices = sorted(set(names))
        random.Random(row["id"]).shuffle(choices)
        return {**row, "targets": names[:1], "choices": choices}

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        drawing = materials.drawings.image(places(materials)[row["drawing"]])
        return Message("user", (ImagePart(on_white(drawing)), TextPart(row["question"])))


def spelt(label: str) -> str:
    """A label as the trained model would answer: `An orangutan.`."""
    return english.sentence(english.with_article(label))


@lru_cache(maxsize=4)
def places(materials: Materials) -> dict[str, int]:
    """Where each drawing of the test split is in the pack."""
    drawings = materials.drawings
    return {drawings.row(index)["id"]: index for index in drawings.indices("test")}


def on_white(drawing: Image.Image) -> Image.Image:
    """An RGBA drawing in the middle of a white square of `LONGEST_SIDE` pixels, RGB."""
    inner = round(LONGEST_SIDE * (1 - 2 * MARGIN))
    scale = inner / max(drawing.size)
    width, height = (max(1, round(length * scale)) for length in drawing.size)
    drawing = drawing.resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (LONGEST_SIDE, LONGEST_SIDE), "white")
    place = ((LONGEST_SIDE - width) // 2, (LONGEST_SIDE - height) // 2)
    square.paste(drawing, place, drawing)
    return square
