"""What an open camera or stream gives: shots, most of which are dropped before anybody looks.

A shot is when, and how to get the picture. Where every packet is a picture of its own (MJPEG, which
most cameras of computers send), one that is dropped is never decoded; where packets lean on those
before them, all are, but only those that are taken become pictures. Opening sources is left to
`feeds.py`, dropping to `camera.py`.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from smolvlm.errors import BrokenShotError, MediaError
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_file import upright

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

SILENCE = 10.0  # seconds without a picture after which a stream counts as lost
MAX_BROKEN = 100  # packets in a row that cannot be decoded: more is no camera starting up
ALONE = ("mjpeg",)  # codecs whose packets are pictures of their own

Shot = tuple[float, Callable[[], "Image.Image"]]


def shots_of(container: InputContainer, name: str, limits: VideoLimits) -> Iterator[Shot]:
    """What an open container gives, stamped with the time at which it comes; closes it at the end.

    `MediaError` for no pictures, too large ones, silence, and packets of which none is whole.
    """
    import av

    with container, explained(name):
        if not container.streams.video:
            raise MediaError(f"{name} has no video stream; wanted a camera with pictures")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # the other kind holds frames back, as does waiting for order
        stream.codec_context.flags |= av.codec.context.Flags.low_delay
        for picture in _pictures(container, stream, name, limits):
            yield time.time(), picture


def _pictures(
    container: InputContainer, stream: VideoStream, name: str, limits: VideoLimits
) -> Iterator[Callable[[], Image.Image]]:
    """How to get each picture; a stream is joined midway, so its first packets may be of no use."""
    import av

    codec, broken, whole = stream.codec_context.name, 0, False
    for packet in _packets(container, stream, name):
        if whole and codec in ALONE:
            yield partial(_decode_alone, packet, codec, name, limits)
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            broken += 1
            if broken >= MAX_BROKEN:
                raise
            continue
        for frame in frames:
            broken, whole = 0, True
            _check_pixels(frame, name, limits)
            yield partial(_picture, frame, name)


def _packets(
    container: InputContainer, stream: VideoStream, name: str
) -> Iterator[Packet[VideoStream]]:
    """Packets as they come, up to the end or to a silence."""
    heard = time.monotonic()
    for packet in container.demux(stream):
        if not packet.size:  # the end; what the decoder still holds is old news
            return
        if time.monotonic() - heard >= SILENCE:  # so is what a demuxer gives up when it gives up
            raise _silent(name)
        heard = time.monotonic()
        yield packet


def _decode_alone(
    packet: Packet[VideoStream], codec: str, name: str, limits: VideoLimits
) -> Image.Image:
    """The picture of a packet that leans on no other, by a decoder of its own."""
    import av

    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext), codec
    try:
        frames = [*context.decode(packet), *context.decode(None)]
    except av.error.FFmpegError:
        frames = []
    if not frames:
        raise BrokenShotError(f"{name} sends pictures that cannot be decoded")
    _check_pixels(frames[0], name, limits)
    return _picture(frames[0], name)


def _check_pixels(frame: VideoFrame, name: str, limits: VideoLimits) -> None:
    if frame.width * frame.height > limits.max_pixels:
        raise MediaError(
            f"{name} is {frame.width}x{frame.height}; the limit is {limits.max_pixels} pixels"
            " (max_pixels)"
        )


def _picture(frame: VideoFrame, name: str) -> Image.Image:
    with explained(name):
        return upright(frame)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What PyAV and the system say, as a `MediaError`."""
    import av

    try:
        yield
    except av.error.ExitError:  # how a time limit of PyAV ends
        raise _silent(name) from None
    except av.error.InvalidDataError:
        raise MediaError(
            f"{name} sends no video, or of a kind that is not read; wanted MJPEG or a stream such"
            " as MPEG-TS, and no playlist"
        ) from None
    except (av.error.FFmpegError, OSError, http.client.HTTPException) as error:
        reason: Any = getattr(error, "strerror", None) or error
        raise MediaError(f"{name} cannot be read: {reason}") from None


def _silent(name: str) -> MediaError:
    return MediaError(f"{name} has sent nothing for {SILENCE:g} s")
