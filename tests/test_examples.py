"""Every program in examples/ runs as its first lines say, on a model that says what it is told."""

from __future__ import annotations

import hashlib
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from smolvlm import api
from smolvlm.config import ModelConfig
from smolvlm.processing.processor import Processor
from tests.mock_engine import MockEngine

EXAMPLES = Path(__file__).parents[1] / "examples"
REPLY = "A tabby cat looks to the right."


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tokenizer_gen2_folder: Path) -> list[dict[str, Any]]:
    """Puts a mock engine behind `smolvlm.load`, everything else being real; the calls of it."""
    calls: list[dict[str, Any]] = []
    processor = Processor.from_folder(tokenizer_gen2_folder)

    def engine() -> MockEngine:
        replies = [processor.tokenizer.encode(REPLY)] * 2
        return MockEngine(ModelConfig.from_folder(tokenizer_gen2_folder), replies)

    def load(model: str = "embedded", **options: Any) -> api.Assistant:
        calls.append({"model": model, **options})
        return api.Assistant(processor, engine, folder=tokenizer_gen2_folder)

    monkeypatch.setattr(api, "load", load)
    return calls


def run(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_runs_and_is_short(
    path: Path,
    loads: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(path.name, monkeypatch)
    assert REPLY in capsys.readouterr().out
    assert [call["model"] for call in loads] == ["embedded"]
    source = path.read_text()
    assert len(source.splitlines()) < 30
    assert re.search(rf"^python examples/{path.name}", source, re.MULTILINE)


def test_a_picture_of_ones_own(
    loads: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("ask_a_picture.py", monkeypatch, str(EXAMPLES / "cat.png"), "Is", "it", "a", "cat?")
    assert capsys.readouterr().out == REPLY + "\n"


def test_the_second_turn_reuses_the_first(
    loads: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("chat_about_two_pictures.py", monkeypatch)
    reused = re.findall(r"\((\d+) of \d+ tokens", capsys.readouterr().out)
    assert int(reused[0]) == 0 and int(reused[1]) > 128


def test_the_picture_is_the_one_that_was_published() -> None:
    """Chelsea the cat, CC0 by Stefan van der Walt: `chelsea.png` of scikit-image 0.26."""
    digest = hashlib.sha256((EXAMPLES / "cat.png").read_bytes()).hexdigest()
    assert digest.startswith("596aa1e7cb875eb79f437e31")
