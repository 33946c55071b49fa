"""E10 on real screens: the pictures of the GNOME user documentation, asked about by hand.

`items/e10_gnome.jsonl` holds the questions: what something says, what state it is in, where it is.
Thirteen of the 23 pictures show controls that can be read in one tile; the others are photographs,
diagrams, an icon and bars of 27 to 56 pixels' height.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypedDict

from PIL import Image

from recipes.embedded.materials import Materials
from recipes.embedded.suite.packages import GNOME, folder
from recipes.embedded.suite.rows import ITEMS, Row
from smolvlm.types import ImagePart, Message, TextPart

LIST = "e10_gnome.jsonl"
FIGURES = "usr/share/help/C/gnome-help/figures"
YES_NO = ("Yes.", "No.")
Kind = Literal["text", "state", "point"]


class Listed(TypedDict):
    """One question about the picture `screen`; targets are boxes in hundredths for a point."""

    id: str
    kind: Kind
    screen: str
    question: str
    targets: list[str]


@dataclass(frozen=True)
class Screenshots:
    """The plan: all questions of one kind."""

    kind: Kind

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        rows = [_row(item, name) for item in read() if item["kind"] == self.kind]
        return random.Random(name).sample(rows, len(rows))

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        screen = Image.open(folder(GNOME) / FIGURES / f"{row['drawing']}.png").convert("RGBA")
        page = Image.new("RGBA", screen.size, "white")
        page.alpha_composite(screen)
        return Message("user", (ImagePart(page.convert("RGB")), TextPart(row["question"])))


def _row(item: Listed, name: str) -> Row:
    row = Row(
        id=f"{name}/{item['id']}",
        question=item["question"],
        targets=item["targets"],
        drawing=item["screen"],
    )
    return {**row, "choices": list(YES_NO)} if item["kind"] == "state" else row


@lru_cache(maxsize=1)
def read() -> tuple[Listed, ...]:
    """All questions."""
    lines = (ITEMS / LIST).read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line) for line in lines)
