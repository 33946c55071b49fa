"""A camera as an iterator: never anything but its newest frame, and word of it when it goes away.

A thread reads the source without a pause, so that nothing waits in a driver or on a network; a
frame that nobody has taken is replaced by the next one. A live source that breaks off is opened
again, after a second, then two, then four, up to a minute. How the sources are opened is in
`feeds.py`; what is made of the frames is decided above.
"""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from smolvlm.errors import BrokenShotError, InputError, MediaError
from smolvlm.media.feeds import ClipFeed, DeviceFeed, Feed, HttpFeed, RtspFeed
from smolvlm.media.fetch import without_login
from smolvlm.media.images import SCHEME
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from smolvlm.media.shots import MAX_BROKEN, Shot
from smolvlm.media.video_frames import CLOCK_STEP, Frame

STREAMS = ("http", "https", "rtsp", "rtsps")
DEVICE = re.compile(r"[0-9]{1,3}|/dev/video[0-9]+")
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts to open a source that was lost
PATIENCE = 0.5  # seconds of one wait; some systems hold Ctrl-C back from a thread that waits
FAREWELL = 2.0  # seconds that closing waits for the reader; a source may be stuck for longer
MAX_SIGNALS = 32  # kept for somebody who is busy; of a camera that flickers the oldest ones go


@dataclass(frozen=True)
class Signal:
    """The source went away or came back. time: on the source's clock; reason: for people."""

    kind: Literal["lost", "back"]
    time: float
    reason: str


def open_camera(
    source: str | int | Path,
    *,
    every: float = 0.0,
    speed: float = 1.0,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    allow_url: bool = False,
) -> Camera:
    """A camera (0, `/dev/video0`), a stream (rtsp, rtsps, http, https) or a clip played as one.

    every: seconds between the frames that are given out, 0 for all that can be taken in time.
    speed: how much faster than in life a clip is played. Streams need `allow_url`, and those of
    this machine or its own network `limits.allow_private` too, as in `fetch.py`.

    Enter it to begin: `MediaError` when there is no such source, or none with pictures.
    """
    if not 0.0 <= every < float("inf"):
        raise InputError(f"every is {every!r}; wanted seconds, 0 or more")
    feed = _choose_feed(source, speed=speed, limits=limits, allow_url=allow_url)
    return Camera(feed, every=every)


