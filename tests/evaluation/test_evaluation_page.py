"""The command that puts scores into the page, and the page itself."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from recipes.embedded.suite.plans import PLANS
from smolvlm.errors import InputError

ROOT = Path(__file__).parents[2]
TASK = {
    "name": "E7", "title": "counting", "kind": "open", "n": 3, "of": 3, "unanswered": 0,
    "seconds": 1.5, "baseline_seconds": 0.5, "target": 0.75, "learnt": True,
    "metrics": {"number": {
        "higher": True, "real": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3},
        "grey": None, "shuffled": None, "chance": 0.09,
    }},
}  # fmt: skip
REPORT = {
    "suite": {"name": "embedded", "version": "1"}, "model": {"name": "m", "engine": "e"},
    "versions": {"smolvlm": "0.1"}, "date": "2026-01-01", "tasks": [TASK],
    "extent": {"items": None, "baseline_items": 60},
}  # fmt: skip
ANCHORS = {"date": "2026-01-02", "anchors": {"nearest": {"version": "tower", "tasks": [
    {"name": "E1a", "n": 9, "metrics": {"accuracy": {"value": 0.25, "low": 0.2, "high": 0.3}}},
]}}}  # fmt: skip


@pytest.fixture(scope="module")
def command() -> ModuleType:
    path = ROOT / "benchmarks" / "evaluation_page.py"
    spec = importlib.util.spec_from_file_location("evaluation_page", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_report_goes_into_the_page(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEPT", "ANCHORS", "PAGE"):
        monkeypatch.setattr(command, name, tmp_path / name)
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    (tmp_path / "ANCHORS").write_text(json.dumps(ANCHORS))
    (tmp_path / "PAGE").write_text(f"# Page\n\n{command.BEGIN}\nold\n{command.END}\n\nAfter.\n")
    monkeypatch.setattr(sys, "argv", ["page", str(tmp_path / "report.json")])
    command.main()
    once = (tmp_path / "PAGE").read_text()
    assert "| E7 | counting | 3 | number | 50.0% | 40.0%-60.0% |" in once
    assert "| tower | E1a | 9 | accuracy | 25.0% | 20.0%-30.0% |" in once
    assert "old" not in once and once.startswith("# Page") and once.endswith("After.\n")
    monkeypatch.setattr(sys, "argv", ["page"])
    command.main()
    assert (tmp_path / "PAGE").read_text() == once


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no report"),
        ("[]", "is no report of `smolvlm eval`"),
        (json.dumps({**REPORT, "tasks": [{**TASK, "n": 2}]}), "about a part of E7; run"),
    ],
)
def test_what_is_no_whole_report_is_refused(
    command: Any, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        command.read_report(path)
    with pytest.raises(InputError, match="lacks the marks"):
        command.placed("no marks", "block")


def test_the_committed_page_shows_the_committed_scores(command: Any) -> None:
    page = command.PAGE.read_text(encoding="utf-8")
    block = command.scores(command._read(command.KEPT), command._read(command.ANCHORS))
    assert command.placed(page, block) == page


def test_the_page_explains_every_task(command: Any) -> None:
    page = command.PAGE.read_text(encoding="utf-8")
    table = page.split("## What is measured")[1].split("**Choice tasks**")[0]
    names: set[str] = set()
    for row in re.findall(r"^\| (E[^|]+) \|", table, re.MULTILINE):
        first, *rest = row.split(", ")
        stem = first.rpartition("-")[0]
        names |= {first, *(f"{stem}{part}" if part.startswith("-") else part for part in rest)}
    assert names == {plan.name for plan in PLANS}
    assert f"{len(PLANS)} tasks" in page
