"""`smolvlm ask --each`: a line a picture, broken pictures told and passed over, folders, errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smolvlm import api
from smolvlm.cli import ask_each
from smolvlm.types import Answer
from tests.cli.conftest import Cli
from tests.cli.fake_program import TIMINGS


class Said:
    """As `api.Assistant`: says the size of every picture, the last one first."""

    loaded: dict[str, Any]

    def info(self) -> None:
        return None

    def ask_each(
        self, questions: Iterable[tuple[Any, str]], **generation: Any
    ) -> Iterator[tuple[int, Answer]]:
        self.loaded["generation"] = generation
        pairs = list(questions)
        for number in reversed(range(len(pairs))):
            picture, question = pairs[number]
            text = f"{question} {picture.width}x{picture.height}"
            yield number, Answer(text, (2,), "stop", TIMINGS)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the model was opened and asked with."""
    told: dict[str, Any] = {}

    def load(model: str, **options: Any) -> Said:
        told.update(model=model, load=options)
        said = Said()
        said.loaded = told
        return said

    monkeypatch.setattr(api, "load", load)
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of 10, 20 and 30 pixels, and something else."""
    made = tmp_path / "pictures"
    made.mkdir()
    for side in (10, 20, 30):
        Image.new("RGB", (side, side)).save(made / f"{side}.png")
    (made / "notes.txt").write_text("no picture")
    return made


def test_a_line_for_every_picture_of_a_folder(
    cli: Cli, loaded: dict[str, Any], folder: Path
) -> None:
    result = cli.run("ask", folder, "What?", "--each", "--max-new-tokens", "5", "--lookup", "2")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    # The largest was asked first; this model answers the last one first.
    assert [(Path(line["picture"]).name, line["answer"]) for line in lines] == [
        ("10.png", "What? 10x10"),
        ("20.png", "What? 20x20"),
        ("30.png", "What? 30x30"),
    ]
    assert lines[0]["finish_reason"] == "stop" and lines[0]["timings"]["new_tokens"] == 3
    assert "3 pictures in" in result.stderr and "a second" in result.stderr
    assert loaded["generation"] == {"max_new_tokens": 5, "lookup": 2}
    assert loaded["load"] == {"prefix_cache": 0}


def test_a_broken_picture_has_its_line_and_the_others_go_on(
    cli: Cli, loaded: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    out = tmp_path / "lines.jsonl"
    result = cli.run("ask", folder, "What?", "--each", "--out", out)
    assert result.exit_code == 2 and "1 of 4 pictures could not be opened" in result.stderr
    lines = {Path(told["picture"]).name: told for told in map(json.loads, out.open())}
    assert sorted(lines) == ["10.png", "20.png", "30.png", "broken.png"]
    assert "error" in lines["broken.png"] and lines["30.png"]["answer"] == "What? 30x30"


def test_several_files_and_a_question(cli: Cli, loaded: dict[str, Any], folder: Path) -> None:
    names = sorted(folder.glob("*.png"))
    result = cli.run("ask", *names, "--each")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 3


def test_bad_requests(cli: Cli, loaded: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ((folder, "?", "--each", "--stats"), "leave out --stats and --explain"),
        ((folder, "?", "--out", "x.jsonl"), "--out is for the lines of --each"),
        ((empty, "?", "--each"), "holds no pictures"),
        ((folder, "?", "--each", "--out", tmp_path / "none" / "x"), "cannot be written"),
    ):
        result = cli.run("ask", *arguments)
        assert result.exit_code == 2 and message in result.stderr, result.output


def test_sizes_come_from_the_heads_of_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "not.png").write_text("nothing")
    found = ask_each.expand([str(tmp_path / "not.png"), str(folder)])
    assert [Path(name).name for name in found] == ["30.png", "20.png", "10.png", "not.png"]
