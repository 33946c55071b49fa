"""The camera: its newest frame and no other, losses and returns in order, a clean end."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from smolvlm.errors import BrokenShotError, InputError, MediaError
from smolvlm.media import camera as camera_module
from smolvlm.media.camera import Camera, open_camera
from smolvlm.media.feeds import ClipFeed, DeviceFeed, HttpFeed, RtspFeed
from smolvlm.media.limits import VideoLimits
from smolvlm.media.shots import MAX_BROKEN, Shot
from smolvlm.media.video_frames import Frame
from tests.media.live_servers import make_clip, picture

END = object()


class ScriptedFeed:
    """Gives what a test puts: times of shots, errors to break off with, `END`."""

    name = "the camera"

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.script: queue.Queue[Any] = queue.Queue()
        self.opened = 0
        self.clock = 0.0

    def put(self, *items: Any) -> None:
        """Returns when everything has been read, and the reader wants more."""
        for item in items:
            self.script.put(item)
        self.script.join()

    def open(self) -> Iterator[Shot]:
        self.opened += 1
        return self._shots()

    def _shots(self) -> Iterator[Shot]:
        while True:
            item = self.script.get()
            try:
                if item is END:
                    return
                if isinstance(item, Exception):
                    raise item
                self.clock = item
                yield item, lambda item=item: picture(int(item))
            finally:
                self.script.task_done()

    def now(self) -> float:
        return self.clock

    def stop(self) -> None:
        self.script.put(END)


def entered(feed: ScriptedFeed, first: float = 0.0, **options: Any) -> Camera:
    feed.script.put(first)
    return Camera(feed, first_wait=0.001, **options).__enter__()


def take(camera: Camera, count: int) -> list[Any]:
    """The next items: values of frames, and signals by kind and reason."""
    items = iter(camera)
    found = [next(items) for _ in range(count)]
    return [
        item.picture.getpixel((0, 0))[0] if isinstance(item, Frame) else (item.kind, item.reason)  # type: ignore[index]
        for item in found
    ]


def test_only_the_newest_frame_is_given() -> None:
    feed = ScriptedFeed()
    camera = entered(feed)
    assert take(camera, 1) == [0]
    feed.put(1.0, 2.0, 3.0, 9.0)
    assert take(camera, 1) == [9]
    feed.script.put(10.0)
    assert take(camera, 1) == [10]
    camera.close()


def test_a_picture_that_was_damaged_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is due at once, and a camera that sends nothing whole is an error."""

    def broken() -> Any:
        raise BrokenShotError("noise on the line")

    camera = Camera(ScriptedFeed(), every=10.0)
    shots = iter([(1.0, broken), (2.0, broken), (3.0, lambda: picture(3))])
    monkeypatch.setattr(camera, "_wait", lambda: next(shots))
    camera._last = 2.0
    assert take(camera, 1) == [3] and camera._last is None
    seen: list[float] = []
    monkeypatch.setattr(camera, "_wait", lambda: seen.append(0.0) or (0.0, broken))
    with pytest.raises(BrokenShotError, match="noise"):
        take(camera, 1)
    assert len(seen) == MAX_BROKEN


def test_frames_come_at_the_wanted_distance() -> None:
    feed = ScriptedFeed()
    camera = entered(feed, every=2.0)
    assert take(camera, 1) == [0]
    feed.put(0.5, 1.0, 1.9)
    feed.script.put(2.0)
    assert take(camera, 1) == [2]
    feed.put(3.0, 3.9)
    feed.script.put(7.0)
    assert take(camera, 1) == [7]
    feed.script.put(3.0)  # the clock on the wall was put back
    assert take(camera, 1) == [3]
    camera.close()


def test_a_lost_camera_is_opened_again_and_both_are_said() -> None:
    feed = ScriptedFeed()
    camera = entered(feed)
    feed.put(1.0, MediaError("the cable"), MediaError("still the cable"), MediaError("again"))
    # The frame of before the loss is not given any more.
    assert take(camera, 1) == [("lost", "the cable")]
    feed.script.put(61.0)
    assert take(camera, 2) == [("back", "it was away for 60 s"), 61]
    assert feed.opened == 4
    feed.put(END)
    feed.script.put(70.0)
    lost = ("lost", "the camera gives no more pictures")
    assert take(camera, 3) == [lost, ("back", "it was away for 9 s"), 70]
    camera.close()


def test_the_waits_grow_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ScriptedFeed()
    camera = Camera(feed, first_wait=1.0)
    waits: list[float] = []
    monkeypatch.setattr(camera._stopping, "wait", waits.append)
    feed.script.put(0.0)
    with camera:
        feed.put(*[MediaError("away")] * 9, 5.0, MediaError("away"), MediaError("away"), 6.0)
    assert waits[:11] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 1, 2]


def test_a_camera_that_flickers_fills_no_memory() -> None:
    feed = ScriptedFeed()
    camera = entered(feed)
    for number in range(40):
        feed.put(MediaError("loose contact"), float(number))
    assert len(camera._signals) == camera_module.MAX_SIGNALS
    camera.close()


