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
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from smolvlm.errors import MediaError
from smolvlm.media.video_kinds import HEAD_BYTES, has_video_signature

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
    head = source[:HEAD_BYTES] if isinstance(source, bytes) else _head(source)
    known = has_video_signature(head) or head[:4] == b"GIF8"
    if head[4:8] == b"ftyp" and known:
        return (
            f"{name} is a truncated mp4: its table of contents (moov) is missing, so no frame can"
            " be found; copy or record it again"
        )
    if known:
        return f"{name} is a broken or truncated clip: {getattr(error, 'strerror', None) or error}"
    return f"{name} is not a clip; wanted mp4, webm, mkv, mov, avi, gif or animated webp"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before more than its first frame is decoded.

    start: presentation time of the first frame, in units of `tick` seconds. frames: how many there
    are. end: seconds from the first frame to the end of the last. whole: False where the file ends
    before its headers say. clock: False where its times cannot be meant, and frames are counted.
    left_out: how many frames at the end are not looked at.
    """

    start: int
    tick: Fraction
    rate: Fraction
    frames: int
    end: Fraction
    whole: bool = True
    clock: bool = True
    left_out: int = 0

    @property
    def doubt(self) -> str:
        """What is odd about the clip, to go after its name; empty if nothing."""
        if not self.clock:
            return f"has no usable clock; its frames are taken to be {DEFAULT_RATE} a second"
        if self.left_out:
            return (
                f"has {self.frames + self.left_out} frames that can only be decoded in order; the"
                f" first {self.frames} are used (max_decoded)"
            )
        return "" if self.whole else f"is truncated: {float(self.end):.1f} s of it are there"

    def shortened(self, most: int) -> Facts:
        """The same clip as if it ended after so many frames."""
        if self.frames <= most:
            return self
        end, left_out = self.end * most / self.frames, self.frames - most
        return replace(self, frames=most, end=end, left_out=left_out)

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
        facts = _from_header(stream, start, tick)
    elif _is_indexed(stream):
        facts = _from_index(stream, start, tick, size)
    else:
        facts = _from_the_end(container, stream, start, tick)
    if facts.frames > 1 and not (facts.end and _is_sane(facts.frames / facts.end)):
        return replace(facts, rate=DEFAULT_RATE, end=facts.frames / DEFAULT_RATE, clock=False)
    return facts


def _is_sane(rate: Fraction) -> bool:
    return LOWEST_RATE <= rate <= HIGHEST_RATE


def _is_indexed(stream: VideoStream) -> bool:
    """Whether every frame is listed; an edit list, which hides some, makes the list unfit."""
    entries = stream.index_entries
    listed = bool(stream.frames) and len(entries) == stream.frames
    return listed and not (entries[0].is_discard or entries[-1].is_discard)


def sane_rate(stream: VideoStream, frames: int, seconds: Fraction) -> Fraction:
    """Frames per second: the header's, or worked out from these where that cannot be."""
    worked_out = Fraction(frames) / seconds if frames > 0 and seconds > 0 else None
    for rate in (stream.average_rate, worked_out, stream.guessed_rate):
        if rate is not None and _is_sane(rate):
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
    # The last frame lasts as long as the others do, so a clock without sense stays without.
    end = span * frames / (frames - 1) if frames > 1 else 1 / rate
    return Facts(start, tick, rate, frames, _on_grid(end, rate), whole=frames == listed)


def _entry_end(stream: VideoStream, at: int) -> int:
    entry = stream.index_entries[at]
    return entry.pos + entry.size


def _from_the_end(
    container: InputContainer, stream: VideoStream, start: int, tick: Fraction
) -> Facts:
    """Other formats say at most how long they last: the last packets tell whether it is true."""
    declared = _declared_end(container, stream, start * tick)
    last, read = None, 0
    if declared is not None:
        last, _ = _last_start(container, stream, start + int(declared / tick))
    if last is None:
        last, read = _last_start(container, stream, start)  # nothing is known: all packets
    seconds = max(last - start, 0) * tick if last is not None else Fraction(0)
    rate = sane_rate(stream, read - 1, seconds)
    end = _on_grid(seconds + 1 / rate, rate)
    promised = max(declared or Fraction(0), stream.frames / rate)
    # Sound may go on for a moment after the last picture, and a header may be rounded.
    whole = promised - end <= max(Fraction(2), promised / 20)
    return Facts(start, tick, rate, read or max(round(end * rate), 1), end, whole)


def _on_grid(end: Fraction, rate: Fraction) -> Fraction:
    """An end without the rounding of clocks that keep whole milliseconds."""
    exact = Fraction(round(end * rate)) / rate
    return exact if abs(exact - end) <= 2 * MILLISECOND else end


def _declared_end(
    container: InputContainer, stream: VideoStream, start: Fraction
) -> Fraction | None:
    """Seconds from the first frame on that the headers promise, of the pictures if told apart."""
    from_zero = start if "matroska" in container.format.name else Fraction(0)
    if found := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = (Fraction(part) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds - from_zero
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return None if container.duration is None else container.duration * MICROSECOND - from_zero


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
            if packet.pts is not None and not packet.is_discard:
                last = packet.pts if last is None else max(last, packet.pts)
    except av.error.FFmpegError:  # the file ends here: what came before it counts
        return last, count
    return last, count
