"""The model as a watcher needs it: look at a frame, say how likely yes is, say something.

A frame is cut into its tile once; the tiles of a window are shown as one clip, with the times at
which they were taken. Its features come from the cache of the engine, so only a new frame costs a
pass of the tower. When to look, and at what, is decided in `watch.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from smolvlm.media.video_frames import Frame, Slides
from smolvlm.processing.clips import Clip
from smolvlm.processing.video_prompt import stamp
from smolvlm.types import VideoOptions
from smolvlm.video.segments import look

if TYPE_CHECKING:
    from smolvlm.api import Assistant

# Both ways in which the family ends a short answer.
YES, NO = ("Yes", "Yes."), ("No", "No.")
BRIEFLY = "Answer with yes or no."
NAME = "the camera"
WHOLE_FRAME = VideoOptions(sampling="uniform", max_frames=1)


class Sight(Protocol):
    """What `watch.py` asks of a model; times are seconds since the watch began."""

    def see(self, frame: Frame) -> Clip:
        """A frame, made ready to be shown, as a clip of one."""
        ...

    def probability(self, window: Sequence[Clip], question: str) -> float:
        """How likely the answer to a yes/no question about some frames is yes, 0 to 1."""
        ...

    def answer(self, window: Sequence[Clip], question: str) -> str:
        """The answer to a question about some frames."""
        ...


class AssistantSight:
    """The sight of a loaded model."""

    def __init__(self, assistant: Assistant, *, max_new_tokens: int) -> None:
        self._assistant, self._max_new_tokens = assistant, max_new_tokens

    def see(self, frame: Frame) -> Clip:
        """Cut the frame into its tile."""
        clip = look(self._assistant, Slides([frame.picture], [0.0], name=NAME), WHOLE_FRAME)
        return replace(clip, times=(frame.time,))

    def probability(self, window: Sequence[Clip], question: str) -> float:
        """The share of yes in the likelihood of yes and no, each spelt in two ways."""
        asked = f"{question}\n{BRIEFLY}"
        return sum(self._assistant.choose([join(window)], asked, [*YES, *NO])[: len(YES)])

    def answer(self, window: Sequence[Clip], question: str) -> str:
        """The likeliest answer, greedily."""
        answer = self._assistant.ask([join(window)], question, max_new_tokens=self._max_new_tokens)
        return answer.text.strip()


def join(window: Sequence[Clip]) -> Clip:
    """Clips of single frames as one; it is as long as the watch so far."""
    times = tuple(time for clip in window for time in clip.times)
    return replace(
        window[-1],
        tiles=np.concatenate([clip.tiles for clip in window]),  # (n, S, S, 3)
        times=times,
        stamps=tuple(map(stamp, times)),
        duration=times[-1],
    )
