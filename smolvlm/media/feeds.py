"""Where live pictures come from: a device, a stream, or a clip played as if it were happening.

A `Feed` opens its source and hands out `Shot`s: when, and how to get the picture, since most of
them are dropped before anybody looks. Everything is read through PyAV. Bodies of http(s) streams
come through `fetch.py` with all of its guards, so FFmpeg opens no address by itself but that of an
RTSP camera, which is checked first. What an open stream gives is `shots.py`; keeping only the
newest shot, and opening a source again that was lost, is the business of `camera.py`.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from smolvlm.errors import MediaError
from smolvlm.media.fetch import Stream, resolve, without_login
from smolvlm.media.limits import VideoLimits
from smolvlm.media.shots import SILENCE, Shot, explained, shots_of
from smolvlm.media.videos import Video, open_video

if TYPE_CHECKING:
    from PIL import Image

# What a body may be; none of these opens other addresses, as playlists do.
BODIES = "mpjpeg,mpegts,matroska,webm,mov,mp4,flv,ogg,h264,hevc,mjpeg"


class Feed(Protocol):
    """A source that has not been opened yet, or that can be opened again."""

    @property
    def name(self) -> str:
        """What to call it in messages; never with a password."""
        ...

    @property
    def live(self) -> bool:
        """Whether it goes on for ever, on the clock on the wall."""
        ...

    def open(self) -> Iterator[Shot]:
        """Open the source now, then give its shots; `MediaError` for either."""
        ...

    def now(self) -> float:
        """The time on the clock that shots are stamped with, in seconds."""
        ...

    def stop(self) -> None:
        """Called from another thread: end soon."""
        ...


class LiveFeed:
    """What all live sources share: they go on for ever, on Unix time."""

    live = True

    def now(self) -> float:
        """Unix time."""
        return time.time()

    def stop(self) -> None:
        """Nothing to do where pictures never stop to come; FFmpeg waits at most `SILENCE`."""


class DeviceFeed(LiveFeed):
    """A camera of this machine, through Video4Linux."""

    def __init__(self, path: str, limits: VideoLimits, *, driver: str = "v4l2") -> None:
        self.name = path
        self._limits, self._driver = limits, driver

    def open(self) -> Iterator[Shot]:
        """Open the device."""
        import av

        if self._driver == "v4l2":
            self._check()
        with explained(self.name):
            container = av.open(self.name, format=self._driver)
        return shots_of(container, self.name, self._limits)

    def _check(self) -> None:
        if not sys.platform.startswith("linux"):
            raise MediaError(
                "cameras of this machine are read through Video4Linux, which only Linux has;"
                " give the rtsp:// or http:// address of a camera"
            )
        if not Path(self.name).exists():
            found = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "no camera at all"
            raise MediaError(f"there is no camera {self.name}; here is {found}")


class RtspFeed(LiveFeed):
    """A network camera, over TCP.

    FFmpeg connects to the address that was checked. A camera that sends it on to another address is
    followed there, but to no file and no other protocol.
    """

    def __init__(self, url: str, limits: VideoLimits) -> None:
        self.name = without_login(url)
        self._url, self._limits = url, limits

    def open(self) -> Iterator[Shot]:
        """Resolve, check, connect; the addresses of a host in turn."""
        import av

        options = {"rtsp_transport": "tcp", "protocol_whitelist": "rtsp,rtp,tcp,tls"}
        failure: Exception | None = None
        for url in self._checked():
            try:
                with explained(self.name):
                    container = av.open(url, options=options, timeout=(SILENCE, SILENCE))
            except MediaError as error:
                failure = error
            else:
                return shots_of(container, self.name, self._limits)
        raise failure or MediaError(f"{self.name} has no address")

    def _checked(self) -> Iterator[str]:
        """The URL with each address of its host in place of the name."""
        parts = urllib.parse.urlsplit(self._url)
        try:
            host, port = parts.hostname, f":{parts.port}" if parts.port else ""
        except ValueError as error:  # a port that is none
            raise MediaError(f"{self.name}: {error}") from None
        if not host:
            raise MediaError(f"{self.name} names no host; wanted rtsp://host/path")
        login, at, _ = parts.netloc.rpartition("@")
        for address in resolve(host, self._limits):
            place = f"[{address}]" if ":" in address else address
            yield parts._replace(netloc=f"{login}{at}{place}{port}").geturl()


class HttpFeed(LiveFeed):
    """A stream over http(s): MJPEG, a transport stream, WebM and the like; no playlists."""

    def __init__(self, url: str, limits: VideoLimits) -> None:
        self.name = without_login(url)
        self._url, self._limits = url, limits
        self._stream: Stream | None = None

    def open(self) -> Iterator[Shot]:
        """Ask for the stream."""
        import av

        limits = replace(self._limits, seconds=SILENCE)
        self._stream = stream = Stream(self._url, limits)
        if stream.length is not None:
            stream.close()
            raise MediaError(f"{self.name} is a file, not a stream; download it and give the file")
        motion = stream.media_type == "multipart/x-mixed-replace"
        with explained(self.name):
            container = av.open(
                stream,
                mode="r",
                format="mpjpeg" if motion else None,
                options={"format_whitelist": BODIES},
            )
        return self._until_closed(shots_of(container, self.name, self._limits))

    def stop(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream.close()

    def _until_closed(self, shots: Iterator[Shot]) -> Iterator[Shot]:
        try:
            yield from shots
        finally:
            self.stop()


class ClipFeed:
    """A clip played as it happened, or faster; its clock waits where decoding cannot keep up."""

    live = False

    def __init__(self, source: str | Path, *, speed: float, limits: VideoLimits) -> None:
        self.name = str(source)
        self._source, self._speed, self._limits = source, speed, limits
        self._begun = time.monotonic()  # when the clip's first frame was shown
        self._over: float | None = None  # where the clock stands still: the clip has ended
        self._stopping = threading.Event()

    def open(self) -> Iterator[Shot]:
        """Open the clip; it plays from when the first shot is asked for."""
        return self._play(open_video(self._source, limits=self._limits))

    def now(self) -> float:
        """Seconds from the clip's first frame."""
        if self._over is not None:
            return self._over
        return (time.monotonic() - self._begun) * self._speed

    def stop(self) -> None:
        """End with the next frame."""
        self._stopping.set()

    def _play(self, video: Video) -> Iterator[Shot]:
        self._begun = time.monotonic()
        with video:
            for frame in video:
                early = frame.time - self.now()
                if early > 0:
                    self._stopping.wait(early / self._speed)
                else:
                    self._begun -= early / self._speed
                if self._stopping.is_set():
                    return
                yield frame.time, partial(_same, frame.picture)
        self._over = self.now()


def _same(picture: Image.Image) -> Image.Image:
    return picture