class Camera:
    """Iterate for `Frame`s, each newer than the one before, and for a `Signal` now and then.

    `Frame.time` is on the source's own clock: Unix time for a live one, seconds from its first
    frame for a clip. A clip ends; a live source does not. Use it in a `with` block.
    """

    def __init__(self, feed: Feed, *, every: float = 0.0, first_wait: float = FIRST_WAIT) -> None:
        self.live = feed.live
        self._feed, self._every, self._first_wait = feed, every, first_wait
        self._news = threading.Condition()  # guards what follows
        self._shot: Shot | None = None
        self._signals: deque[Signal] = deque(maxlen=MAX_SIGNALS)
        self._last: float | None = None  # when the frame that was taken last was shot
        self._opened = self._ended = False
        self._failure: Exception | None = None
        self._begun, self._stopping = threading.Event(), threading.Event()
        self._reader = threading.Thread(target=self._run, name="camera", daemon=True)

    def now(self) -> float:
        """The time on the source's clock."""
        return self._feed.now()

    def __enter__(self) -> Self:
        """Open the source; a clip does not begin to play before somebody iterates."""
        self._reader.start()
        with self._news:
            while not (self._opened or self._ended):
                self._news.wait(PATIENCE)
            if self._failure is not None:
                raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and let go of the source."""
        self._stopping.set()
        self._begun.set()
        with self._news:
            self._news.notify_all()
        self._feed.stop()
        if self._reader.is_alive():
            self._reader.join(FAREWELL)

    def __iter__(self) -> Iterator[Frame | Signal]:
        self._begun.set()
        while (item := self._next()) is not None:
            yield item

    def _next(self) -> Frame | Signal | None:
        """What comes next, without pictures that were damaged on their way; None at the end."""
        broken = 0
        while True:
            item = self._wait()
            if item is None or isinstance(item, Signal):
                return item
            time, picture = item
            try:
                return Frame(picture(), time)
            except BrokenShotError:
                broken += 1
                if broken == MAX_BROKEN:
                    raise
                with self._news:
                    self._last = None  # the next one is due at once

    def _wait(self) -> Shot | Signal | None:
        """Wait for a shot or a signal."""
        with self._news:
            while not (self._signals or self._is_due() or self._ended):
                self._news.wait(PATIENCE)
            if self._signals:
                return self._signals.popleft()
            if self._is_due():
                assert self._shot is not None
                shot, self._shot = self._shot, None
                self._last = shot[0]
                self._news.notify_all()
                return shot
            if self._failure is not None:
                raise self._failure
            return None

    def _is_due(self) -> bool:
        """Whether there is a frame to give out. A wall clock that was put back does not stop it."""
        if self._shot is None:
            return False
        if self._last is None:
            return True
        passed = self._shot[0] - self._last
        return passed < 0 or passed >= self._every - CLOCK_STEP

    def _run(self) -> None:
        """What the thread does; its failure is raised where the frames are taken."""
        try:
            self._read()
        except Exception as error:
            self._failure = error
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _read(self) -> None:
        """Read to the end of a clip, or for ever."""
        lost: float | None = None  # since when
        wait = self._first_wait
        while not self._stopping.is_set():
            try:
                for shot in self._shots():
                    if lost is not None:
                        self._say("back", f"it was away for {shot[0] - lost:.0f} s")
                        lost, wait = None, self._first_wait
                    self._put(shot)
                    if self._stopping.is_set():
                        return
                if not self.live:
                    return
                raise MediaError(f"{self._feed.name} gives no more pictures")
            except MediaError as error:
                if self._stopping.is_set():
                    return
                if not (self.live and self._opened):
                    raise
                if lost is None:
                    lost = self.now()
                    self._say("lost", str(error))
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _shots(self) -> Iterator[Shot]:
        shots = self._feed.open()
        if not self.live:
            self._put(None)
            self._begun.wait()
        yield from shots

    def _put(self, shot: Shot | None) -> None:
        """Note that the source is open, and keep the newest shot for whoever comes next.

        The first one of a clip is not replaced before it is taken.
        """
        with self._news:
            self._opened = True
            self._shot = shot
            if self._is_due() or shot is None:
                self._news.notify_all()
            while not self.live and self._last is None and self._shot is not None:
                if self._stopping.is_set():
                    return
                self._news.wait(PATIENCE)

    def _say(self, kind: Literal["lost", "back"], reason: str) -> None:
        with self._news:
            self._shot = None  # of before; it would be old news
            self._signals.append(Signal(kind, self.now(), reason))
            self._news.notify_all()


def _choose_feed(
    source: str | int | Path, *, speed: float, limits: VideoLimits, allow_url: bool
) -> Feed:
    """The feed for a camera number or device, an address, or the path of a clip."""
    if not 0.0 < speed < float("inf"):
        raise InputError(f"the speed is {speed:g}; wanted a number above 0, 1 is as in life")
    scheme = SCHEME.match(source) if isinstance(source, str) else None
    device = not isinstance(source, Path) and DEVICE.fullmatch(str(source))
    if not scheme and not device and not isinstance(source, int):
        return ClipFeed(source, speed=speed, limits=limits)
    if speed != 1.0:
        raise InputError(f"the speed is {speed:g}, and only a clip can be played faster or slower")
    if scheme:
        return _stream(str(source), limits, allow_url=allow_url)
    path = str(source) if str(source).startswith("/dev/") else f"/dev/video{source}"
    return DeviceFeed(path, limits)


def _stream(url: str, limits: VideoLimits, *, allow_url: bool) -> Feed:
    name = without_login(url)
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in STREAMS:
        raise MediaError(
            f"{name} is a {scheme} address; wanted rtsp, rtsps, http or https, a camera or a clip"
        )
    if not allow_url:
        raise MediaError(
            f"{name} is a URL and nothing is fetched unasked; allow it (allow_url, --allow-url)"
        )
    return RtspFeed(url, limits) if scheme.startswith("rtsp") else HttpFeed(url, limits)