def test_a_source_that_never_was_there_is_an_error() -> None:
    feed = ScriptedFeed()
    feed.script.put(MediaError("no such camera"))
    with pytest.raises(MediaError, match="no such camera"), Camera(feed):
        pass
    assert feed.opened == 1
    feed = ScriptedFeed()
    feed.script.put(END)
    with pytest.raises(MediaError, match="gives no more pictures"), Camera(feed):
        pass


def test_a_bug_of_ours_is_no_lost_camera() -> None:
    feed = ScriptedFeed()
    camera = entered(feed)
    take(camera, 1)
    feed.script.put(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        list(camera)


def test_closing_ends_the_reader() -> None:
    feed = ScriptedFeed()
    camera = entered(feed)
    camera.close()
    assert not camera._reader.is_alive()
    assert list(camera)[1:] == []  # at most the frame that was already there
    Camera(feed).close()  # never begun


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    make_clip(str(path), list(range(0, 250, 5)))  # 50 frames, 2 seconds
    return path


def test_a_clip_is_played_to_its_end(clip: Path) -> None:
    with open_camera(clip, speed=50.0, every=0.2) as camera:
        assert not camera.live
        frames = list(camera)
    times = [frame.time for frame in frames]
    assert times[0] == 0.0 and len(times) > 1
    assert all(after - before >= 0.199 for before, after in pairwise(times))
    for frame in frames:
        assert isinstance(frame, Frame)
        [grey, _, _] = frame.picture.getpixel((0, 0))  # type: ignore[misc]
        assert abs(grey - 5 * round(frame.time * 25)) <= 8  # what the codec did to it


def test_the_clock_of_a_clip_stands_still_after_its_end(clip: Path) -> None:
    """Its last frame does not grow older while somebody is busy."""
    feed = ClipFeed(clip, speed=1000.0, limits=VideoLimits())
    times = [time for time, _ in feed.open()]
    assert feed.now() == feed.now() >= times[-1]


def test_the_first_frame_of_a_clip_is_not_dropped() -> None:
    feed = ScriptedFeed(live=False)
    for time in (0.0, 1.0, 2.0):
        feed.script.put(time)
    with Camera(feed) as camera:
        items = iter(camera)
        first = next(items)
        assert isinstance(first, Frame) and first.time == 0.0
        feed.script.join()
        second = next(items)
        assert isinstance(second, Frame) and second.time == 2.0


def test_a_clip_waits_for_somebody_to_look(clip: Path) -> None:
    """However long a model takes to load, the first frame is the first."""
    feed = ClipFeed(clip, speed=1000.0, limits=VideoLimits())
    with Camera(feed) as camera:
        camera._reader.join(0.1)
        assert camera._reader.is_alive()
        first = next(iter(camera))
    assert isinstance(first, Frame)


def test_a_broken_clip_is_an_error_not_a_loss(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = ScriptedFeed(live=False)
    camera = Camera(feed).__enter__()
    feed.script.put(1.0)
    feed.script.put(MediaError("broken"))
    with pytest.raises(MediaError, match="broken"):
        list(camera)


def test_which_source_is_what(clip: Path) -> None:
    kinds: list[tuple[Any, type]] = [
        (0, DeviceFeed), ("0", DeviceFeed), ("/dev/video3", DeviceFeed), (clip, ClipFeed),
        (str(clip), ClipFeed), (Path("0"), ClipFeed), ("./0", ClipFeed), ("1234", ClipFeed),
        ("rtsp://user:secret@example.org/x", RtspFeed), ("RTSPS://example.org/x", RtspFeed),
        ("http://example.org/x", HttpFeed), ("https://example.org:8443/x?a=b", HttpFeed),
    ]  # fmt: skip
    for source, kind in kinds:
        feed = open_camera(source, allow_url=True)._feed
        assert type(feed) is kind, source
        assert "secret" not in feed.name
    assert open_camera("7")._feed.name == "/dev/video7"


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("rtsp://u:secret@example.org/x", {}, MediaError, r"//example.org/x is a URL and nothing"),
        ("http://example.org/x", {}, MediaError, "--allow-url"),
        ("ftp://example.org/x", {"allow_url": True}, MediaError, "is a ftp address; wanted rtsp"),
        ("file:///etc/passwd", {"allow_url": True}, MediaError, "is a file address"),
        ("http://[1/x", {"allow_url": True}, MediaError, "the address is broken"),
        ("clip.mp4", {"speed": 0.0}, InputError, "the speed is 0; wanted a number above 0"),
        ("clip.mp4", {"speed": float("nan")}, InputError, "the speed is nan"),
        ("0", {"speed": 2.0}, InputError, "only a clip can be played faster"),
        ("clip.mp4", {"every": -1.0}, InputError, "every is -1.0"),
    ],
)
def test_sources_that_cannot_be(
    source: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        open_camera(source, **options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (97, "there is no camera /dev/video97; here is"),
        (-1, "there is no camera /dev/video-1"),
        ("missing.mp4", "missing.mp4 does not exist"),
        ("sound.mp4", "no video stream"),
        ("words.mp4", "not a clip"),
    ],
)
def test_sources_that_are_not_there(source: Any, words: str, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("these are words")
    write_sound(tmp_path / "sound.mp4")
    path = source if isinstance(source, int) else tmp_path / source
    with pytest.raises(MediaError, match=words), open_camera(path):
        pass


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
