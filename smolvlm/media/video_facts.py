"""What is known of a clip before it is decoded: how many frames, how long, how fast, from when on.

Headers leave things out or get them absurdly wrong; `gather` judges and mends what they say, from
the list of frames where a container has one, else from its last packets. Opening a container is
left to `video_container.py`, frames to `video_seek.py` and `video_file.py`.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from smolvlm.media.video_container import Work, read_packets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.container import InputContainer
    from av.video.stream import VideoStream

# A rate outside is a mistake of the header; high-speed cameras write 1000 and less.
LOWEST_RATE, HIGHEST_RATE = Fraction(1, 86_400), 1000
DEFAULT_RATE = Fraction(24)  # what the published processor assumes where no rate is known
MILLISECOND = Fraction(1, 1000)
MICROSECOND = Fraction(1, 1_000_000)  # the unit of a container's own duration
# How much earlier than promised a clip may end and still be whole: rounding, where the promise is
# about its pictures alone; else sound too, which may go on after the last picture.
FRAMES_OF_GRACE, SECONDS_OF_GRACE, SHARE_OF_GRACE = 2, Fraction(2), Fraction(1, 20)
# So many frames at the end tell whether they come at an even pace.
LOOKED_AT = 64
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before more than its first frame is decoded.

    start: presentation time of the first frame, in units of `tick` seconds. frames: how many there
    are. end: seconds from the first frame to the end of the last. whole: False where the file ends
    before its headers say. clock: False where its times cannot be meant, and frames are counted.
    left_out: how many frames at the end are not looked at. late: when the last frames begin, in
    units of `tick`, where no list says it.
    """

    start: int
    tick: Fraction
    rate: Fraction
    frames: int
    end: Fraction
    whole: bool = True
    clock: bool = True
    left_out: int = 0
    late: Sequence[int] = ()

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
        beyond = index + _ahead(stream, self.start) - len(entries)
        if beyond < 0:
            when = Fraction(entries[beyond].timestamp)
        elif beyond < len(self.late):
            when = Fraction(self.late[beyond])
        else:
            when = entries[-1].timestamp + (beyond + 1) / self.rate / self.tick
        return float((when - self.start) * self.tick)


def gather(
    container: InputContainer,
    stream: VideoStream,
    start: int,
    size: int | None,
    work: Work | None = None,
) -> Facts:
    """The facts of an opened clip. start: of its first frame; size: bytes of the file, if known.

    The container is left at any place. work: counts what is read.
    """
    work = Work() if work is None else work
    tick = stream.time_base or MILLISECOND
    if container.format.name == "gif":  # its reader has counted them all
        facts = _from_header(stream, start, tick)
    elif _is_indexed(stream):
        facts = _with_late(_from_index(stream, start, tick, size), container, stream, work)
    else:
        facts = _from_the_end(container, stream, start, tick, work)
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


def _ahead(stream: VideoStream, start: int) -> int:
    """How many times of decoding are listed before the first frame is shown."""
    entries, ahead = stream.index_entries, 0
    while ahead < len(entries) and entries[ahead].timestamp < start:
        ahead += 1
    return ahead


def _with_late(facts: Facts, container: InputContainer, stream: VideoStream, work: Work) -> Facts:
    """The same, with what the list of an uneven clip with reordered frames says nothing of.

    Times of decoding end before those of showing do; the packets since the last keyframe know.
    """
    ahead = _ahead(stream, facts.start)
    if not ahead or not facts.whole or facts.frames < 2 or _is_even(stream):
        return facts
    starts, _ = _starts(container, stream, stream.index_entries[-1].timestamp, work)
    late = tuple(starts[-ahead:])
    if len(late) < ahead:
        return facts
    span = (late[-1] - facts.start) * facts.tick
    return replace(facts, late=late, end=span * facts.frames / (facts.frames - 1))


def _is_even(stream: VideoStream) -> bool:
    """Whether the last frames are listed at equal distances."""
    entries = stream.index_entries
    stamps = [entries[at].timestamp for at in range(max(len(entries) - LOOKED_AT, 0), len(entries))]
    steps = [after - before for before, after in pairwise(stamps)]
    return max(steps) - min(steps) <= 1


def _from_the_end(
    container: InputContainer, stream: VideoStream, start: int, tick: Fraction, work: Work
) -> Facts:
    """Other formats say at most how long they last: the last packets tell whether it is true."""
    declared, exact = _declared_end(container, stream, start * tick)
    starts: list[int] = []
    read = 0
    if declared is not None:
        starts, _ = _starts(container, stream, start + int(declared / tick), work)
    if not starts:  # nothing is known: all packets
        starts, read = _starts(container, stream, start, work)
    seconds = max(starts[-1] - start, 0) * tick if starts else Fraction(0)
    rate = sane_rate(stream, read - 1, seconds)
    end = _on_grid(seconds + 1 / rate, rate)
    promised = max(declared or Fraction(0), stream.frames / rate)
    grace = max(SECONDS_OF_GRACE, promised * SHARE_OF_GRACE)
    whole = promised - end <= (FRAMES_OF_GRACE / rate if exact else grace)
    return Facts(start, tick, rate, read or max(round(end * rate), 1), end, whole)


def _on_grid(end: Fraction, rate: Fraction) -> Fraction:
    """An end without the rounding of clocks that keep whole milliseconds."""
    exact = Fraction(round(end * rate)) / rate
    return exact if abs(exact - end) <= 2 * MILLISECOND else end


def _declared_end(
    container: InputContainer, stream: VideoStream, start: Fraction
) -> tuple[Fraction | None, bool]:
    """Seconds from the first frame on that the headers promise, and whether of pictures alone."""
    from_zero = start if "matroska" in container.format.name else Fraction(0)
    if found := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska
        hours, minutes, seconds = (Fraction(part) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds - from_zero, True
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base, False
    if container.duration is None:
        return None, False
    return container.duration * MICROSECOND - from_zero, False


def _starts(
    container: InputContainer, stream: VideoStream, seek: int, work: Work
) -> tuple[list[int], int]:
    """When the frames from a place on begin, in order, and how many packets were read to know."""
    import av

    try:
        container.seek(seek, stream=stream)
    except av.error.FFmpegError:
        return [], 0
    packets = list(read_packets(container, stream, work))
    return sorted(p.pts for p in packets if p.pts is not None and not p.is_discard), len(packets)
