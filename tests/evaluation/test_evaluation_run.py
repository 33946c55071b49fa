"""Whole runs with models that are known to see, to guess or to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smolvlm.errors import ContextLengthError
from smolvlm.evaluation.records import Records
from smolvlm.evaluation.run import QUICK, Extent, evaluate
from smolvlm.evaluation.tasks import Item, Task
from smolvlm.types import Message, TextPart
from tests.evaluation.players import Player, blind, make_task, oracle

WHOLE = Extent()


def run(player: Any, folder: Path, *tasks: Task, extent: Extent = WHOLE) -> list[dict[str, Any]]:
    return evaluate(player, tasks, Records.open(folder, {}), extent=extent)


@pytest.mark.parametrize("kind", ["choice", "open"])
def test_an_oracle_scores_everything_and_its_baselines_nothing(tmp_path: Path, kind: str) -> None:
    [found] = run(oracle(), tmp_path, make_task(kind, count=80))
    scores = found["metrics"]["accuracy"]
    assert (scores["real"]["value"], scores["real"]["low"]) == (1.0, 1.0)
    assert scores["grey"]["value"] in (0.0, 0.25)  # says "nothing", or prefers one choice
    assert scores["shuffled"]["value"] == pytest.approx(0.25, abs=0.12)
    assert scores["chance"] == 0.25
    assert found["learnt"] is True
    assert (found["n"], found["of"], found["unanswered"]) == (80, 80, 0)


@pytest.mark.parametrize("kind", ["choice", "open"])
def test_a_model_that_never_looks_has_learnt_nothing(tmp_path: Path, kind: str) -> None:
    [found] = run(blind(), tmp_path, make_task(kind, count=80))
    scores = found["metrics"]["accuracy"]
    values = [scores[name]["value"] for name in ("real", "grey", "shuffled")]
    assert values == [0.25, 0.25, 0.25] and scores["chance"] == 0.25
    assert found["learnt"] is False


def test_smaller_is_better_for_error_rates(tmp_path: Path) -> None:
    [found] = run(oracle(), tmp_path, make_task("open", count=80, metrics=["cer", "accuracy"]))
    assert found["metrics"]["cer"]["real"]["value"] == 0.0
    assert found["learnt"] is True


def test_a_stopped_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    task = make_task("open", count=20)

    def interrupted(pictures: list[Any], question: str) -> str:
        asked.append(question)
        if len(asked) > 10:
            raise KeyboardInterrupt
        return "dog"

    asked: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(Player(interrupted), tmp_path, task)
    player = blind()
    [found] = run(player, tmp_path, task)
    # Eight of twenty were kept; the twelve others, one grey prompt and twenty shuffled are left.
    assert [count for _, count in player.calls] == [8, 4, 1, 8, 8, 4]
    [whole] = run(blind(), tmp_path / "whole", task)
    assert found["metrics"] == whole["metrics"]
    again = blind()
    run(again, tmp_path, task)
    assert again.calls == []


def test_a_quick_run_is_the_beginning_of_the_whole(tmp_path: Path) -> None:
    task = make_task(count=40)
    [quick] = run(oracle(), tmp_path, task, extent=QUICK)
    scores = quick["metrics"]["accuracy"]
    assert (quick["n"], scores["real"]["n"], scores["grey"]["n"]) == (6, 6, 3)
    player = oracle()
    [whole] = run(player, tmp_path, task)
    assert whole["n"] == 40 and whole["metrics"]["accuracy"]["shuffled"]["n"] == 40
    assert len(player.calls) == 34 + 1 + 37


def test_an_item_that_does_not_fit_counts_as_wrong_and_is_counted(tmp_path: Path) -> None:
    def narrow(pictures: list[Any], question: str) -> str:
        if "long" in question:
            raise ContextLengthError("the prompt is too long")
        return "dog"

    items = [
        Item(str(i), (Message("user", (TextPart(words),)),), ("dog",))
        for i, words in enumerate(["Who?", "A long one?", "Who?"])
    ]
    [found] = run(Player(narrow), tmp_path, Task("T", "t", "open", ("exact",), tuple(items)))
    assert (found["n"], found["unanswered"]) == (3, 1)
    assert found["metrics"]["exact"]["real"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["metrics"]["exact"]["grey"] is None and found["learnt"] is None


def test_perplexity_is_shown_as_such(tmp_path: Path) -> None:
    item = Item("1", (Message("user", (TextPart("Go on."),)),), ("dog",))
    [found] = run(blind(), tmp_path, Task("E15", "text", "likelihood", ("perplexity",), (item,)))
    assert found["metrics"]["perplexity"]["real"]["value"] == pytest.approx(1.1052)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    evaluate(
        oracle(), [make_task(count=10)], Records.open(tmp_path, {}),
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert told == [
        ("T-choice real", 8, 30), ("T-choice real", 10, 30), ("T-choice grey", 20, 30),
        ("T-choice shuffled", 28, 30), ("T-choice shuffled", 30, 30),
    ]  # fmt: skip
