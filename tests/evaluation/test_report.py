"""The report as JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smolvlm.evaluation.records import Records
from smolvlm.evaluation.report import markdown
from smolvlm.evaluation.run import describe, evaluate
from smolvlm.evaluation.tasks import Item, Task
from smolvlm.types import Message, TextPart
from tests.evaluation.players import Player, make_task, oracle


def run(player: Any, folder: Path, *tasks: Task) -> list[dict[str, Any]]:
    return evaluate(player, tasks, Records.open(folder, {}))


def report_of(folder: Path, *tasks: Task) -> dict[str, Any]:
    model = {"name": "m", "engine": "mock"}
    head = describe(suite={"name": "s", "version": "1"}, model=model)
    return {**head, "tasks": run(oracle(), folder, *tasks)}


def test_the_report_is_json_and_says_with_what_it_was_made(tmp_path: Path) -> None:
    report = report_of(tmp_path, make_task())
    assert json.loads(json.dumps(report)) == report
    assert set(report["versions"]) == {"smolvlm", "python", "numpy"}


def test_the_table_has_a_line_for_every_metric(tmp_path: Path) -> None:
    counting = Task(
        "E7", "a | b", "open", ("number", "mae"),
        (Item("1", (Message("user", (TextPart("?"),)),), ("3",)),), target=0.75,
    )  # fmt: skip
    player = Player(lambda pictures, question: "3 of them")
    tasks = run(player, tmp_path, counting)
    page = markdown(
        {**report_of(tmp_path / "other", make_task(metrics=["accuracy"])), "tasks": tasks}
    )
    lines = [line for line in page.splitlines() if line.startswith("| ") and "metric" not in line]
    assert lines == [
        "| E7 | a \\| b | 1 | number | 100.0% | 100.0%-100.0% |  |  | 100.0% | 75.0% |  | 0 |",
        "|  |  |  | mae | 0.00 | 0.00-0.00 |  |  | 0.00 |  |  |  |",
    ]
    assert page.startswith("Suite s 1, model m on mock, smolvlm ")
    assert page.splitlines()[0].endswith("1 items of 1 tasks and their baselines in 0.0 minutes."
                                         " Every item was asked.")  # fmt: skip


@pytest.mark.parametrize(
    ("extent", "words"),
    [
        ({"items": None, "baseline_items": 60}, "the first 60 of a task in each baseline."),
        ({"items": 8, "baseline_items": 4}, "the first 8 items of a task, 4 in each baseline: a"),
    ],
)
def test_the_page_says_how_much_was_asked(
    tmp_path: Path, extent: dict[str, Any], words: str
) -> None:
    page = markdown({**report_of(tmp_path, make_task(count=4)), "extent": extent})
    assert words in page.splitlines()[0]


def test_the_table_shows_baselines(tmp_path: Path) -> None:
    page = markdown(report_of(tmp_path, make_task(count=80)))
    [line] = [line for line in page.splitlines() if line.startswith("| T-choice")]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[4:6] == ["accuracy", "100.0%"] and cells[-3] == "yes"
