"""The Python face with clips: told by content, in every call, through the published prompt."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import smolvlm
from smolvlm import api
from smolvlm.api import Assistant
from smolvlm.errors import ContextLengthError, InputError, MediaError
from smolvlm.media.videos import open_video
from smolvlm.types import VideoOptions, VideoPart
from tests.checkpoints import make_tiny
from tests.clips import numbered, write_clip

NAME = "SmolVLM2-256M-Video-Instruct"


@pytest.fixture(scope="module")
def assistant(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Assistant:
    """A tiny random network with the published small files."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("tiny"))
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    return smolvlm.load(folder, engine="torch")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 75)


def tokens(answer) -> tuple[int, ...]:
    return tuple(answer.tokens)


def test_every_way_to_ask_says_the_same(assistant: Assistant, clip: Path) -> None:
    first = tokens(assistant.ask(clip, "What happens?", max_new_tokens=6))
    assert len(first) >= 1
    words = {"type": "text", "text": "What happens?"}
    sources = [str(clip), clip.read_bytes(), VideoPart(clip), [clip], [VideoPart(str(clip))]]
    with open_video(clip) as video:
        for source in (*sources, video):
            answer = assistant.ask(source, "What happens?", max_new_tokens=6)
            assert tokens(answer) == first
            assert answer.timings.visual_tokens == 3 * 64
    forms = [
        {"type": "video", "path": str(clip)},
        {"type": "video", "video": str(clip)},
        {"type": "video_url", "video_url": {"url": str(clip)}},
        {"type": "input_video", "video_url": str(clip)},
    ]
    for form in forms:
        conversation = [{"role": "user", "content": [form, words]}]
        assert tokens(assistant.chat(conversation, max_new_tokens=6)) == first
    stream = assistant.stream(clip, "What happens?", max_new_tokens=6)
    assert tokens(stream.finish()) == first
    [batched] = assistant.ask_batch([(clip, "What happens?")], max_new_tokens=6)
    assert tokens(batched) == first


def test_options_choose_the_frames(assistant: Assistant, clip: Path) -> None:
    part = VideoPart(clip, VideoOptions("fps", fps=5, end=2))
    answer = assistant.ask(part, "What?", max_new_tokens=2)
    assert answer.timings.visual_tokens == 10 * 64
    said = {"type": "video", "path": str(clip), "sampling": "fps", "fps": 5, "end": 2}
    conversation = [{"role": "user", "content": [said, {"type": "text", "text": "What?"}]}]
    assert assistant.chat(conversation, max_new_tokens=2).timings.visual_tokens == 10 * 64


def test_choices_about_a_clip(assistant: Assistant, clip: Path) -> None:
    shares = assistant.choose(clip, "Up or down?", ["Up.", "Down."])
    assert sum(shares) == pytest.approx(1)


def test_a_plan_needs_no_engine(assistant: Assistant, clip: Path) -> None:
    plan = assistant.explain([clip, numbered(3)], "What happens?")
    (one,) = plan.clips
    assert (one.stamps, plan.tiles, len(plan.pictures)) == (("00:00", "00:01", "00:02"), 4, 1)
    alone = api.explain(assistant.folder, clip, "What happens?")
    assert alone == assistant.explain(clip, "What happens?")


def test_a_list_of_pictures_is_pictures_unless_it_is_said_to_be_a_clip(
    assistant: Assistant,
) -> None:
    frames = [numbered(number) for number in range(4)]
    assert len(assistant.explain(frames, "?").pictures) == 4
    plan = assistant.explain(VideoPart(frames, VideoOptions(rate=2)), "?")
    assert (plan.clips[0].frames, plan.clips[0].duration) == (2, 2.0)


def test_bad_clips_are_one_line(assistant: Assistant, clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:600])
    for source, error, words in (
        (cut, MediaError, "moov"),
        (VideoPart(tmp_path), MediaError, "cut.mp4|no pictures"),
        (VideoPart(clip, VideoOptions(start=3)), InputError, "wanted a start before its end"),
        ("https://example.org/a.mp4", MediaError, "nothing is fetched unasked"),
        (
            VideoPart(clip, VideoOptions("fps", fps=25, max_frames=999)), ContextLengthError,
            "would fit|set max_frames to",
        ),
    ):  # fmt: skip
        frames = [np.zeros((8, 8, 3), np.uint8)] * 200
        if error is ContextLengthError:
            source = VideoPart(frames, VideoOptions("fps", fps=1, max_frames=999))
        with pytest.raises(error, match=words) as caught:
            assistant.ask(source, "What?")
        assert "\n" not in str(caught.value)


def test_the_first_generation_is_shown_frames(
    official_folder, clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = api.explain(official_folder("SmolVLM-256M-Instruct"), clip, "What?")
    (one,) = plan.clips
    assert (one.frames, one.plan.height, one.plan.width) == (3, 384, 384)
    assert one.prompt_tokens == 3 * 67
