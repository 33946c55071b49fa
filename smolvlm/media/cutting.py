"""Stretches of a clip, copied into a new one without touching picture or sound.

Packets are copied as they are, so nothing is lost and a long film takes seconds. The price: a copy
can only begin where a picture stands for itself (a keyframe), so each stretch begins at the last
keyframe before the wanted start, and ends where the pictures up to its end can be shown without
later ones; what was really taken is in the result. All sound is kept, subtitles and data are not.
Which stretches are worth it, and where the file goes, is decided by others (`smolvlm/video/`).

A limit: in a clip with open groups of pictures (some broadcasts, HEVC by x265) players may drop the
first few pictures after a joint, as the decoder is not told to begin anew there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smolvlm.errors import MediaError
from smolvlm.media.video_container import open_container
from smolvlm.media.video_order import lacks_times

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

# Containers that a copy keeps; everything else (avi, ts, ...) is copied into Matroska, which takes
# any codec and any time stamp.
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".webm": "webm", ".mkv": "matroska"}
OTHER_SUFFIX = ".mkv"
# Pictures are stored in the order of decoding. H.264 and HEVC let one be shown before at most 16
# that are stored before it; twice that many in a row past a moment, and nothing before it follows.
PAST = 32
# How far apart in a file sound and picture of the same moment may lie, in seconds.
INTERLEAVING = 5.0


@dataclass(frozen=True)
class Cut:
    """A stretch of a clip, in seconds from its first picture, and where it stands in the new one.

    start, end: what was wanted; first, last: what was copied. at: when it begins in the new clip.
    """

    start: float
    end: float
    first: float
    last: float
    at: float


def suffix_for(source: Path) -> str:
    """The suffix, and so the container, of a copy of stretches of this file."""
    suffix = source.suffix.lower()
    return suffix if suffix in CONTAINERS else OTHER_SUFFIX


def cut_clip(source: Path, spans: Sequence[tuple[float, float]], out: Path) -> list[Cut]:
    """Copy stretches (start, end in seconds, in order) of a clip into one new file.

    Stretches that meet once their starts have moved to keyframes become one. `MediaError` when the
    source cannot be copied so; an `OSError` when the new file cannot be written.
    """
    import av

    muxer = CONTAINERS.get(out.suffix.lower(), CONTAINERS[OTHER_SUFFIX])
    container, video = open_container(source, str(source))
    for stream in container.streams.audio:
        stream.discard = av.stream.Discard.default  # it was opened for its pictures alone
    with _reading(source), container:
        if lacks_times(container, video):
            raise ValueError("its packets do not say when they are shown")
        film = _Film(container, video)
        stretches = [film.stretch(*span) for span in align(spans, film.keyframe_before)]
        if not stretches:
            raise ValueError("no picture in these stretches stands for itself")
        with av.open(out, "w", format=muxer) as copy:
            return _Copy(film, copy, stretches).write()


def align(
    spans: Sequence[tuple[float, float]], keyframe_before: Callable[[float], float]
) -> list[tuple[float, float, float]]:
    """(start, end, keyframe) of each span; those that meet once they begin at keyframes are joined.

    A span without any keyframe before its end (a recording that begins in mid-picture) is left out.
    """
    joined: list[tuple[float, float, float]] = []
    for start, end in spans:
        first = keyframe_before(start)
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]), joined[-1][2])
        elif first < end:
            joined.append((start, end, first))
    return joined


def closing(stamps: Sequence[int], end: int) -> int:
    """How many pictures, in the order of decoding, hold all that are shown before `end`.

    The fewest that leave no gap: none of the rest is shown before one of them.
    """
    latest = list(accumulate(stamps, max))
    earliest_after = list(accumulate(reversed(stamps), min))[::-1]
    for count in range(1, len(stamps)):
        if earliest_after[count] >= end and earliest_after[count] > latest[count - 1]:
            return count
    return len(stamps)


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    import av

    try:
        yield
    except OSError:
        raise  # the disk: the caller knows what was to be written where
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"{source} cannot be copied without decoding ({error}); convert it to mp4 first"
        ) from None


@dataclass(frozen=True)
class _Stretch:
    """What is copied for one cut; stamps: when each picture is shown, in the order of decoding."""

    start: float
    end: float
    first: float
    last: float
    stamps: tuple[int, ...]

    @property
    def delay(self) -> int:
        """How much earlier than shown pictures must be decoded, in ticks of the video."""
        pairs = zip(sorted(self.stamps), self.stamps, strict=True)
        return max(in_order - shown for in_order, shown in pairs)


class _Film:
    """A clip as packets, with one clock for all of its streams: 0 is its first picture."""

    def __init__(self, container: InputContainer, video: Stream) -> None:
        self._container = container
        self.video = video
        self.streams: list[Stream] = [self.video, *container.streams.audio]
        self.origin = int(self.video.start_time or 0)  # ticks of the video
        self.tick = self.video.time_base or Fraction(1, 1000)

    def shown(self, packet: Packet[Any]) -> float:
        """When a packet is shown or heard, in seconds."""
        return float(_stamp(packet) * packet.time_base - self.origin * self.tick)

    def ticks(self, moment: float) -> int:
        """A moment in ticks of the video, as its packets have it."""
        return round(Fraction(moment) / self.tick) + self.origin

    def packets(self, moment: float, streams: Sequence[Stream]) -> Iterator[Packet[Any]]:
        """Packets from the last keyframe at or before a moment on, or from an earlier one.

        Some containers seek by decoding time and end up one keyframe late: then it is tried from
        ever earlier, at last from the beginning.
        """
        back = 0.0
        while True:
            begin = max(moment - back, 0.0)
            self._container.seek(self.ticks(begin), stream=self.video)
            packets = (packet for packet in self._container.demux(streams) if packet.size)
            held = list(self._up_to_keyframe(packets))
            if begin == 0.0 or (held and _stamp(held[-1]) <= self.ticks(moment)):
                yield from held
                yield from packets
                return
            back = max(2 * back, 1.0)

    def keyframe_before(self, moment: float) -> float:
        """The time of the last keyframe at or before a moment, else of the first there is."""
        first = None
        for packet in self._pictures(moment, self.ticks(moment)):
            if packet.is_keyframe and (first is None or _stamp(packet) <= self.ticks(moment)):
                first = self.shown(packet)
        if first is None:
            raise ValueError("it has no keyframe")
        return first

    def stretch(self, start: float, end: float, first: float) -> _Stretch:
        """What has to be copied so that everything from keyframe `first` to `end` can be shown."""
        limit = self.ticks(end)
        packets = self._pictures(first, limit)
        found = [(_stamp(p), p.duration or 0) for p in packets if self.stands(p, first)]
        stamps = [stamp for stamp, _ in found]
        count = closing(stamps, limit)
        over = min(stamps[count:], default=sum(max(found)))
        last = float((over - self.origin) * self.tick)
        return _Stretch(start, end, first, last, tuple(stamps[:count]))

    def stands(self, packet: Packet[Any], first: float) -> bool:
        """Whether a picture can be shown in a copy that begins with the keyframe at `first`.

        Those shown before it but stored after it lean on what is left out.
        """
        return _stamp(packet) >= self.ticks(first)

    def _pictures(self, moment: float, limit: int) -> Iterator[Packet[Any]]:
        """Packets of the video from a keyframe before a moment until all before `limit` are out."""
        past = 0
        for packet in self.packets(moment, [self.video]):
            yield packet
            past = past + 1 if _stamp(packet) > limit else 0
            if past == PAST:
                return

    def _up_to_keyframe(self, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
        for packet in packets:
            yield packet
            if packet.stream is self.video and packet.is_keyframe:
                return


def _stamp(packet: Packet[Any]) -> int:
    """When a packet is shown, in its own ticks; `ValueError` where only decoding times are known.

    Without reordered pictures both are the same.
    """
    if packet.pts is not None:
        return int(packet.pts)
    if packet.dts is None or getattr(packet.stream.codec_context, "has_b_frames", False):
        raise ValueError("its packets do not say when they are shown")
    return int(packet.dts)


class _Copy:
    """A new clip that stretches of a film are put into, one after the other."""

    def __init__(
        self, film: _Film, container: OutputContainer, stretches: Sequence[_Stretch]
    ) -> None:
        self._film, self._container, self._stretches = film, container, stretches
        self._streams = {s.index: container.add_stream_from_template(s) for s in film.streams}
        for stream in film.streams:
            self._streams[stream.index].metadata.update(stream.metadata)
        # One delay for all: times of decoding have to grow from stretch to stretch.
        self._delay = max((stretch.delay for stretch in stretches), default=0)

    def write(self) -> list[Cut]:
        """Copy everything; what was copied, and where it stands."""
        cuts: list[Cut] = []
        at = 0.0
        for stretch in self._stretches:
            cuts.append(Cut(stretch.start, stretch.end, stretch.first, stretch.last, at))
            self._append(stretch, at)
            at += stretch.last - stretch.first
        return cuts

    def _append(self, stretch: _Stretch, at: float) -> None:
        film = self._film
        decoding = iter(sorted(stretch.stamps))
        going = set(film.streams)
        for packet in film.packets(stretch.first, film.streams):
            now = film.shown(packet)
            if packet.stream is not film.video:
                if stretch.first <= now < stretch.last:
                    self._put(packet, _stamp(packet), at - stretch.first)
                elif now >= stretch.last:
                    going.discard(packet.stream)
            elif film.stands(packet, stretch.first):
                stamp = next(decoding, None)
                if stamp is None:
                    going.discard(packet.stream)
                else:
                    self._put(packet, stamp - self._delay, at - stretch.first)
            if not going or now >= stretch.last + INTERLEAVING:
                return

    def _put(self, packet: Packet[Any], decoded: int, later: float) -> None:
        """Copy one packet; decoded: when, in its ticks; later: seconds from its time to the new."""
        tick = Fraction(packet.time_base)
        shift = round((Fraction(later) - self._film.origin * self._film.tick) / tick)
        packet.pts, packet.dts = _stamp(packet) + shift, decoded + shift
        packet.stream = self._streams[packet.stream.index]
        self._container.mux_one(packet)
