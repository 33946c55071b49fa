"""Animated WebP, which FFmpeg's reader does not decode: through Pillow, in order.

The times of all frames are read from the container (ANMF chunks of the RIFF file, as the WebP
container specification has them), so nothing is decoded to know them. A frame is painted over the
ones before it, so reading goes on from where it was, or begins anew to go back.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from itertools import accumulate

from PIL import Image

from smolvlm.errors import MediaError
from smolvlm.media.images import DECODER_ERRORS, to_rgb
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_frames import Frame, Video, index_at, repeated

_FRAME_CHUNK, _FRAME_HEADER = b"ANMF", 16
# Browsers show a frame that asks for no time for a tenth of a second.
_LEAST_SECONDS, _DEFAULT_SECONDS = 0.01, 0.1


class AnimatedWebP(Video):
    """The frames of an animated WebP, transparency on white."""

    def __init__(self, data: bytes, name: str, limits: VideoLimits) -> None:
        self._data, self._name = data, name
        durations = [_shown(seconds) for seconds in _durations(data)]
        if not durations:
            raise MediaError(f"{name} is a WebP picture without animation; wanted a clip")
        used = durations[: limits.max_decoded]
        self._times = [0.0, *accumulate(used)]
        self._image = self._start()
        width, height = self._image.size
        if width * height > limits.max_pixels:
            raise MediaError(
                f"{name} is {width}x{height} pixels; the limit is {limits.max_pixels} (max_pixels)"
            )
        if len(used) < len(durations):
            warnings.warn(
                f"{name} has {len(durations)} frames that can only be decoded in order; the first"
                f" {len(used)} are used (max_decoded)",
                stacklevel=2,
            )

    @property
    def name(self) -> str:
        """What to call the clip in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self._times[-1]

    @property
    def frame_count(self) -> int:
        """Frames in all."""
        return len(self._times) - 1

    @property
    def rate(self) -> float:
        """Frames per second on average."""
        return self.frame_count / self.duration

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._image.height, self._image.width

    def timestamp(self, index: int) -> float:
        """When frame number `index` begins."""
        return self._times[index]

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        """The frame shown at each time."""
        starts = self._times[:-1]
        return repeated((index_at(starts, time) for time in times), self._frame)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._frame, range(self.frame_count))

    def close(self) -> None:
        """Let go of the picture."""
        self._image.close()

    def _start(self) -> Image.Image:
        try:
            return Image.open(io.BytesIO(self._data), formats=["WEBP"])
        except DECODER_ERRORS as error:
            raise MediaError(f"{self._name} is a broken WebP: {error}") from None

    def _frame(self, index: int) -> Frame:
        try:
            self._image.seek(index)
            return Frame(to_rgb(self._image), self._times[index])
        except DECODER_ERRORS as error:
            raise MediaError(f"{self._name} is broken at frame {index}: {error}") from None


def _durations(data: bytes) -> Iterator[float]:
    """Seconds of each frame, from the headers of the ANMF chunks."""
    place = 12  # past "RIFF", the size and "WEBP"
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind == _FRAME_CHUNK and place + 8 + _FRAME_HEADER <= len(data):
            yield int.from_bytes(data[place + 20 : place + 23], "little") / 1000
        place += 8 + size + size % 2


def _shown(seconds: float) -> float:
    return seconds if seconds > _LEAST_SECONDS else _DEFAULT_SECONDS
