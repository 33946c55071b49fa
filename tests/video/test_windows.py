"""Clips longer than a prompt: the windows, what is carried along, what an answer rests on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest
from PIL import Image

from smolvlm.api import Assistant
from smolvlm.config import VideoRules
from smolvlm.errors import InputError
from smolvlm.media.video_frames import Slides, Video
from smolvlm.processing.clips import Clip
from smolvlm.processing.processor import Processor
from smolvlm.types import Message, TextPart, VideoOptions, VideoPart
from smolvlm.video.segments import look
from smolvlm.video.windows import (
    NOTE_TOKENS,
    NOTES_SHARE,
    SPARE_TOKENS,
    Looked,
    Notes,
    frames_that_fit,
    frames_wanted,
    look_through,
    window_options,
)
from tests.video.stand_in import StandIn


def slides(seconds: int) -> Video:
    return Slides.at_rate([Image.new("RGB", (8, 8))] * seconds, 1)


def through(assistant: StandIn, video: Video, options: VideoOptions, **more: int) -> Looked:
    return look_through(cast(Assistant, assistant), video, "Why?", options, {"seed": 1}, **more)


def test_what_fits_is_one_prompt_as_published(assistant: StandIn) -> None:
    looked = through(assistant, slides(30), VideoOptions())
    [asked] = assistant.asked
    assert (asked.question, asked.settings) == ("Why?", {"seed": 1})
    assert looked.windows == () and looked.times == asked.times
    whole = look(cast(Assistant, assistant), slides(30), VideoOptions())
    assert looked.times == whole.times and len(whole) == 30


def test_a_long_clip_is_thinned_as_published_unless_more_is_asked_for(assistant: StandIn) -> None:
    assert len(through(assistant, slides(1000), VideoOptions()).times) == 64
    assert len(assistant.asked) == 1


def test_windows_carry_what_was_seen(assistant: StandIn) -> None:
    assistant.reply = lambda question, clip: f"part {len(assistant.asked)}"
    looked = through(assistant, slides(90), VideoOptions(max_frames=90), window=30)
    assert [(w.start, w.end, w.note) for w in looked.windows] == [
        (0, 30, "part 1"), (30, 60, "part 2"), (60, 90, "part 3"),
    ]  # fmt: skip
    first, second, third, last = assistant.asked
    assert "earlier" not in first.question and "Why?" in first.question
    assert "0:00–0:30: part 1" in second.question and "part 2" not in second.question
    assert "0:00–0:30: part 1\n0:30–1:00: part 2\n" in third.question
    assert last.times == () and last.settings == {"seed": 1}
    assert last.question.endswith("1:00–1:30: part 3\n\nWhy?")
    assert first.settings == {"max_new_tokens": NOTE_TOKENS}
    assert looked.stream.finish().text == "part 4"


def test_windows_see_what_one_prompt_would_have_seen(assistant: StandIn) -> None:
    looked = through(assistant, slides(90), VideoOptions(max_frames=90), window=40)
    assert looked.times == tuple(float(n) for n in range(90))
    assert [len(w.times) for w in looked.windows] == [30, 30, 30]
    assert all(w.start <= time < w.end for w in looked.windows for time in w.times)


def test_only_the_part_that_is_asked_for(assistant: StandIn) -> None:
    options = VideoOptions(start=20, end=40, max_frames=20)
    looked = through(assistant, slides(90), options, window=10)
    assert [(w.start, w.end) for w in looked.windows] == [(20, 30), (30, 40)]
    assert (looked.times[0], looked.times[-1]) == (20.0, 39.0)


def test_progress_is_told(assistant: StandIn) -> None:
    told: list[tuple[str, int, int]] = []
    look_through(
        cast(Assistant, assistant), slides(30), "?", VideoOptions(), {}, window=10,
        progress=lambda *step: told.append(step),
    )  # fmt: skip
    assert told == [("looking", number, 3) for number in range(4)]


def test_a_window_without_frames_is_refused(assistant: StandIn) -> None:
    with pytest.raises(InputError, match="a window of 0 frames"):
        through(assistant, slides(30), VideoOptions(), window=0)


@pytest.mark.parametrize(("wanted", "most"), [(10, 3), (90, 30), (91, 30), (7, 7), (8, 7), (5, 1)])
def test_equal_parts_that_are_small_enough(wanted: int, most: int) -> None:
    parts = window_options(VideoOptions(), 5.0, 12.0, wanted, most)
    assert parts[0].start == 5.0 and parts[-1].end == 12.0
    assert all(a.end == b.start for a, b in pairwise(parts))
    frames = [part.max_frames or 0 for part in parts]
    assert max(frames) <= most and sum(frames) >= wanted
    assert len(parts) == -(-wanted // most)


@pytest.mark.parametrize(
    ("options", "seconds", "frames"),
    [
        (VideoOptions(), 30.0, 30), (VideoOptions(), 500.0, 64), (VideoOptions(), 0.2, 1),
        (VideoOptions(fps=2.0, max_frames=500), 30.0, 60),
        (VideoOptions("uniform", max_frames=9), 1.0, 9),
        (VideoOptions("cinepile"), 500.0, 50), (VideoOptions("scene", max_frames=7), 99.0, 7),
    ],
)  # fmt: skip
def test_frames_wanted_are_never_too_few(
    assistant: StandIn, options: VideoOptions, seconds: float, frames: int
) -> None:
    wanted = frames_wanted(cast(Assistant, assistant), options, seconds)
    assert wanted == frames
    if seconds >= 1:
        clip = look(cast(Assistant, assistant), slides(round(seconds)), options)
        assert len(clip) <= wanted


@pytest.mark.parametrize("video", [True, False], ids=["worded", "pictures only"])
def test_what_is_said_to_fit_does_and_not_much_more_would(
    processor: Processor, video: bool
) -> None:
    stand_in = StandIn(_with_video(processor, video))
    question, film = "What happens? " * 20, slides(5000)
    count = frames_that_fit(cast(Assistant, stand_in), film, VideoOptions(), question, 300)
    room = processor.config.text.max_position_embeddings - 300
    assert _tokens(stand_in.processor, film, question, count) <= room
    assert _tokens(stand_in.processor, film, question, count + 1) > room - 2 * SPARE_TOKENS


def test_no_prompt_of_any_window_is_too_long(assistant: StandIn) -> None:
    """With notes that are as long as they may be, and words for times that are."""
    context = assistant.processor.config.text.max_position_embeddings
    longest = 0

    def measure(question: str, clip: Clip | None) -> str:
        nonlocal longest
        shown = [VideoPart(clip)] if clip else []
        ids = assistant.processor.ids([Message("user", (*shown, TextPart(question)))])
        longest = max(longest, len(ids) + (NOTE_TOKENS if clip else 0))
        return "word " * NOTE_TOKENS

    assistant.reply = measure
    through(assistant, slides(1200), VideoOptions(max_frames=1200))
    assert 0.9 * context < longest <= context


def test_a_long_answer_may_be_cut_but_divides_nothing(assistant: StandIn) -> None:
    settings = {"max_new_tokens": 8000}
    looked = look_through(cast(Assistant, assistant), slides(64), "?", VideoOptions(), settings)
    assert looked.windows == () and len(looked.times) == 64


def _with_video(processor: Processor, video: bool) -> Processor:
    rules = VideoRules(1.0, 64, 512) if video else None
    return Processor(
        processor.config, processor.rules, processor.tokenizer, template=processor.template,
        video=rules,
    )  # fmt: skip


def _tokens(processor: Processor, film: Video, question: str, frames: int) -> int:
    options = VideoOptions("uniform", max_frames=frames)
    part = VideoPart(film, options)
    [message] = processor.open([Message("user", (part, TextPart(question)))])
    return len(processor.ids([message]))


def test_notes_keep_to_their_limit_and_to_their_times(assistant: StandIn) -> None:
    assistant.reply = lambda question, clip: "summed up"
    notes = Notes(cast(Assistant, assistant))
    context = assistant.processor.config.text.max_position_embeddings
    for number in range(60):
        notes.add(number * 10.0, number * 10.0 + 10, f"note {number}: " + "word " * 60)
        tokens = assistant.processor.tokenizer.encode(notes.text())
        assert len(tokens) <= context // NOTES_SHARE
    lines = notes.text().splitlines()
    assert lines[0].startswith("0:00–") and lines[0].endswith(": summed up")
    assert lines[-1].startswith("9:50–10:00: note 59")
    begins = [line.split("–")[0] for line in lines]
    ends = [line.split("–")[1].split(": ")[0] for line in lines]
    assert begins[1:] == ends[:-1]  # no part of the clip is forgotten
    assert all("Sum them up" in asked.question for asked in assistant.asked)


def test_one_note_longer_than_the_limit_stays(assistant: StandIn) -> None:
    notes = Notes(cast(Assistant, assistant))
    notes.add(0, 1, "word " * 5000)
    assert len(notes.text()) > 20_000 and assistant.asked == []


def test_braces_are_only_letters(assistant: StandIn) -> None:
    assistant.reply = lambda question, clip: "{notes} {0}"
    video, options = slides(20), VideoOptions(max_frames=20)
    look_through(cast(Assistant, assistant), video, "{question}?", options, {}, window=10)
    assert "0:00–0:10: {notes} {0}" in assistant.asked[-1].question
    assert assistant.asked[-1].question.endswith("{question}?")


def test_a_repeated_frame_costs_what_two_frames_cost(assistant: StandIn) -> None:
    """The measuring of `frames_that_fit`, against a real clip of two frames."""
    from smolvlm.video.windows import _repeated

    clip = look(cast(Assistant, assistant), slides(2), VideoOptions())
    one: Clip = replace(clip, tiles=clip.tiles[:1], stamps=clip.stamps[:1])
    twice = _repeated(one, 2, 1.0)
    assert assistant.processor.clip_tokens(twice) == assistant.processor.clip_tokens(clip)
