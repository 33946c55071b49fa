"""A clip in pieces of equal length, and an answer to the same question about each.

Every piece is a clip of its own for the model, with the times its frames have in the whole. How
answers are written to files is left to `answer_files.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smolvlm.api import Assistant
from smolvlm.errors import ContextLengthError, InputError, MediaError
from smolvlm.media.sampling import segment
from smolvlm.media.video_frames import Video
from smolvlm.processing.clips import Clip
from smolvlm.types import Message, VideoOptions, VideoPart
from smolvlm.video.times import span

Progress = Callable[[str, int, int], None]  # what is done, how many of it are, of how many


@dataclass(frozen=True)
class Segment:
    """A part of a clip, in seconds from its first frame."""

    start: float
    end: float


@dataclass(frozen=True)
class SegmentAnswer:
    """What was said of a segment.

    times: when the frames it rests on begin, in seconds. problem: why there is no answer, else "".
    """

    start: float
    end: float
    text: str
    times: tuple[float, ...] = ()
    finish_reason: str = ""
    problem: str = ""


def divide(video: Video, options: VideoOptions, every: float) -> list[Segment]:
    """The part of a clip that `options` choose, in segments of `every` seconds.

    The last one is shorter where they do not come out even; of less than a frame, nothing is made.
    `InputError` when a segment would be longer than that part, or shorter than a frame.
    """
    start, end = segment(video, options)
    if every > end - start + 1 / video.rate:
        raise InputError(
            f"a segment of {every:g} s is longer than the {end - start:.2f} s of {video.name} that"
            " are looked at; choose shorter segments"
        )
    if every * video.rate < 1 - 1e-6:
        raise InputError(
            f"a segment of {every:g} s has no frame of its own: {video.name} has"
            f" {video.rate:.3g} frames a second; choose longer segments"
        )
    # What is left at the end counts from half a frame on.
    count = max(math.ceil((end - start - 0.5 / video.rate) / every), 1)
    starts = [start + number * every for number in range(count)]
    return [Segment(a, b) for a, b in zip(starts, [*starts[1:], end], strict=True)]


def look(assistant: Assistant, video: Video, options: VideoOptions) -> Clip:
    """The frames that `options` choose, as the model will be shown them."""
    message = Message("user", (VideoPart(video, options),))
    [opened] = assistant.processor.open([message])
    [part] = opened.parts
    assert isinstance(part, VideoPart) and isinstance(part.source, Clip)
    return part.source


def look_at_each(
    assistant: Assistant, video: Video, segments: Sequence[Segment], options: VideoOptions
) -> Iterator[tuple[Segment, Clip | MediaError]]:
    """Each segment with its frames, or why it cannot be read: the next one goes on after damage.

    `MediaError` after the last one if none could be read.
    """
    problem, read = None, 0
    for piece in segments:
        try:
            clip = look(assistant, video, replace(options, start=piece.start, end=piece.end))
        except MediaError as error:
            problem = error
            yield piece, error
            continue
        read += 1
        yield piece, clip
    if problem is not None and not read:
        raise MediaError(f"no part of {video.name} can be read: {problem}")


def answer_each(
    assistant: Assistant,
    video: Video,
    segments: Sequence[Segment],
    question: str,
    options: VideoOptions,
    generation: Mapping[str, Any],
) -> Iterator[SegmentAnswer]:
    """An answer for each segment, as it is made; `generation` are keywords of `Assistant.ask`.

    Errors as in `look_at_each`; a segment that cannot be read is told as its `problem`.
    """
    for piece, clip in look_at_each(assistant, video, segments, options):
        if isinstance(clip, MediaError):
            yield SegmentAnswer(piece.start, piece.end, "", problem=str(clip))
        else:
            yield _answer(assistant, piece, clip, question, generation)


def _answer(
    assistant: Assistant, piece: Segment, clip: Clip, question: str, generation: Mapping[str, Any]
) -> SegmentAnswer:
    try:
        answer = assistant.ask([clip], question, **generation)
    except ContextLengthError as error:
        raise ContextLengthError(f"{span(piece.start, piece.end)}: {error}") from None
    return SegmentAnswer(piece.start, piece.end, answer.text, clip.times, answer.finish_reason)
