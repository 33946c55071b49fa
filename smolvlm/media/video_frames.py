"""What a clip is, whatever it comes from: pictures with times, read in order or by time.

`Video` says what every kind of clip offers; `Slides`, the simplest kind, is a list or folder of
pictures. Files are read by `video_file.py` and `video_webp.py`; which kind a source is decides
`videos.py`, which times are worth reading `sampling.py`.
"""

from __future__ import annotations

import bisect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.media.images import load_image
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS, VideoLimits

# Containers such as webm keep whole milliseconds: a frame that begins up to this many seconds after
# a moment counts as shown at it.
CLOCK_STEP = 1e-3
# What a folder of frames is made of; everything else in it is left alone.
PICTURE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".qoi"),
    *(".tif", ".tiff", ".webp"),
)


@dataclass(frozen=True)
class Frame:
    """A picture of a clip. picture: RGB; time: seconds from the clip's first frame."""

    picture: Image.Image
    time: float


class Video(ABC):
    """A clip: iterate over it for every `Frame` in order, or `read` those of some times.

    Times are seconds from the first frame, which is at 0. One clip serves one thread; iterating and
    reading may alternate, as each finds its own place. Close it, or use it in a `with` block.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call the clip in messages."""

    @property
    @abstractmethod
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""

    @property
    @abstractmethod
    def frame_count(self) -> int:
        """Frames in all, at least 1; worked out from duration and rate where no header says it."""

    @property
    @abstractmethod
    def rate(self) -> float:
        """Frames per second on average, above 0."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, after turning the clip upright."""

    @abstractmethod
    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """For each of some times, in ascending order, the frame that is shown then.

        That is the last one to begin at or before it, give or take `CLOCK_STEP`; before the first
        frame the first, after the end the last. One frame is in memory at a time.
        `MediaError` when the clip cannot be read.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Every frame from the first on, one in memory at a time."""

    def timestamp(self, index: int) -> float:
        """When frame number `index` begins; exact where the container lists its frames."""
        return index / self.rate

    def read(self, times: Sequence[float]) -> list[Frame]:
        """For each time the frame that is shown then, as `frames_at`; times in any order.

        All frames are in memory together; `frames_at` gives them one by one.
        """
        order = sorted(range(len(times)), key=lambda place: times[place])
        found = self.frames_at([times[place] for place in order])
        frames = dict(zip(order, found, strict=True))
        return [frames[place] for place in range(len(times))]

    def close(self) -> None:
        """Let go of the file; the clip cannot be read afterwards."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Slides(Video):
    """Pictures with times: each is opened when it is its turn, and let go again."""

    def __init__(
        self,
        pictures: Sequence[Any],
        times: Sequence[float],
        *,
        name: str = "the list of frames",
        end: float | None = None,
        limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    ) -> None:
        """Pictures as `load_image` takes them, and when each begins, in seconds, ascending.

        The times are counted anew from the first one. end: when the last one ends; None gives it
        the average time of the others, a second if there are none.
        """
        if not pictures:
            raise MediaError(f"{name} has no pictures; wanted at least one frame")
        _check_times(times, name)
        self._pictures, self._name, self._limits = pictures, name, limits
        self._times = [float(time - times[0]) for time in times]
        steps = len(times) - 1
        average = self._times[-1] / steps if steps else 0.0
        self._duration = end - times[0] if end is not None else self._times[-1] + average
        self._duration = self._duration or 1.0  # frames that take no time at all
        self._size: tuple[int, int] | None = None

    @classmethod
    def at_rate(
        cls,
        pictures: Sequence[Any],
        rate: float,
        *,
        name: str = "the list of frames",
        limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    ) -> Slides:
        """Pictures one after the other, `rate` a second."""
        times = [index / rate for index in range(len(pictures))]
        return cls(pictures, times, name=name, end=len(pictures) / rate, limits=limits)

    @property
    def name(self) -> str:
        """What to call the clip in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self._duration

    @property
    def frame_count(self) -> int:
        """How many pictures there are."""
        return len(self._pictures)

    @property
    def rate(self) -> float:
        """Frames per second on average."""
        return self.frame_count / self._duration

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the first picture."""
        if self._size is None:
            first = self._open(0).picture
            self._size = first.height, first.width
        return self._size

    def timestamp(self, index: int) -> float:
        """When picture number `index` begins."""
        return self._times[index]

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """The picture shown at each time; a repeated one is opened once."""
        return repeated((index_at(self._times, time) for time in times), self._open)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._open, range(self.frame_count))

    def _open(self, index: int) -> Frame:
        try:
            picture = load_image(self._pictures[index], limits=self._limits)
        except MediaError as error:
            raise MediaError(f"frame {index} of {self._name}: {error}") from None
        return Frame(picture, self._times[index])


def index_at(times: Sequence[float], time: float) -> int:
    """Which of the frames that begin at `times` (ascending) is shown at a moment."""
    return max(bisect.bisect_right(times, time + CLOCK_STEP) - 1, 0)


def repeated(indices: Iterator[int], frame: Callable[[int], Frame]) -> Iterator[Frame]:
    """The frame of each index; neighbours of the same index share one."""
    last: tuple[int, Frame] | None = None
    for index in indices:
        if last is None or last[0] != index:
            last = index, frame(index)
        yield last[1]


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in the order people number them: 2.png before 10.png."""
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
    except OSError as error:
        raise MediaError(f"{folder} cannot be read: {error.strerror or error}") from None
    if not found:
        raise MediaError(f"{folder} has no pictures; wanted a folder of frames, such as 0001.png")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    pieces = re.split(r"(\d+)", path.name)
    return [
        (1, int(piece), piece) if number % 2 else (0, 0, piece)
        for number, piece in enumerate(pieces)
    ]


def _check_times(times: Sequence[float], name: str) -> None:
    for before, after in pairwise(times):
        if not before <= after:  # NaN too
            raise InputError(
                f"{name} has a frame at {after:g} s after one at {before:g} s;"
                " wanted times in ascending order"
            )
