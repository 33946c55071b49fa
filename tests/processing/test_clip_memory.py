"""Clips that are opened once: when they are known again, and when they must not be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smolvlm.errors import MediaError
from smolvlm.media.video_frames import Slides
from smolvlm.processing import processor as processor_module
from smolvlm.processing.clip_memory import ClipMemory
from smolvlm.processing.clips import Clip
from smolvlm.processing.processor import Processor
from smolvlm.types import ImagePart, Message, TextPart, VideoOptions, VideoPart
from tests.media.live_servers import make_clip, picture
from tests.test_api import Desk

FOUR = VideoOptions(sampling="uniform", max_frames=4)


class Opener:
    """`Processor.open` of a real checkpoint; counts the clips that it has to decode."""

    def __init__(self, folder: Path) -> None:
        self._processor = Processor.from_folder(folder)
        self.decoded = 0

    def __call__(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        parts = [part for message in messages for part in message.parts]
        clips = [part for part in parts if isinstance(part, VideoPart)]
        self.decoded += sum(not isinstance(part.source, Clip) for part in clips)
        return self._processor.open(messages)


@pytest.fixture
def opener(tokenizer_gen2_folder: Path) -> Opener:
    return Opener(tokenizer_gen2_folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    clip = tmp_path / "clip.mp4"
    make_clip(str(clip), list(range(0, 250, 5)))
    return clip


def asked(*sources: Any, options: VideoOptions | None = FOUR) -> tuple[Message, ...]:
    """A question about some clips."""
    parts = [VideoPart(source, options) for source in sources]
    return (Message("user", (*parts, TextPart("What?"))),)


def clips(messages: Sequence[Message]) -> list[Clip]:
    parts = [part for message in messages for part in message.parts]
    found = [part.source for part in parts if isinstance(part, VideoPart)]
    assert all(isinstance(clip, Clip) for clip in found)
    return found


def test_a_second_question_opens_nothing(opener: Opener, path: Path) -> None:
    memory = ClipMemory()
    [first] = clips(memory.open(asked(path), opener))
    [second] = clips(memory.open(asked(path), opener))
    [as_text] = clips(memory.open(asked(str(path)), opener))
    assert first is second is as_text and opener.decoded == 1
    [fresh] = clips(opener(asked(path)))
    np.testing.assert_array_equal(first.tiles, fresh.tiles)
    assert (first.times, first.stamps, first.duration) == (
        fresh.times, fresh.stamps, fresh.duration,
    )  # fmt: skip


def test_everything_else_of_a_conversation_stays_as_it_is(opener: Opener, path: Path) -> None:
    memory = ClipMemory()
    red = ImagePart(picture(9))
    turns = (
        Message("user", (red, TextPart("a"))),
        Message("assistant", (TextPart("b"),)),
        Message("user", (TextPart("c"), VideoPart(path, FOUR), red, TextPart("d"))),
    )
    memory.open(turns, opener)
    again = memory.open(turns, opener)
    assert opener.decoded == 1
    assert [message.role for message in again] == ["user", "assistant", "user"]
    kinds = [[type(part) for part in message.parts] for message in again]
    assert kinds == [[type(part) for part in message.parts] for message in turns]
    assert again[2].parts[1] == VideoPart(clips(again)[0], FOUR)


def test_other_frames_are_another_clip(opener: Opener, path: Path) -> None:
    memory = ClipMemory()
    memory.open(asked(path), opener)
    [three] = clips(memory.open(asked(path, options=VideoOptions("uniform", max_frames=3)), opener))
    assert len(three) == 3 and opener.decoded == 2
    # Two clips of a message share the number of frames that the checkpoint names.
    memory.open(asked(path, options=None), opener)
    memory.open(asked(path, path, options=None), opener)
    assert opener.decoded == 5


def test_a_changed_file_is_opened_again(opener: Opener, path: Path) -> None:
    memory = ClipMemory()
    [before] = clips(memory.open(asked(path), opener))
    make_clip(str(path), list(range(250, 0, -5)))
    [after] = clips(memory.open(asked(path), opener))
    assert opener.decoded == 2 and after.tiles[0].mean() > before.tiles[0].mean()
    replacement = path.with_name("other.mp4")
    make_clip(str(replacement), list(range(0, 250, 5)))
    found = path.stat()
    os.utime(replacement, ns=(found.st_atime_ns, found.st_mtime_ns))
    replacement.replace(path)
    memory.open(asked(path), opener)
    assert opener.decoded == 3


def test_what_cannot_be_known_is_opened_every_time(opener: Opener, path: Path) -> None:
    memory = ClipMemory()
    for source in (path.read_bytes(), [picture(1), picture(2)], Slides([picture(1)], [0.0])):
        memory.open(asked(source), opener)
        memory.open(asked(source), opener)
    assert (opener.decoded, len(memory)) == (6, 0)
    for missing in ("missing.mp4", "nul\0l", str(path.parent)):
        with pytest.raises(MediaError):
            memory.open(asked(missing), opener)


def test_bounded_in_bytes(opener: Opener, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(3)]
    for number, one in enumerate(paths):
        make_clip(str(one), [10 * number] * 10)
    size = clips(opener(asked(paths[0])))[0].tiles.nbytes
    opener.decoded = 0
    memory = ClipMemory(2 * size)
    for one in paths:
        memory.open(asked(one), opener)
    assert (memory.size, len(memory)) == (2 * size, 2)
    memory.open(asked(paths[1]), opener)
    memory.open(asked(paths[0]), opener)  # in place of the third, which was used longest ago
    memory.open(asked(paths[1]), opener)
    assert opener.decoded == 4
    tiny = ClipMemory(size - 1)
    tiny.open(asked(paths[0]), opener)
    assert (tiny.size, len(tiny)) == (0, 0)


def test_the_second_question_to_an_assistant_decodes_nothing(
    tokenizer_gen2_folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = processor_module.open_video
    monkeypatch.setattr(
        processor_module, "open_video", lambda *a, **k: opened.append(a) or real(*a, **k)
    )
    desk = Desk(tokenizer_gen2_folder, " one", " two")
    answers = [desk.assistant.ask(str(path), question).text for question in ("a?", "b?")]
    assert (answers, len(opened)) == (["one", "two"], 1)
