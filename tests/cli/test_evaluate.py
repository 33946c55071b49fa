"""`smolvlm eval` with a model that knows the answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smolvlm import api
from smolvlm.cli import evaluate
from smolvlm.engines.base import EngineInfo
from smolvlm.processing.split import BudgetPolicy
from tests.cli.conftest import Cli
from tests.evaluation.players import Player, make_task, oracle, seen


class Loaded(Player):
    """The oracle, with the description of an assistant."""

    def info(self) -> api.ModelInfo:
        engine = EngineInfo("fake", "CPU", "f32", "0.0", 2)
        return api.ModelInfo(Path("m"), "smolvlm", 512, 64, 8192, BudgetPolicy(), engine)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How models were loaded."""
    calls: list[dict[str, Any]] = []

    def load(model: str, **options: Any) -> Loaded:
        calls.append({"model": model, **options})
        return Loaded(oracle().say)

    monkeypatch.setattr(api, "load", load)
    checkpoint = SimpleNamespace(fingerprint="f1")
    monkeypatch.setattr(evaluate, "open_checkpoint", lambda folder: checkpoint)
    return calls


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with two tasks of twelve animals."""
    folder = tmp_path / "suite"
    folder.mkdir()
    tasks = []
    for kind in ("choice", "open"):
        lines = []
        for number, item in enumerate(make_task(kind, count=12).items):
            item.pictures[0].save(folder / f"{number}.png")
            content = [{"type": "image", "path": f"{number}.png"}, "What is this?"]
            row = {"id": item.id, "messages": [{"role": "user", "content": content}]}
            lines.append({**row, "targets": item.targets, "choices": item.choices})
        (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        tasks.append(
            f"  - {{name: T-{kind}, title: animals, kind: {kind}, metrics: [accuracy],"
            f" items: {kind}.jsonl}}\n"
        )
    (folder / "suite.yaml").write_text("name: small\nversion: 1\ntasks:\n" + "".join(tasks))
    assert seen(folder / "3.png") == "hen"
    return folder


def test_results_are_written_and_the_table_is_printed(
    cli: Cli, loads: list[dict[str, Any]], suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cli.run(
        "eval", "--suite", suite, "--model", "some/model", "--out", out, "--max-tiles", "1"
    )
    assert result.exit_code == 0, result.output
    assert loads == [{"model": "some/model", "prefix_cache": 0, "max_tiles": 1}]
    assert result.stdout == (out / "results.md").read_text()
    report = json.loads((out / "results.json").read_text())
    assert [task["name"] for task in report["tasks"]] == ["T-choice", "T-open"]
    assert report["tasks"][0]["metrics"]["accuracy"]["real"]["value"] == 1.0
    assert report["model"]["name"] == "model" and report["model"]["fingerprint"] == "f1"
    assert report["suite"]["name"] == "small"
    assert report["extent"] == {"items": None, "baseline_items": 40}
    assert str(tmp_path) not in json.dumps(report)
    assert result.stderr.splitlines() == [
        f"T-{kind} {condition}: {done} of 72 items"
        for kind, start in (("choice", 0), ("open", 36))
        for condition, done in (("real", start + 8), ("grey", start + 24), ("shuffled", start + 32))
    ]
    assert len((out / "answers.jsonl").read_text().splitlines()) == 1 + 2 * 3 * 12


def test_quick_and_tasks(
    cli: Cli, loads: list[dict[str, Any]], suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cli.run("eval", "--suite", suite, "--out", out, "--quick", "--tasks", "T-open")
    assert result.exit_code == 0, result.output
    report = json.loads((out / "results.json").read_text())
    assert [(task["name"], task["n"]) for task in report["tasks"]] == [("T-open", 6)]
    result = cli.run("eval", "--suite", suite, "--out", out, "--limit", "3")
    assert "| T-choice | animals | 3 |" in result.stdout


def test_the_answers_of_two_models_are_never_mixed(
    cli: Cli, loads: list[dict[str, Any]], suite: Path, tmp_path: Path
) -> None:
    for model, code in (("one", 0), ("one", 0), ("two", 2)):
        result = cli.run("eval", "--suite", suite, "--out", tmp_path / "out", "--model", model)
        assert result.exit_code == code
    assert "another run (model: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "gone"], "gone is no suite (there is no such folder)"),
        (["--suite", "embedded"], "recipes.embedded.suite build"),
        (["--quick", "--limit", "3"], "give one of them"),
        (["--limit", "0"], "--limit is 0"),
    ],
)
def test_what_cannot_be_run_loads_nothing(
    cli: Cli,
    loads: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    result = cli.run("eval", "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2 and words in result.stderr
    assert result.stderr.count("\n") == 1
    assert loads == []


def test_an_unknown_task_is_named_before_the_model_is_opened(
    cli: Cli, loads: list[dict[str, Any]], suite: Path, tmp_path: Path
) -> None:
    result = cli.run("eval", "--suite", suite, "--out", tmp_path / "out", "--tasks", "E99")
    assert result.exit_code == 2 and "no task 'E99'" in result.stderr
    assert loads == []
