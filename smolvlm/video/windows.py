"""A question about a clip of any length.

What fits the model's context is one prompt, exactly as published. What does not (or not into the
frames a window may have) is looked at window by window: each is put into a sentence or two, with
what was seen before in the prompt, and the question is answered from these notes. When the notes
grow too long, the older half of them is summed up. Every note keeps the times it stands for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smolvlm.api import Assistant
from smolvlm.errors import InputError
from smolvlm.generation.stream import AnswerStream
from smolvlm.media.sampling import CINEPILE, segment
from smolvlm.media.video_frames import Video
from smolvlm.options import read_generation
from smolvlm.processing.clips import Clip
from smolvlm.processing.video_prompt import stamp
from smolvlm.types import VideoOptions
from smolvlm.video.segments import Progress, look
from smolvlm.video.times import span

NOTE = (
    "Say in one or two sentences what happens in this part of the video."
    " Keep what could help to answer: {question}"
)
EARLIER = "What happened earlier in the video:\n{notes}\n\n{task}"
SHORTEN = "Notes about a part of a video:\n{notes}\n\nSum them up in one or two sentences."
FINAL = "What happens in a video, part by part:\n{notes}\n\n{question}"
NOTE_TOKENS = 80  # the longest note: two sentences
# All notes together take at most this part of the context; so much is kept free for an answer, too,
# which may be cut shorter by the context than it was allowed to be.
NOTES_SHARE = 8
# The words for the number of frames are not the same length for every number.
SPARE_TOKENS = 16


@dataclass(frozen=True)
class Window:
    """A part of a clip (seconds), when the frames seen of it begin, and what was noted."""

    start: float
    end: float
    times: tuple[float, ...]
    note: str


@dataclass(frozen=True)
class Looked:
    """A clip that has been looked at: the answer about to be given, and what it rests on.

    times: when the frames begin, in seconds. windows: empty if all of them are in one prompt.
    """

    stream: AnswerStream
    times: tuple[float, ...]
    windows: tuple[Window, ...] = ()


def look_through(
    assistant: Assistant,
    video: Video,
    question: str,
    options: VideoOptions,
    generation: Mapping[str, Any],
    *,
    window: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Looked:
    """Look at a clip, window by window if need be, and begin to answer.

    window: the most frames in one prompt; None is as many as fit. generation: keywords of
    `Assistant.stream`, for the answer itself.
    """
    if window is not None and window < 1:
        raise InputError(f"a window of {window} frames shows nothing; wanted at least 1")
    start, end = segment(video, options)
    wanted = frames_wanted(assistant, options, end - start)
    share = notes_limit(assistant)
    answer = min(read_generation(generation).max_new_tokens, share)
    fitting = frames_that_fit(assistant, video, options, question, answer)
    if wanted <= min(fitting, window or fitting):
        clip = look(assistant, video, options)
        return Looked(assistant.stream([clip], question, **generation), clip.times)
    words = NOTE + EARLIER + question
    fitting = frames_that_fit(assistant, video, options, words, share + NOTE_TOKENS)
    parts = window_options(options, start, end, wanted, min(fitting, window or fitting))
    notes, windows = _note_each(assistant, video, question, parts, progress)
    told = FINAL.format(notes=notes.text(), question=question)
    times = tuple(time for seen in windows for time in seen.times)
    return Looked(assistant.stream([], told, **generation), times, tuple(windows))


def _note_each(
    assistant: Assistant,
    video: Video,
    question: str,
    parts: Sequence[VideoOptions],
    progress: Progress,
) -> tuple[Notes, list[Window]]:
    notes, windows = Notes(assistant), []
    task = NOTE.format(question=question)
    for number, part in enumerate(parts):
        assert part.start is not None and part.end is not None
        progress("looking", number, len(parts))
        clip = look(assistant, video, part)
        answer = assistant.ask([clip], notes.before(task), max_new_tokens=NOTE_TOKENS)
        notes.add(part.start, part.end, answer.text)
        windows.append(Window(part.start, part.end, clip.times, answer.text))
    progress("looking", len(parts), len(parts))
    return notes, windows


def window_options(
    options: VideoOptions, start: float, end: float, wanted: int, most: int
) -> list[VideoOptions]:
    """Equal parts of `start` to `end`, so few that none shows more than `most` of the frames."""
    count = math.ceil(wanted / most)
    edges = [start + (end - start) * number / count for number in range(count)]
    frames = math.ceil(wanted / count)
    return [
        replace(options, start=begin, end=over, max_frames=frames)
        for begin, over in zip(edges, [*edges[1:], end], strict=True)
    ]


def frames_wanted(assistant: Assistant, options: VideoOptions, seconds: float) -> int:
    """The most frames that `options` take of so many seconds."""
    rules = assistant.processor.video or CINEPILE
    rules = CINEPILE if options.sampling == "cinepile" else rules
    most = options.max_frames or rules.max_frames
    if options.sampling == "uniform":
        return most
    return min(most, math.ceil(seconds * (options.fps or rules.fps)))


def frames_that_fit(
    assistant: Assistant, video: Video, options: VideoOptions, words: str, tokens: int
) -> int:
    """How many frames one prompt holds beside some words and so many tokens; at least 1.

    Measured on the prompts of one and of two frames, with the longest time the clip has.
    """
    processor = assistant.processor
    start, end = segment(video, options)
    first = look(assistant, video, VideoOptions("uniform", max_frames=1, start=start))
    one, two = (processor.clip_tokens(_repeated(first, count, end)) for count in (1, 2))
    around = one - (two - one) + len(processor.tokenizer.encode(words)) + SPARE_TOKENS
    room = processor.config.text.max_position_embeddings - around - tokens
    return max(room // (two - one), 1)


def notes_limit(assistant: Assistant) -> int:
    """The most tokens that all notes together may have."""
    return assistant.processor.config.text.max_position_embeddings // NOTES_SHARE


class Notes:
    """What was seen so far: a line for each part of the clip, the older ones summed up in time."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._limit = notes_limit(assistant)
        self._lines: list[tuple[float, float, str]] = []

    def text(self) -> str:
        """All of it, a line a note."""
        return _text(self._lines)

    def before(self, task: str) -> str:
        """A task, and before it what has been seen, if anything has."""
        return EARLIER.format(notes=self.text(), task=task) if self._lines else task

    def add(self, start: float, end: float, note: str) -> None:
        """One more note, about `start` to `end` in seconds; keeps to the limit of tokens."""
        self._lines.append((start, end, " ".join(note.split())))
        while len(self._lines) > 1 and self._tokens(self.text()) > self._limit:
            self._sum_up()

    def _sum_up(self) -> None:
        """One note in place of the older half, or of the two oldest."""
        older = self._lines[: max(len(self._lines) // 2, 2)]
        question = SHORTEN.format(notes=_text(older))
        shorter = self._assistant.ask([], question, max_new_tokens=NOTE_TOKENS).text
        line = (older[0][0], older[-1][1], " ".join(shorter.split()))
        self._lines[: len(older)] = [line]

    def _tokens(self, text: str) -> int:
        return len(self._assistant.processor.tokenizer.encode(text))


def _text(lines: Sequence[tuple[float, float, str]]) -> str:
    return "\n".join(f"{span(start, end)}: {note}" for start, end, note in lines)


def _repeated(clip: Clip, count: int, latest: float) -> Clip:
    """A clip of one frame, shown so many times at its latest moment."""
    tiles = np.repeat(clip.tiles, count, axis=0)  # (1, S, S, 3) -> (count, S, S, 3)
    return replace(clip, tiles=tiles, stamps=(stamp(latest),) * count)
