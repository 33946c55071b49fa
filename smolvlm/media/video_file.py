"""A clip in a file, through PyAV: every frame in order, or those of some times.

The container is opened by `video_container.py`, frames are found by `video_seek.py`; here they are
turned upright, freed of the combing of interlaced film, and given their times.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from smolvlm.errors import MediaError
from smolvlm.media.images import to_rgb
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from smolvlm.media.video_container import Work, open_container
from smolvlm.media.video_facts import gather
from smolvlm.media.video_frames import CLOCK_STEP, Frame, Video
from smolvlm.media.video_order import CountingSeeker, InOrder, lacks_times
from smolvlm.media.video_seek import Seeker

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


class VideoFile(Video):
    """A clip that FFmpeg can read. `work` counts what reading has cost."""

    def __init__(
        self,
        source: Path | bytes,
        *,
        name: str | None = None,
        limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    ) -> None:
        """Open a file, or its bytes, and decode its first frame.

        `MediaError` when there is no frame. Warns when the file ends before its headers say, or its
        times cannot be meant; what is there can be read.
        """
        self._source, self._limits = source, limits
        self._name = name or (str(source) if isinstance(source, Path) else "the clip")
        self.work = Work()
        self._container, self._stream = open_container(source, self._name)
        try:
            first = self._first_frame()
            self._facts = gather(
                self._container, self._stream, first.pts or 0, _size(source), self.work
            )
        except BaseException:
            self._container.close()
            raise
        picture = upright(first)
        self._size = picture.height, picture.width
        can_seek = self._container.format.name != "gif"
        if not can_seek:
            self._facts = self._facts.shortened(limits.max_decoded)
        kind = CountingSeeker if lacks_times(self._container, self._stream) else Seeker
        self._seeker = kind(
            self._container,
            self._stream,
            self._name,
            start=self._facts.start,
            work=self.work,
            can_seek=can_seek,
            can_skip=not first.interlaced_frame,
        )
        if self._facts.doubt:
            warnings.warn(f"{self._name} {self._facts.doubt}", stacklevel=2)

    @property
    def name(self) -> str:
        """What to call the clip in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return float(self._facts.end)

    @property
    def frame_count(self) -> int:
        """Frames in all; exact where the container counts them."""
        return self._facts.frames

    @property
    def rate(self) -> float:
        """Frames per second on average."""
        return float(self._facts.rate)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""
        return self._size

    def timestamp(self, index: int) -> float:
        """When frame number `index` begins; worked out from the rate where nothing lists frames."""
        exact = self._facts.timestamp(self._stream, index) if self._facts.clock else None
        return index / self.rate if exact is None else exact

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """The frame shown at each time; seeks, and decodes only what is needed."""
        if not self._facts.clock:
            yield from self._counted(times)
            return
        moments = [self._moment(time) for time in times]
        last: tuple[int | None, Frame] | None = None
        for decoded in self._seeker.frames(moments, max_decoded=self._limits.max_decoded):
            if last is None or last[0] != decoded.pts:
                last = decoded.pts, self._frame(decoded)
            yield last[1]

    def __iter__(self) -> Iterator[Frame]:
        latest = 0.0
        for number, decoded in enumerate(self._all()):
            frame = self._frame(decoded, latest)
            latest = frame.time
            yield frame if self._facts.clock else Frame(frame.picture, number / self.rate)

    def _all(self) -> Iterator[VideoFrame]:
        """Every frame in order, from a container of its own."""
        container, stream = open_container(self._source, self._name)
        most = self._facts.frames if self._facts.left_out else None
        with closing(container):
            yield from islice(_decoded(container, stream), most)

    def _counted(self, times: Sequence[float]) -> Iterator[Frame]:
        """The frame for each time in a clip whose own times mean nothing: by counting."""
        numbers = [int((max(time, 0.0) + CLOCK_STEP) * self.rate) for time in times]
        frames = enumerate(islice(self._all(), self._limits.max_decoded))
        number, decoded = next(frames)
        for wanted in numbers:
            while number < wanted and (following := next(frames, None)):
                number, decoded = following
            yield Frame(upright(decoded), number / self.rate)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _moment(self, time: float) -> int:
        """A time in ticks of the stream, with the grace of `CLOCK_STEP`."""
        if self._facts.left_out:
            time = min(time, self.duration - 0.5 / self.rate)
        return self._facts.start + int(Fraction(time + CLOCK_STEP) / self._facts.tick)

    def _frame(self, decoded: VideoFrame, latest: float = 0.0) -> Frame:
        """A frame with its time; one that does not know it is shown with the one before."""
        start, tick = self._facts.start, self._facts.tick
        time = latest if decoded.pts is None else float((decoded.pts - start) * tick)
        return Frame(upright(decoded), max(time, latest))

    def _first_frame(self) -> VideoFrame:
        context = self._stream.codec_context
        height, width = context.height, context.width
        if height * width > self._limits.max_pixels:
            raise MediaError(
                f"{self._name} has frames of {width}x{height} pixels; the limit is"
                f" {self._limits.max_pixels} (max_pixels). Give a smaller clip or raise the limit"
            )
        first = next(_decoded(self._container, self._stream), None)
        if first is None:
            raise MediaError(
                f"{self._name} has a video stream but no frame of it can be decoded; it is empty,"
                " broken or truncated"
            )
        return first


def upright(decoded: VideoFrame) -> Image.Image:
    """A decoded frame as an RGB picture: transparency on white, combing removed, turned upright."""
    transparent = "a" in decoded.format.name and len(decoded.format.components) == 4
    if transparent:
        picture = to_rgb(Image.fromarray(decoded.to_ndarray(format="rgba")))
    else:
        picture = Image.fromarray(decoded.to_ndarray(format="rgb24"))
    if decoded.interlaced_frame:
        picture = _one_field(picture)
    turn = TURNS.get(round(decoded.rotation) % 360)
    return picture if turn is None else picture.transpose(turn)


def _one_field(picture: Image.Image) -> Image.Image:
    """The lines of one of the two moments that an interlaced frame holds, the others from them."""
    if picture.height < 2:
        return picture
    lines = Image.fromarray(np.asarray(picture)[::2])  # (height / 2, width, 3)
    return lines.resize(picture.size, Image.Resampling.BILINEAR)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames in order; packets that cannot be decoded are left out, a cut end ends them."""
    import av

    def packets() -> Iterator[Packet[VideoStream] | None]:
        with suppress(av.error.FFmpegError):
            yield from (packet for packet in container.demux(stream) if packet.size)
        yield None  # what the decoder still holds

    context = stream.codec_context
    decoder = InOrder(context) if lacks_times(container, stream) else context
    for packet in packets():
        with suppress(av.error.FFmpegError):
            yield from decoder.decode(packet)


def _size(source: Path | bytes) -> int | None:
    return len(source) if isinstance(source, bytes) else source.stat().st_size
