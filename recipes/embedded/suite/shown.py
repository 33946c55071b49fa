"""E1e and E14: drawings and photographs of other packages, with words written by hand.

A list (`items/e1e_words.jsonl`, `items/e14_photos.jsonl`) says for each picture where it is, what
is asked, how a person would answer and which words count. Every picture was looked at for it. The
same list is asked openly and as a choice.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NotRequired, TypedDict

from PIL import Image

from recipes.embedded.materials import Materials
from recipes.embedded.qt_resources import members
from recipes.embedded.suite.packages import BY_NAME, GCOMPRIS, folder
from recipes.embedded.suite.rows import ITEMS, Row
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Message, TextPart

LONGEST_SIDE = 1024  # pixels; larger photographs are made smaller
COLLECTIONS = "usr/share/gcompris-qt/rcc"


class Listed(TypedDict):
    """One picture of a hand-written list.

    package: a key of `packages.BY_NAME`. member: its path there. answer: what is right, a sentence.
    keywords: words that count in an open answer. group: wrong answers are taken from the same one.
    distractors: wrong answers, where those of the group would be right too.
    """

    id: str
    package: str
    member: str
    question: str
    answer: str
    keywords: list[str]
    group: NotRequired[str]
    distractors: NotRequired[list[str]]


@dataclass(frozen=True)
class Shown:
    """The plan: the pictures of a list, asked openly or (`ways` above 1) as a choice of so many."""

    file: str
    ways: int = 1

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        listed = list(read(self.file).values())
        chosen = random.Random(self.file).sample(listed, len(listed))
        return [self._row(item, listed, name) for item in chosen]

    def _row(self, item: Listed, listed: Sequence[Listed], name: str) -> Row:
        row = Row(
            id=f"{name}/{item['id']}",
            question=item["question"],
            targets=list(item["keywords"]),
            drawing=item["id"],
        )
        if "group" in item:
            row["meta"] = {"group": item["group"]}
        if self.ways == 1:
            return row
        rng = random.Random(row["id"])
        choices = [item["answer"], *distractors(item, listed, self.ways - 1, rng)]
        rng.shuffle(choices)
        return {**row, "targets": [item["answer"]], "choices": choices}

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        picture = open_picture(read(self.file)[row["drawing"]])
        return Message("user", (ImagePart(picture), TextPart(row["question"])))


@lru_cache(maxsize=4)
def read(file: str) -> dict[str, Listed]:
    """The pictures of a list by their ids."""
    lines = (ITEMS / file).read_text(encoding="utf-8").splitlines()
    items: list[Listed] = [json.loads(line) for line in lines]
    return {item["id"]: item for item in items}


def distractors(
    item: Listed, listed: Sequence[Listed], count: int, rng: random.Random
) -> list[str]:
    """Wrong answers of the same group: those of pictures that share no accepted word with it."""
    if "distractors" in item:
        return item["distractors"][:count]
    words = set(map(str.lower, item["keywords"]))
    others = {
        other["answer"]
        for other in listed
        if other.get("group") == item.get("group")
        and words.isdisjoint(map(str.lower, other["keywords"]))
    }
    assert len(others) >= count, f"{item['id']}: only {len(others)} wrong answers"
    return rng.sample(sorted(others), count)


def open_picture(item: Listed) -> Image.Image:
    """The picture as RGB, transparent parts white; `InputError` when its package lacks it."""
    source = BY_NAME[item["package"]]
    root = folder(source)
    if source is GCOMPRIS:
        activity = item["member"].split("/")[3]
        blob = _collection(root / COLLECTIONS / f"{activity}.rcc").get(item["member"])
    else:
        path = root / item["member"]
        blob = path.read_bytes() if path.is_file() else None
    if blob is None:
        raise InputError(f"{source.package} {source.version} has no {item['member']}")
    picture = Image.open(io.BytesIO(blob)).convert("RGBA")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return page.convert("RGB")


@lru_cache(maxsize=4)
def _collection(path: Path) -> dict[str, bytes]:
    return dict(members(path))
