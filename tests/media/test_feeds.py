"""Feeds against servers on this machine, and a device that FFmpeg makes up."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from smolvlm.errors import MediaError
from smolvlm.media import feeds, shots
from smolvlm.media.camera import Camera, Signal, open_camera
from smolvlm.media.feeds import DeviceFeed, HttpFeed, RtspFeed
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_frames import Frame
from tests.media.live_servers import Server, mjpeg_server, rtsp_server

HERE = VideoLimits(allow_private=True)


def greys(camera: Camera, count: int) -> list[int]:
    """The brightness of the next pictures."""
    frames = [item for item in itertools.islice(camera, count) if isinstance(item, Frame)]
    return [frame.picture.getpixel((5, 5))[0] for frame in frames]  # type: ignore[index]


@pytest.fixture
def mjpeg() -> Iterator[Server]:
    with mjpeg_server(lambda: iter(range(0, 250, 2))) as server:
        yield server


@pytest.fixture
def rtsp() -> Iterator[Server]:
    with rtsp_server(list(range(16, 232))) as server:
        yield server


def until(camera: Camera, kind: str) -> Signal:
    """The next signal of a kind."""
    return next(item for item in camera if isinstance(item, Signal) and item.kind == kind)


def test_motion_jpeg_over_http(mjpeg: Server) -> None:
    before = time.time()
    url = f"http://us%65r:p%40ss@127.0.0.1:{mjpeg.port}/"
    with open_camera(url, limits=HERE, allow_url=True) as camera:
        assert camera.live
        first = next(iter(camera))
        assert isinstance(first, Frame) and first.picture.size == (64, 48)
        assert before <= first.time <= time.time()
        seen = greys(camera, 5)
    assert seen == sorted(seen) and len(set(seen)) == 5
    assert mjpeg.asked[0]["Authorization"] == "Basic dXNlcjpwQHNz"  # user:p@ss


def test_a_stream_that_breaks_off_comes_back(mjpeg: Server) -> None:
    feed = HttpFeed(f"http://127.0.0.1:{mjpeg.port}/", HERE)
    with Camera(feed, first_wait=0.01) as camera:
        greys(camera, 2)
        mjpeg.broken.set()
        lost = until(camera, "lost")
        assert lost.reason == f"{feed.name} gives no more pictures"
        mjpeg.broken.clear()
        until(camera, "back")
        assert greys(camera, 2)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file", "is a file, not a stream; download it"),
        ("playlist", "sends no video, or of a kind that is not read"),
        ("status", "answered 503"),
    ],
)
def test_answers_that_are_no_stream(mjpeg: Server, path: str, words: str) -> None:
    if path == "status":
        mjpeg.broken.set()
    feed = HttpFeed(f"http://user:secret@127.0.0.1:{mjpeg.port}/{path}", HERE)
    with pytest.raises(MediaError, match=words) as caught, Camera(feed):
        pass
    assert "secret" not in str(caught.value)


def test_silence_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feeds, shots):
        monkeypatch.setattr(module, "SILENCE", 0.2)

    def stalling() -> Iterator[int]:
        yield from (10, 20, 30)
        time.sleep(1.5)

    with mjpeg_server(stalling) as server:
        feed = HttpFeed(f"http://127.0.0.1:{server.port}/", HERE)
        with Camera(feed, first_wait=0.01) as camera:
            lost = until(camera, "lost")
            assert "timed out" in lost.reason or "nothing for" in lost.reason


def test_closing_does_not_wait_for_a_silent_stream() -> None:
    def stalling() -> Iterator[int]:
        yield from range(10, 40)
        time.sleep(1.5)

    with mjpeg_server(stalling, pause=0.0) as server:
        camera = open_camera(f"http://127.0.0.1:{server.port}/", limits=HERE, allow_url=True)
        with camera:
            greys(camera, 1)
        assert not camera._reader.is_alive()


def test_a_network_camera(rtsp: Server) -> None:
    url = f"rtsp://user:secret@127.0.0.1:{rtsp.port}/cam"
    with Camera(RtspFeed(url, HERE), first_wait=0.01) as camera:
        seen = greys(camera, 3)
        assert seen == sorted(seen)  # on a busy machine the last one may come more than once
        rtsp.broken.set()
        lost = until(camera, "lost")
        assert lost.reason.startswith(f"rtsp://127.0.0.1:{rtsp.port}/cam ")
        rtsp.broken.clear()
        until(camera, "back")
        assert greys(camera, 1)
    assert [method for method, _ in rtsp.asked[:4]] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


def test_the_address_that_was_checked_is_the_one_that_is_used(
    monkeypatch: pytest.MonkeyPatch, rtsp: Server
) -> None:
    asked: list[str] = []

    def resolve(host: str, limits: VideoLimits) -> list[str]:
        asked.append(host)
        return ["::1", "127.0.0.1"]  # the first does not answer

    monkeypatch.setattr(feeds, "resolve", resolve)
    with Camera(RtspFeed(f"rtsp://camera.example:{rtsp.port}/cam", HERE)) as camera:
        greys(camera, 1)
    assert asked == ["camera.example"]
    assert rtsp.asked[0][1] == f"rtsp://127.0.0.1:{rtsp.port}/cam"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rtsp://127.0.0.1:1/x", "127.0.0.1 is at 127.0.0.1, an address of this machine"),
        ("http://127.0.0.1:1/x", "127.0.0.1 is at 127.0.0.1, an address of this machine"),
        ("rtsp://[::1]:1/x", "is at ::1, an address of this machine"),
        ("rtsp:///x", "names no host"),
        ("rtsp://127.0.0.1:99999/x", "[Pp]ort"),
        ("rtsp://no-such-host.invalid/x", "no-such-host.invalid cannot be found"),
    ],
)
def test_addresses_that_may_not_be_reached(url: str, words: str) -> None:
    with pytest.raises(MediaError, match=words), open_camera(url, allow_url=True):
        pass


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_nobody_there(scheme: str) -> None:
    with (
        pytest.raises(MediaError, match=r"127.0.0.1:9/x cannot be (read|reached)"),
        open_camera(f"{scheme}://127.0.0.1:9/x", limits=HERE, allow_url=True),
    ):
        pass


def device(description: str, limits: VideoLimits = HERE) -> DeviceFeed:
    """FFmpeg's own test pictures in place of a camera."""
    return DeviceFeed(description, limits, driver="lavfi")


def test_a_device() -> None:
    before = time.time()
    with Camera(device("color=c=white:size=32x24:rate=30")) as camera:
        frame = next(iter(camera))
    assert isinstance(frame, Frame) and before <= frame.time <= time.time()
    assert frame.picture.size == (32, 24) and frame.picture.getpixel((9, 9)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("description", "limits", "words"),
    [
        ("anullsrc", HERE, "has no video stream"),
        ("color=size=640x480", VideoLimits(max_pixels=1000), "is 640x480; the limit is 1000"),
        ("nonsense", HERE, "nonsense cannot be read"),
    ],
)
def test_devices_that_cannot_be_used(description: str, limits: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words), Camera(device(description, limits)):
        pass
