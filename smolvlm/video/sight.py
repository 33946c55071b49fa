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
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.media.video_frames import Frame
from smolvlm.processing.clips import Clip
from smolvlm.processing.pixels import cut_tiles
from smolvlm.processing.split import BudgetPolicy, plan_split
from smolvlm.processing.video_prompt import stamp
from smolvlm.types import Message, TextPart, VideoPart

if TYPE_CHECKING:
    from smolvlm.api import Assistant

# Both ways in which the family ends a short answer.
YES, NO = ("Yes", "Yes."), ("No", "No.")
BRIEFLY = "Answer with yes or no."
LATEST = 999 * 3600.0  # seconds; no watch has frames whose times take more tokens


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
        """The whole frame as one tile: what matters may be at its edge, so nothing is cropped."""
        processor, picture = self._assistant.processor, frame.picture
        plan = plan_split(picture.height, picture.width, processor.rules, BudgetPolicy(max_tiles=1))
        return Clip(
            name="the camera",
            tiles=cut_tiles(picture, plan, processor.rules),  # (1, S, S, 3)
            times=(frame.time,),
            stamps=(stamp(frame.time),),
            duration=frame.time,
            plan=plan,
            worded=processor.video is not None,
        )

    def probability(self, window: Sequence[Clip], question: str) -> float:
        """The share of yes in the likelihood of yes and no, each spelt in two ways."""
        asked = f"{question}\n{BRIEFLY}"
        return sum(self._assistant.choose([join(window)], asked, [*YES, *NO])[: len(YES)])

    def answer(self, window: Sequence[Clip], question: str) -> str:
        """The likeliest answer, greedily."""
        answer = self._assistant.ask([join(window)], question, max_new_tokens=self._max_new_tokens)
        return answer.text.strip()

    def check_room(self, frames: int, question: str) -> None:
        """`InputError` if so many frames and this question leave no room for an answer.

        Before a long watch: its window may be full only hours later.
        """
        blank = self.see(Frame(Image.new("RGB", (8, 8)), LATEST))
        tiles = np.broadcast_to(blank.tiles, (frames, *blank.tiles.shape[1:]))  # (n, S, S, 3)
        window = replace(
            blank, tiles=tiles, times=blank.times * frames, stamps=blank.stamps * frames
        )
        message = Message("user", (VideoPart(window), TextPart(question)))
        plan = self._assistant.processor.plan([message])
        wanted = plan.prompt_tokens + self._max_new_tokens
        if wanted > plan.max_positions:
            raise InputError(
                f"a window of {frames} frames may need {wanted} tokens with the question and its"
                f" answer, and the model's context holds {plan.max_positions}; choose fewer"
            )


def join(window: Sequence[Clip]) -> Clip:
    """Clips of single frames as one; it is as long as the watch so far."""
    return replace(
        window[-1],
        tiles=np.concatenate([clip.tiles for clip in window]),  # (n, S, S, 3)
        times=tuple(time for clip in window for time in clip.times),
        stamps=tuple(shown for clip in window for shown in clip.stamps),
    )
