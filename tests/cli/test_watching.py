"""`smolvlm watch` on clips, with a model that sees brightness: what is written, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from smolvlm.cli import watching
from smolvlm.cli.main import app
from smolvlm.cli.watching import FRAME_MIB, caches
from smolvlm.config import ModelConfig
from smolvlm.errors import InputError
from smolvlm.media.camera import Signal
from smolvlm.media.video_frames import Frame
from smolvlm.video.watch import Plan
from tests.checkpoints import NAMES, golden_json
from tests.cli.conftest import ROOT
from tests.cli.fake_watch import install
from tests.media.live_servers import make_clip
from tests.video.fake_sight import FakeSight, frame

# As fast as it can be decoded: every frame of it comes whenever somebody asks.
FAST = ("--speed", "1000000", "--every", "500ms")
DARK, LIGHT = 20, 230


class ScriptedCamera:
    """In place of a camera: everything that a test gives, at once."""

    def __init__(self, items: list[Frame | Signal], *, live: bool = False) -> None:
        self.items, self.live, self.closed = items, live, False

    def __enter__(self) -> ScriptedCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def __iter__(self) -> Any:
        return iter(self.items)

    def now(self) -> float:
        return 10.0


@pytest.fixture
def sights(monkeypatch: pytest.MonkeyPatch) -> list[FakeSight]:
    return install(monkeypatch.setattr)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, sights: list[FakeSight]) -> ScriptedCamera:
    """Dark, light, a loss, and dark again."""
    camera = ScriptedCamera(
        [
            frame(0.0, DARK), frame(1.0, DARK), frame(2.0, LIGHT),
            Signal("lost", 3.0, "the cable"), Signal("back", 8.0, "it was away for 5 s"),
            frame(9.0, DARK),
        ]
    )  # fmt: skip
    monkeypatch.setattr(watching, "open_camera", lambda *_, **__: camera)
    return camera


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_lines_for_people(scripted: ScriptedCamera) -> None:
    result = run("0", "--when", "Is it light?")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "0:00  no (0.08)  Is it light?",
        "0:00  It is 20.",
        "0:02  yes (0.90)  Is it light?",
        "0:02  It is 230.",
        "0:03  the camera is lost: the cable",
        "0:08  the camera is back: it was away for 5 s",
        "0:09  no (0.08)  Is it light?",
        "0:09  It is 20.",
    ]
    assert result.stderr == (
        "watched: 4 looks, 3 of them at something new; the oldest frame was 0:10 old\n"
    )
    assert scripted.closed


def test_events_and_frames_in_files(scripted: ScriptedCamera, tmp_path: Path) -> None:
    out, save = tmp_path / "new" / "events.jsonl", tmp_path / "frames"
    result = run("0", "--when", "Light?", "--no-describe", "--out", out, "--save", save)
    assert result.exit_code == 0, result.output
    told = records(out)
    assert [(e["at"], e["kind"], e["answer"]) for e in told] == [
        ("0:00", "decision", "no"), ("0:02", "decision", "yes"), ("0:03", "lost", "the cable"),
        ("0:08", "back", "it was away for 5 s"), ("0:09", "decision", "no"),
    ]  # fmt: skip
    assert [e["frame"] is None for e in told] == [False, False, True, True, False]
    with Image.open(told[1]["frame"]) as image:
        assert image.getpixel((5, 5)) == (LIGHT, LIGHT, LIGHT)
    assert len(list(save.iterdir())) == 3  # none for the step at which nothing happened


def test_json_lines_on_standard_output(scripted: ScriptedCamera) -> None:
    result = run("0", "--when", "Light?", "--ask", "What?", "--out", "-")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["kind"] for e in told[:3]] == ["decision", "answer", "description"]
    assert told[1]["question"] == "What?" and told[0]["probability"] == 0.0784


def test_the_features_of_a_window_are_kept_and_no_more() -> None:
    assert caches(Plan(when="?", window=6)) == {"feature_cache": 6 * FRAME_MIB, "prefix_cache": 1}
    for name in NAMES:
        config = ModelConfig.from_json(golden_json(name, "config"))
        size = config.tokens_per_tile * config.text.hidden_size * 4  # float32
        assert size <= FRAME_MIB * 2**20


def test_a_number_of_steps(scripted: ScriptedCamera) -> None:
    result = run("0", "--when", "Light?", "--no-describe", "--max-steps", "2")
    assert result.stdout == "0:00  no (0.08)  Light?\n"
    assert "watched: 2 looks" in result.stderr


def test_a_clip_from_its_beginning_to_its_end(sights: list[FakeSight], tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(str(clip), [DARK] * 25 + [LIGHT] * 25 + [DARK] * 25)
    result = run(clip, *FAST, "--when", "Light?", "--no-describe")
    assert result.exit_code == 0, result.output
    first, *_ = result.stdout.splitlines()
    assert re.fullmatch(r"0:00  no \(0\.0[78]\)  Light\?", first)
    assert sights[0].calls[0][:2] == ("see", 0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--when", ""), "when is empty"),
        (("--no-describe",), "nothing to watch for"),
        (("--when", "?", "--threshold", "1.5"), "the threshold for yes is 1.5"),
        (("--when", "?", "--threshold", "nan"), "the threshold for yes is nan"),
        (("--when", "?", "--no-threshold", "0.9"), "above that for yes"),
        (("--when", "?", "--every", "0s"), "--every is 0s"),
        (("--when", "?", "--every", "soon"), "'soon' is no time"),
        (("--when", "?", "--hold", "later"), "'later' is no time"),
        (("--when", "?", "--speed", "-1"), "the speed is -1"),
        (("--when", "?", "--max-steps", "0"), "--max-steps is 0"),
        (("--when", "?", "--max-new-tokens", "0"), "max_new_tokens is 0"),
        (("--when", "?", "--window", "0"), "the window is 0"),
        (("--when", "?", "--sensitivity", "2"), "the sensitivity is 2"),
        (("--when", "?", "--engine", "abacus"), "no engine 'abacus'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    arguments: tuple[str, ...], words: str, sights: list[FakeSight], tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(str(clip), [DARK])
    result = run(clip, *arguments)
    assert (result.exit_code, result.stdout, sights) == (2, "", [])
    assert words in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("77", "there is no camera /dev/video77"),
        ("missing.mp4", "missing.mp4 does not exist"),
        ("rtsp://example.org/cam", "nothing is fetched unasked"),
    ],
)
def test_a_source_that_is_not_there_is_said_before_a_model_is_opened(
    source: str, words: str, sights: list[FakeSight]
) -> None:
    result = run(source, "--when", "?")
    assert (result.exit_code, sights) == (2, [])
    assert words in result.stderr and result.stderr.count("\n") == 1


def test_places_that_cannot_be_written_are_said_before_it_begins(
    scripted: ScriptedCamera, sights: list[FakeSight], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for option in (("--out", tmp_path), ("--save", tmp_path / "file")):
        result = run("0", "--when", "?", *option)
        assert (result.exit_code, sights) == (2, [])
        assert "cannot be written" in result.stderr


def test_a_disk_that_fills_up_ends_it_with_whole_lines(
    scripted: ScriptedCamera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "events.jsonl"
    real = watching.FrameFolder.save

    def save(self: Any, picture: Image.Image, time: float) -> str:
        if time > 1.0:
            raise InputError("frames cannot be written (No space left on device)")
        return real(self, picture, time)

    monkeypatch.setattr(watching.FrameFolder, "save", save)
    result = run("0", "--when", "?", "--out", out, "--save", tmp_path / "frames")
    assert result.exit_code == 2 and "error: frames cannot be written" in result.stderr
    assert [e["time"] for e in records(out)] == [0.0, 0.0]
    assert "watched: 3 looks" in result.stderr and scripted.closed


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "events.jsonl"
    make_clip(str(clip), [DARK, LIGHT] * 200, rate=2)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.cli.fake_watch", "watch", str(clip)),
            *("--when", "Light?", "--no-describe", "--every", "1ms", "--speed", "20"),
            *("--out", str(out)),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    time.sleep(0.2)  # let it go on
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.startswith(b"watched: ") and b"Traceback" not in said
    assert all(e["kind"] == "decision" for e in records(out))
