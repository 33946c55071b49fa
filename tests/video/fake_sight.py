"""A model that sees the brightness of pictures, for tests of what is made of its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from smolvlm.media.video_frames import Frame
from smolvlm.processing.clips import Clip
from smolvlm.types import ImagePlan


def frame(time: float, value: int, size: tuple[int, int] = (64, 48)) -> Frame:
    """A picture of nothing but a brightness."""
    return Frame(Image.new("RGB", size, (value, value, value)), time)


class FakeSight:
    """Yes is as likely as the newest frame is bright; `calls` notes everything that was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def see(self, frame: Frame) -> Clip:
        value = int(np.asarray(frame.picture)[0, 0, 0])
        self.calls.append(("see", frame.time, value))
        tile = np.full((1, 2, 2, 3), value, np.uint8)
        plan = ImagePlan(frame.picture.height, frame.picture.width, (), 0, 0, 2)
        return Clip("fake", tile, (frame.time,), ("",), 0.0, plan, worded=True)

    def probability(self, window: Sequence[Clip], question: str) -> float:
        self.calls.append(("probability", _values(window), question))
        return _values(window)[-1] / 255

    def answer(self, window: Sequence[Clip], question: str) -> str:
        self.calls.append(("answer", _values(window), question))
        return f"It is {_values(window)[-1]}."

    def check_room(self, frames: int, question: str) -> None:
        """There is always room."""


def _values(window: Sequence[Clip]) -> list[int]:
    return [int(clip.tiles[0, 0, 0, 0]) for clip in window]
