"""Clips that do not say when their frames are shown: H.264 and HEVC inside AVI and ASF.

Those containers keep one time a packet, that of decoding, and codecs that store frames out of order
(b-frames) need two. But a decoder gives frames in the order of showing. So the first frame from a
keyframe on is shown at the first of the packets' times, the second at the second, and so on. Unlike
in `video_seek.py`, every packet from a keyframe on has to be decoded to know which frame is which.

A limit: where a keyframe is stored before frames that are shown before it (open groups), what
follows a seek is counted from that keyframe, and stamped so many frames early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from smolvlm.errors import MediaError
from smolvlm.media.video_seek import Seeker, shown

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from smolvlm.media.video_seek import Packets

ONE_TIME_A_PACKET = ("avi", "asf")  # names of FFmpeg's readers
# MPEG-2 and MPEG-4 say in each packet what kind of frame it is; of them FFmpeg works the times out.
REORDERING = ("h264", "hevc")


def lacks_times(container: InputContainer, stream: Stream) -> bool:
    """Whether the times of a stream's packets are not those at which its frames are shown."""
    context = stream.codec_context
    reordered = context is not None and getattr(context, "has_b_frames", False)
    return reordered and container.format.name in ONE_TIME_A_PACKET and context.name in REORDERING


class InOrder:
    """A decoder whose frames get the times of the packets, both in ascending order."""

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._times: deque[int] = deque()  # of packets whose frames have not come out

    def decode(self, packet: Packet[VideoStream] | None) -> Sequence[VideoFrame]:
        """The frames that come out; None ends the stream. A broken packet has no frame."""
        import av

        if packet is not None:
            self._times.append(shown(packet))
        try:
            frames = self._context.decode(packet)
        except av.error.FFmpegError:
            with suppress(IndexError):
                self._times.pop()
            return []
        for frame in frames:
            frame.pts = self._times.popleft() if self._times else None
        return frames


class CountingSeeker(Seeker):
    """As `Seeker`, for clips that lack times: counts the frames from each keyframe on."""

    _sent: int | None = None  # when the newest packet is decoded that went to the decoder

    def frames(self, moments: Sequence[int], *, max_decoded: int) -> Iterator[VideoFrame]:
        """For each moment, in ascending order, the last frame that begins at or before it."""
        self._most = self._work.decoded + max_decoded
        on_screen: VideoFrame | None = None
        coming: Iterator[VideoFrame] = iter(())
        following: VideoFrame | None = None
        for moment in moments:
            if on_screen is None or self._should_seek(self._sent, moment):
                coming = self._decoded(self._packets_for(moment))
                on_screen = next(coming, on_screen)
                following = next(coming, None)
            while following is not None and (following.pts or 0) <= moment:
                on_screen, following = following, next(coming, None)
            if on_screen is None:
                raise MediaError(f"{self._name} has frames that cannot be decoded; it is broken")
            yield on_screen

    def _decoded(self, packets: Packets) -> Iterator[VideoFrame]:
        decoder = InOrder(self._stream.codec_context)
        for packet in packets:
            self._count()
            self._sent = packet.dts
            yield from self._counted(decoder.decode(packet))
        yield from self._counted(decoder.decode(None))

    def _counted(self, frames: Sequence[VideoFrame]) -> Iterator[VideoFrame]:
        self._work.pictures += len(frames)
        yield from frames
