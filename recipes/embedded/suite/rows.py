"""One line of a committed item list, and what every kind of task offers to the builder.

A row says what is asked and what is right, and from which seed or drawing its picture is made; the
picture itself is never kept. `list` writes rows, `build` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict

from recipes.embedded.materials import Materials
from smolvlm.errors import InputError
from smolvlm.evaluation.tasks import Kind
from smolvlm.types import Message

ITEMS = Path(__file__).parents[1] / "items"


class Row(TypedDict):
    """What is asked of one picture; `seed` and `turn`, or `drawing`, say how it is made."""

    id: str
    question: str
    targets: list[str]
    seed: NotRequired[int]
    turn: NotRequired[int]
    drawing: NotRequired[str]
    choices: NotRequired[list[str]]
    meta: NotRequired[dict[str, str]]


class ItemSource(Protocol):
    """Where the items of a task come from."""

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`, in random order, the same every time."""
        ...

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item; pictures are RGB PIL images.

        `InputError` where what is drawn now is not what the list says.
        """
        ...


@dataclass(frozen=True)
class Plan:
    """A task of the suite: its name and scores, and where its items come from.

    listed: whether its rows are kept in a file of their own under `items/`.
    """

    name: str
    title: str
    kind: Kind
    metrics: tuple[str, ...]
    source: ItemSource
    target: float | None = None
    max_new_tokens: int = 32
    listed: bool = True


def read_rows(path: Path) -> list[Row]:
    """A committed item list; `InputError` when there is none."""
    if not path.is_file():
        raise InputError(f"{path.name} is missing; run `python -m recipes.embedded.suite list`")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON, one row a line."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
