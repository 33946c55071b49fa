"""`smolvlm ask` and `chat` with clips: told by content, opened before any model is looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from smolvlm.cli.arguments import QUESTION_FOR_CLIP, QUESTION_FOR_SEVERAL
from tests.cli.conftest import Cli
from tests.clips import write_clip, write_sound


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 50)


@pytest.fixture
def clip(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path))


def test_a_clip_is_asked_about(cli: Cli, clip: Path, picture: Path) -> None:
    result = cli.run("ask", clip, "What happens?", replies=("it counts",))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "it counts\n", "")
    assert cli.calls[1] == {"question": "What happens?", "pictures": ["clip"]}
    cli.run("ask", clip, picture, clip, "Same?", replies=("x",))
    assert cli.calls[1]["pictures"] == ["clip", (40, 30), "clip"]


def test_without_a_question(cli: Cli, clip: Path, picture: Path) -> None:
    cli.run("ask", clip, replies=("x",))
    assert cli.calls[1]["question"] == QUESTION_FOR_CLIP
    cli.run("ask", clip, picture, replies=("x",))
    assert cli.calls[1]["question"] == QUESTION_FOR_SEVERAL


def test_the_content_decides(cli: Cli, clip: Path) -> None:
    disguised = clip.rename(clip.with_name("holiday.jpg"))
    assert cli.run("ask", disguised, replies=("x",)).exit_code == 0
    assert cli.calls[1]["pictures"] == ["clip"]
    result = cli.run("ask", "-", "What?", replies=("x",), stdin=disguised.read_bytes())
    assert result.exit_code == 0
    assert cli.calls[1]["pictures"] == ["clip"]


def test_explain_shows_the_sampled_times(cli: Cli, clip: Path, picture: Path) -> None:
    result = cli.run("ask", clip, picture, "What?", "--explain")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1][0] == str(picture)
    assert rows[2] == [
        str(clip),
        "128",
        "x",
        "48",
        "2",
        "frames",
        "of",
        "0:00:02",
        "2",
        "128",
        "170",
    ]
    assert rows[-1] == [str(clip), "is", "seen", "at", "00:00", "00:01"]
    told = json.loads(cli.run("ask", clip, "What?", "--explain", "--json").stdout)
    assert told["clips"] == [
        {
            "name": str(clip), "height": 48, "width": 128, "duration": 2.0, "frames": 2,
            "times": [0.0, 1.4], "stamps": ["00:00", "00:01"], "visual_tokens": 128,
            "prompt_tokens": 170,
        }
    ]  # fmt: skip
    assert (told["pictures"], told["tiles"], told["text_tokens"]) == ([], 2, 13)


def test_a_clip_in_a_chat(cli: Cli, clip: Path) -> None:
    result = cli.run("chat", replies=("one", "two"), stdin=f"/image {clip}\nWhat?\nAnd then?\n")
    assert result.exit_code == 0
    assert cli.calls[1]["messages"] == [["user", "clip", "What?"]]
    assert cli.calls[2]["messages"][0] == ["user", "clip", "What?"]


def test_bad_clips_are_one_line_before_any_model_is_loaded(cli: Cli, clip: Path) -> None:
    cut = clip.with_name("cut.mp4")
    cut.write_bytes(clip.read_bytes()[:600])
    sound = write_sound(clip.with_name("sound.mp4"))
    for path, said in (
        (cut, "moov"),
        (sound, "only sound"),
        (clip.with_name("gone.mp4"), "gone.mp4 does not exist"),
        ("https://example.org/a.mp4", "--allow-url"),
    ):
        result = cli.run("ask", path, "What?", replies=("x",))
        assert (result.exit_code, result.stdout) == (2, "")
        [line] = result.stderr.splitlines()
        assert line.startswith("error: ") and said in line
        assert cli.calls == []


def test_a_truncated_clip_is_warned_about_and_answered(cli: Cli, tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mkv", 300)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    result = cli.run("ask", cut, "What?", replies=("fine",))
    assert (result.exit_code, result.stdout) == (0, "fine\n")
    [line] = result.stderr.splitlines()
    assert line.startswith("warning: ") and "cut.mkv is truncated" in line
