"""Records survive a kill, and answers of different runs are never mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from smolvlm.errors import InputError
from smolvlm.evaluation.records import RECORDS_FILE, Record, Records
from smolvlm.evaluation.tasks import Reply

HEADER = {"suite": {"digest": "a"}, "model": {"name": "m"}}


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    records = Records.open(tmp_path / "new", HEADER)
    reply = Reply("Grüße\nzwei", (-1.5, -2.25), "")
    records.add(Record.of("E7", "real", "1", seconds=0.5, reply=reply))
    records.add(Record.of("E7", "grey", "1", seconds=0.5, reply=Reply(problem="too long")))
    again = Records.open(tmp_path / "new", HEADER)
    held = again.get("E7", "real", "1")
    assert held is not None and held.reply == reply
    problem = again.get("E7", "grey", "1")
    assert problem is not None and problem.reply == Reply(problem="too long")
    assert again.get("E7", "shuffled", "1") is None


def test_a_line_cut_short_is_dropped(tmp_path: Path) -> None:
    records = Records.open(tmp_path, HEADER)
    for name in "ab":
        records.add(Record.of("E7", "real", name, seconds=0.0, reply=Reply("x")))
    path = tmp_path / RECORDS_FILE
    path.write_bytes(path.read_bytes()[:-9])
    again = Records.open(tmp_path, HEADER)
    assert again.get("E7", "real", "a") and not again.get("E7", "real", "b")
    again.add(Record.of("E7", "real", "b", seconds=0.0, reply=Reply("y")))
    assert len(path.read_text().splitlines()) == 3
    assert Records.open(tmp_path, HEADER).get("E7", "real", "b")


def test_even_the_header_may_be_cut_short(tmp_path: Path) -> None:
    (tmp_path / RECORDS_FILE).write_text('{"suite": {"dig')
    Records.open(tmp_path, HEADER)
    assert Records.open(tmp_path, HEADER).get("E7", "real", "a") is None


def test_answers_of_another_run_are_refused(tmp_path: Path) -> None:
    Records.open(tmp_path, HEADER)
    with pytest.raises(InputError, match=r"another run \(suite: .*'a'.*'b'.*--out") as caught:
        Records.open(tmp_path, {**HEADER, "suite": {"digest": "b"}})
    assert "model" not in str(caught.value)
