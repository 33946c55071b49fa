"""The frames shown at some moments, decoded with as little work as the clip allows.

Packets tell when their frames are shown before anything is decoded. So the frame for a moment is
chosen among the packets, and only what it may depend on is decoded: the packets since the last
keyframe, without the frames that no other refers to. Where a keyframe lies between two moments,
what is before it is skipped by seeking. Decoding everything and looking at the times gives the
same; that is the twin of this in the tests.

All moments here are whole numbers of the stream's own ticks, those of presentation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, takewhile
from typing import TYPE_CHECKING

from smolvlm.errors import MediaError
from smolvlm.media.video_container import Work, read_packets

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    Packets = Iterator[Packet[VideoStream]]

# How far apart keyframes are taken to be where no list of them says it.
USUAL_GAP_SECONDS = 2
LEAD_SECONDS = 10


class Seeker:
    """Reads one stream of one container; `frames` may be called again and again."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        name: str,
        *,
        start: int,
        work: Work,
        can_seek: bool = True,
        can_skip: bool = True,
    ) -> None:
        """start: when the first frame is shown. can_skip: each packet holds one whole frame."""
        self._container, self._stream, self._name = container, stream, name
        # Some readers look for times of decoding, which begin before the first frame is shown;
        # others refuse to look before 0.
        self._floor = min(max(start - self._ticks(stream, LEAD_SECONDS), 0), start)
        self._work = work
        self._can_seek, self._can_skip = can_seek, can_skip
        self._gap = self._ticks(stream, USUAL_GAP_SECONDS)
        self._most = 0  # packets decoded at which to give up

    @staticmethod
    def _ticks(stream: VideoStream, seconds: int) -> int:
        return int(seconds / stream.time_base) if stream.time_base else 1000 * seconds

    def frames(self, moments: Sequence[int], *, max_decoded: int) -> Iterator[VideoFrame]:
        """For each moment, in ascending order, the last frame that begins at or before it.

        Before the first frame that is the first, after the last the last. `MediaError` when nothing
        can be decoded there, or more than `max_decoded` packets would have to be.
        """
        run = _Run(deque(moments))
        self._most = self._work.decoded + max_decoded
        while run.left:
            yield from self._run(run, self._packets_for(run.left[0]))
            run = _Run(run.left, run.last)

    def _packets_for(self, moment: int) -> Packets:
        """Packets from the last keyframe on that is shown at or before a moment."""
        back = 0
        while True:
            at = max(moment - back, self._floor) if self._can_seek else self._floor
            self._seek(at)
            packets = self._demux()
            first = next(packets, None)
            if at == self._floor or (first is not None and shown(first) <= moment):
                return packets if first is None else chain([first], packets)
            back = max(2 * back, self._gap)  # the seek found a keyframe that is shown later

    def _seek(self, at: int) -> None:
        import av

        try:
            self._container.seek(at, stream=self._stream)
        except av.error.FFmpegError as error:
            raise MediaError(
                f"{self._name} cannot be read by time ({error.strerror}); convert it to mp4 first"
            ) from None

    def _demux(self) -> Packets:
        """Packets from the next keyframe to the end of the file."""
        begun = False
        for packet in read_packets(self._container, self._stream, self._work):
            begun = begun or packet.is_keyframe
            if begun and (packet.pts is not None or packet.dts is not None):
                yield packet

    def _run(self, run: _Run, packets: Packets) -> Iterator[VideoFrame]:
        """The frames of as many moments as are reached without seeking again."""
        begun: int | None = None
        for packet in packets:
            begun = shown(packet) if begun is None else begun
            if run.choose_before(packet.dts) and (
                not run.left or self._should_seek(packet.dts, run.left[0])
            ):
                break
            run.note(packet)
            yield from self._decode(run, run.take_unwanted())
        else:
            run.choose_the_rest()
        yield from self._decode(run, run.take_chosen())
        yield from self._decode(run, [None])
        if begun is not None and not run.came_out:
            run.last = self._last_before(begun) or run.last
        yield from run.finish(self._name)

    def _last_before(self, keyframe: int) -> VideoFrame | None:
        """The last frame shown before a keyframe from which on nothing can be decoded."""
        import av

        context = self._stream.codec_context
        context.skip_frame = "DEFAULT"
        last, begin, before = None, keyframe, keyframe + 1
        while last is None and begin < before:
            packets = self._packets_for(begin - 1)
            group = list(takewhile(lambda packet: shown(packet) < keyframe, packets))
            for packet in [*group, None]:
                with suppress(av.error.FFmpegError):
                    last = next(reversed(context.decode(packet)), last)
            before, begin = begin, shown(group[0]) if group else begin
        return last

    def _should_seek(self, here: int | None, moment: int) -> bool:
        """Whether there is a keyframe to begin at between here (a `dts`) and a moment."""
        if not self._can_seek or here is None:
            return False
        entries = self._stream.index_entries
        if len(entries) > 1:
            at = entries.search_timestamp(moment, backward=True)
            return at >= 0 and entries[at].timestamp > here
        return moment - here > self._gap

    def _decode(
        self, run: _Run, packets: Iterable[Packet[VideoStream] | None]
    ) -> Iterator[VideoFrame]:
        """Send packets to the decoder (None: the end), and give the chosen frames that come out.

        A packet that cannot be decoded is left out: the frame before it stays on the screen.
        """
        import av

        context = self._stream.codec_context
        for packet in packets:
            if packet is not None:
                self._count()
                skip = self._can_skip and not run.may_want(packet)
                context.skip_frame = "NONREF" if skip else "DEFAULT"
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError:
                continue
            self._work.pictures += len(frames)
            run.came_out = run.came_out or bool(frames)
            run.decoded += [frame for frame in frames if frame.pts is not None]
            yield from run.take_frames()

    def _count(self) -> None:
        self._work.decoded += 1
        if self._work.decoded > self._most:
            raise MediaError(
                f"{self._name} has too few keyframes: more than the limit of frames would have to"
                " be decoded (max_decoded); encode it again with a keyframe every few seconds"
            )


