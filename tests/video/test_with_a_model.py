"""The whole way, without a stand-in: a clip in a file, a real assistant, answers with times."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from smolvlm.api import Assistant
from smolvlm.cli.main import app
from smolvlm.config import ModelConfig
from smolvlm.media.videos import open_video
from smolvlm.processing.processor import Processor
from smolvlm.types import VideoOptions
from smolvlm.video import highlights
from smolvlm.video.highlights import Wish, find
from smolvlm.video.segments import answer_each, divide
from smolvlm.video.windows import look_through
from tests.checkpoints import make_tiny
from tests.mock_engine import MockEngine
from tests.video.stand_in import BLUE, RED, make_clip

NAME = "SmolVLM2-256M-Video-Instruct"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", [BLUE, RED, BLUE], each=2)


def speaking(processor: Processor, folder: Path, *replies: str) -> Assistant:
    """A real assistant whose engine says these replies, one a prompt."""
    ids = [processor.tokenizer.encode(reply) for reply in replies]
    return Assistant(
        processor, lambda: MockEngine(ModelConfig.from_folder(folder), ids), folder=folder
    )


def test_answers_over_time(processor: Processor, tokenizer_gen2_folder: Path, film: Path) -> None:
    assistant = speaking(processor, tokenizer_gen2_folder, "Blue.", "Red.", "Blue again.")
    options = VideoOptions()
    with open_video(film) as video:
        pieces = divide(video, options, 2)
        answers = list(answer_each(assistant, video, pieces, "Which colour?", options, {}))
    assert [(a.start, a.text, len(a.times), a.finish_reason) for a in answers] == [
        (0.0, "Blue.", 2, "stop"), (2.0, "Red.", 2, "stop"), (4.0, "Blue again.", 2, "stop"),
    ]  # fmt: skip


def test_windows(processor: Processor, tokenizer_gen2_folder: Path, film: Path) -> None:
    assistant = speaking(processor, tokenizer_gen2_folder, "Blue.", "Red.", "Both.")
    with open_video(film) as video:
        looked = look_through(assistant, video, "Which?", VideoOptions(), {}, window=3)
        assert [window.note for window in looked.windows] == ["Blue.", "Red."]
        assert "".join(looked.stream) == "Both."


def test_highlights(
    processor: Processor,
    tokenizer_gen2_folder: Path,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        highlights, "DESCRIPTION_TEMPERATURE", 0.0
    )  # the engine cannot be drawn from
    assistant = speaking(processor, tokenizer_gen2_folder, "Colours.", "- red", "- bright red")
    with open_video(film) as video:
        found = find(assistant, video, Wish("red", every=2, threshold=0.01), VideoOptions())
    assert found.description == "Colours." and found.tried[1].lines == ("bright red",)
    assert len(found.segments) == 3
    assert all(0 < segment.score < 1 for segment in found.segments)
    assert [(cut.start, cut.end) for cut in found.cuts] == [(0, 6)]


def test_the_command_runs_a_checkpoint(film: Path, tmp_path: Path) -> None:
    folder = make_tiny(NAME, tmp_path / "tiny", tokenizer=True)
    out = tmp_path / "answers.vtt"
    arguments = [
        *("video", str(film), "What?", "-m", str(folder), "--engine", "torch", "--every", "3s"),
        *("--max-new-tokens", "2", "--frames", "1", "--out", str(out)),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert lines == ["0:00–0:03", "0:03–0:06"]
    assert out.read_text("utf-8").startswith("WEBVTT\n")
