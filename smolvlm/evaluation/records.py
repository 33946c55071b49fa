"""What was said, item by item, as JSON lines: a run that was stopped goes on where it was.

The first line says what was asked and of whom. Answers are kept as they were given and scores are
computed from them afresh, so a changed metric needs no new run. Running is `run.py`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from smolvlm.errors import InputError
from smolvlm.evaluation.tasks import Condition, Reply

RECORDS_FILE = "answers.jsonl"


@dataclass(frozen=True)
class Record:
    """One item's reply. seconds: its share of the time of the batch it was answered in."""

    task: str
    condition: Condition
    id: str
    seconds: float
    text: str = ""
    scores: tuple[float, ...] = ()
    problem: str = ""

    @classmethod
    def of(
        cls, task: str, condition: Condition, item: str, *, seconds: float, reply: Reply
    ) -> Record:
        """The record of a reply."""
        return cls(task, condition, item, seconds, reply.text, reply.scores, reply.problem)

    @property
    def reply(self) -> Reply:
        """What the model made of the item."""
        return Reply(self.text, tuple(self.scores), self.problem)


class Records:
    """The answers of one run, in memory and in a file that grows by a line an answer."""

    def __init__(self, path: Path, held: Mapping[tuple[str, str, str], Record]) -> None:
        self._path = path
        self._held = dict(held)

    @classmethod
    def open(cls, folder: Path, header: Mapping[str, Any]) -> Self:
        """Start or go on in a folder; `InputError` if what lies there is of another run.

        A last line that a kill cut short is dropped.
        """
        path = folder / RECORDS_FILE
        folder.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        whole = lines[:-1]  # what follows the last line break was cut short
        if whole:
            _check_header(json.loads(whole[0]), header, path)
        else:
            whole = [json.dumps(header, ensure_ascii=False)]
        path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
        rows = [Record(**json.loads(line)) for line in whole[1:]]
        return cls(path, {(row.task, row.condition, row.id): row for row in rows})

    def get(self, task: str, condition: Condition, item: str) -> Record | None:
        """The record of an item, if it has been asked."""
        return self._held.get((task, condition, item))

    def add(self, record: Record) -> None:
        """Keep a record, on disk at once."""
        row = {key: value for key, value in asdict(record).items() if value not in ("", ())}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._held[record.task, record.condition, record.id] = record


def _check_header(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    wanted = json.loads(json.dumps(wanted))  # as a file would give it back
    differing = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    if differing:
        changes = "; ".join(f"{k}: {found.get(k)!r} then, {wanted.get(k)!r} now" for k in differing)
        raise InputError(
            f"{path} holds the answers of another run ({changes}); choose another --out folder"
        )