class _Run:
    """What is known between two seeks: which packets were seen, sent and chosen."""

    def __init__(self, left: deque[int], last: VideoFrame | None = None) -> None:
        self.left = left  # moments that have no packet yet
        self.last = last  # the frame on the screen, in place of one that cannot be decoded
        self.came_out = False  # whether anything could be decoded since the seek
        self.decoded: deque[VideoFrame] = deque()  # come out, not yet given nor known useless
        self._queue: deque[Packet[VideoStream]] = deque()  # seen, not yet sent to the decoder
        self._seen: list[int] = []  # when the packets are shown that may still be chosen
        self._chosen: deque[int] = deque()  # of moments whose frames have not come out yet

    def note(self, packet: Packet[VideoStream]) -> None:
        """One more packet, in the order of decoding."""
        self._queue.append(packet)
        if packet.is_discard:  # hidden by an edit list, but others may depend on it
            return
        self._seen.append(shown(packet))
        best = self._best()
        self._seen = [when for when in self._seen if when >= best]

    def choose_before(self, dts: int | None) -> bool:
        """Choose for the moments that packets from here on come too late for; True if there were.

        No packet is shown before it is decoded, at `dts`.
        """
        before = len(self.left)
        while self.left and self._seen and dts is not None and dts > self.left[0]:
            self._choose()
        return len(self.left) < before

    def choose_the_rest(self) -> None:
        """The packets have ended: their last is what is shown from then on."""
        while self.left and self._seen:
            self._choose()

    def _choose(self) -> None:
        self._chosen.append(self._best())
        self.left.popleft()

    def _best(self) -> int:
        """When the packet is shown that fits the next moment best, as far as is known."""
        if not self.left:
            return max(self._seen)
        return max((when for when in self._seen if when <= self.left[0]), default=min(self._seen))

    def may_want(self, packet: Packet[VideoStream]) -> bool:
        """Whether the frame of a packet has been chosen, or still may be."""
        when = shown(packet)
        return when in self._chosen or bool(self.left and self._seen and when >= self._best())

    def take_unwanted(self) -> Iterator[Packet[VideoStream]]:
        """The packets before the best one so far, which waits until it is chosen or surpassed."""
        best = self._best() if self._seen else None
        if any(shown(packet) == best for packet in self._queue):
            while shown(self._queue[0]) != best:
                yield self._queue.popleft()

    def take_chosen(self) -> Iterator[Packet[VideoStream]]:
        """The packets up to the last chosen one."""
        wanted = set(self._chosen)
        waiting = sum(shown(packet) in wanted for packet in self._queue)
        while waiting:
            packet = self._queue.popleft()
            waiting -= shown(packet) in wanted
            yield packet

    def take_frames(self) -> Iterator[VideoFrame]:
        """The frames that can be given now, one for each moment."""
        while self._chosen:
            self._drop_before(self._chosen[0])
            if not self.decoded:
                return
            # Later than the chosen one: that one cannot be decoded.
            exact = self.decoded[0].pts == self._chosen[0]
            self._chosen.popleft()
            yield self.decoded[0] if exact else self.last or self.decoded[0]
        if self.left and self._seen:
            self._drop_before(self._best())

    def finish(self, name: str) -> Iterator[VideoFrame]:
        """What stands for frames that have not come out although everything was decoded."""
        for _ in self._chosen:
            if self.last is None:
                raise MediaError(f"{name} has frames that cannot be decoded; it is broken")
            yield self.last

    def _drop_before(self, when: int) -> None:
        while self.decoded and (self.decoded[0].pts or 0) < when:
            self.last = self.decoded.popleft()


def shown(packet: Packet[VideoStream]) -> int:
    """When the frame of a packet is shown; containers that do not say it have no reordering."""
    when = packet.dts if packet.pts is None else packet.pts
    assert when is not None, "packets without any time are left out"
    return when
