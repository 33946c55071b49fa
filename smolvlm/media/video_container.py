"""A clip's container, opened through PyAV with nothing but the clip itself in reach.

FFmpeg's readers include playlists that name other files and addresses; only the formats listed here
are opened, and of the protocols only the local file. What the headers say is gathered in `Facts`,
which mends what they leave out or get absurdly wrong. Seeking and decoding is left to
`video_seek.py`, pixels to `video_file.py`.
"""

from __future__ import annotations

import bisect
import io
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from smolvlm.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Names of FFmpeg's readers: mp4 and mov, mkv and webm, avi, gif, transport and program streams,
# wmv, flash, ogg; none of them opens a second file.
FORMATS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "mpegts", "mpeg", "mpegvideo"),
    *("asf", "flv", "ogg", "mxf", "nut", "ivf", "h264", "hevc", "m4v"),
)
# A rate outside is a mistake of the header; high-speed cameras write 1000 and less.
LOWEST_RATE, HIGHEST_RATE = Fraction(1, 86_400), 1000
DEFAULT_RATE = Fraction(24)  # what the published processor assumes where no rate is known
MILLISECOND = Fraction(1, 1000)
MICROSECOND = Fraction(1, 1_000_000)  # the unit of a container's own duration
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


def open_container(source: Path | bytes, name: str) -> tuple[InputContainer, VideoStream]:
    """A container and its first stream of pictures; `MediaError` when there is none."""
    import av

    file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        container = av.open(file, mode="r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(_why_not(source, name, error)) from None
    # The cover of a song is a stream of pictures too, but no video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if streams:
        for other in container.streams:
            if other is not streams[0]:
                other.discard = av.stream.Discard.all  # sound is not even read
        streams[0].thread_type = "AUTO"
        return container, streams[0]
    sound = ", only sound" if container.streams.audio else ""
    container.close()
    raise MediaError(f"{name} has no video stream{sound}; wanted a clip with pictures")


def _why_not(source: Path | bytes, name: str, error: Exception) -> str:
    """What is wrong with a file that FFmpeg does not open."""
    head = source[:64] if isinstance(source, bytes) else _head(source)
    if head[4:8] == b"ftyp" and b"Invalid data" in str(error).encode():
        return (
            f"{name} is a truncated mp4: its table of contents (moov) is missing, so no frame can"
            " be found; copy or record it again"
        )
    if "Invalid data" in str(error):
        return f"{name} is not a clip, or a broken one; wanted mp4, webm, mkv, mov, avi or gif"
    return f"{name} cannot be read: {getattr(error, 'strerror', None) or error}"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(64)
    except OSError:
        return b""


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before more than its first frame is decoded.

    start: presentation time of the first frame, in units of `tick` seconds. frames: how many there
    are. end: seconds from the first frame to the end of the last. whole: False where the file ends
    before its headers say.
    """

    start: int
    tick: Fraction
    rate: Fraction
    frames: int
    end: Fraction
    whole: bool = True

    def timestamp(self, stream: VideoStream, index: int) -> float | None:
        """When a frame begins, where the container lists them all; None where it does not.

        The list holds times of decoding. Those are the times of presentation, in order, but that
        they begin a few frames earlier when frames are stored out of order.
        """
        entries = stream.index_entries
        if len(entries) < max(self.frames, 2):
            return None
        ahead = 0
        while ahead < len(entries) and entries[ahead].timestamp < self.start:
            ahead += 1
        over = max(index + ahead - (len(entries) - 1), 0)
        when = entries[min(index + ahead, len(entries) - 1)].timestamp
        return float((when - self.start) * self.tick + over / self.rate)



def gather(container: InputContainer, stream: VideoStream, start: int, size: int | None) -> Facts:
    """The facts of an opened clip. start: of its first frame; size: bytes of the file, if known.

    The container is left at any place.
    """
    tick = stream.time_base or MILLISECOND
    if container.format.name == "gif":  # its reader has counted them all
        return _from_header(stream, start, tick)
    if stream.frames and len(stream.index_entries) == stream.frames:
        return _from_index(stream, start, tick, size)
    return _from_the_end(container, stream, start, tick)


def sane_rate(stream: VideoStream, frames: int, seconds: Fraction) -> Fraction:
    """Frames per second: the header's, or worked out from these where that cannot be."""
    worked_out = Fraction(frames) / seconds if frames > 0 and seconds > 0 else None
    for rate in (stream.average_rate, worked_out, stream.guessed_rate):
        if rate is not None and LOWEST_RATE <= rate <= HIGHEST_RATE:
            return rate
    return DEFAULT_RATE


def _from_header(stream: VideoStream, start: int, tick: Fraction) -> Facts:
    end = (stream.duration or 0) * tick
    rate = sane_rate(stream, stream.frames, end)
    frames = max(stream.frames, 1)
    return Facts(start, tick, rate, frames, end or frames / rate)


def _from_index(stream: VideoStream, start: int, tick: Fraction, size: int | None) -> Facts:
    """mp4, mov and avi list every frame, with its place in the file."""
    entries = stream.index_entries
    listed = len(entries)
    frames = listed
    if size is not None:  # the first entry that ends behind the end of the file
        frames = bisect.bisect_right(range(listed), size, key=lambda at: _entry_end(stream, at))
    frames = max(frames, 1)  # the first one was decoded
    span = (entries[frames - 1].timestamp - entries[0].timestamp) * tick
    rate = sane_rate(stream, frames - 1, span)
    return Facts(start, tick, rate, frames, span + 1 / rate, whole=frames == listed)


def _entry_end(stream: VideoStream, at: int) -> int:
    entry = stream.index_entries[at]
    return entry.pos + entry.size


def _from_the_end(
    container: InputContainer, stream: VideoStream, start: int, tick: Fraction
) -> Facts:
    """Other formats say at most how long they last: the last packets tell whether it is true."""
    declared = _declared_end(container, stream)
    last, read = None, 0
    if declared is not None:
        last, _ = _last_start(container, stream, start + int(declared / tick))
    if last is None:
        last, read = _last_start(container, stream, start)  # nothing is known: all packets
    seconds = max(last - start, 0) * tick if last is not None else Fraction(0)
    rate = sane_rate(stream, read - 1, seconds)
    end = seconds + 1 / rate
    # Sound may go on for a moment after the last picture, and a header may be rounded.
    whole = declared is None or declared - end <= max(Fraction(2), declared / 20)
    return Facts(start, tick, rate, read or max(round(end * rate), 1), end, whole)


def _declared_end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds that the headers promise, of the pictures where they are told apart."""
    if found := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = (Fraction(part) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return None if container.duration is None else container.duration * MICROSECOND


def _last_start(
    container: InputContainer, stream: VideoStream, seek: int
) -> tuple[int | None, int]:
    """When the last frame from a place on begins, and how many packets were read to know."""
    import av

    last: int | None = None
    count = 0
    try:
        container.seek(seek, stream=stream)
        for packet in container.demux(stream):
            count += packet.size > 0
            if packet.pts is not None:
                last = packet.pts if last is None else max(last, packet.pts)
    except av.error.FFmpegError:  # the file ends here: what came before it counts
        return last, count
    return last, count
