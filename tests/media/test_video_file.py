"""What comes out of a file: upright, without combing, at its exact time."""

from __future__ import annotations

import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from smolvlm.media.video_file import VideoFile, upright
from tests.clips import number_of, write_clip

# a, b, u, c, d, v, x, y, w of ISO/IEC 14496-12, 6.2.2, as 16.16 (and 2.30) fixed point:
# (x', y') = (a x + c y, b x + d y), y downwards.
ONE, LAST = 0x10000, 0x40000000
TURNS = {
    "as it is": ((ONE, 0, 0, 0, ONE, 0, 0, 0, LAST), None),
    "a quarter clockwise": ((0, ONE, 0, -ONE, 0, 0, 0, 0, LAST), Image.Transpose.ROTATE_270),
    "upside down": ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, LAST), Image.Transpose.ROTATE_180),
    "a quarter back": ((0, -ONE, 0, ONE, 0, 0, 0, 0, LAST), Image.Transpose.ROTATE_90),
}


def corner() -> np.ndarray:
    """A black frame with its upper left quarter white."""
    frame = np.zeros((64, 128, 3), np.uint8)
    frame[:32, :64] = 255
    return frame


@pytest.mark.parametrize("name", TURNS)
def test_a_clip_is_turned_upright(tmp_path, name):
    """The matrix in the track header is written by hand, as a telephone does."""
    matrix, turn = TURNS[name]
    path = write_clip(tmp_path / "a.mp4", [corner()] * 3)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = b"".join((value & 0xFFFFFFFF).to_bytes(4, "big") for value in matrix)
    path.write_bytes(data)
    wanted = Image.fromarray(corner())
    wanted = wanted if turn is None else wanted.transpose(turn)
    with VideoFile(path) as video:
        assert video.size == (wanted.height, wanted.width)
        for frame in (*video, *video.read([0.05])):
            difference = np.asarray(frame.picture).astype(int) - np.asarray(wanted)
            assert np.abs(difference).max() < 12


@pytest.mark.parametrize(("suffix", "degrees"), [("mp4", 90), ("mov", -90), ("mkv", 180)])
def test_turned_clips_of_every_container(tmp_path, suffix, degrees):
    path = write_clip(tmp_path / f"a.{suffix}", 3, rotation=degrees)
    with VideoFile(path) as video:
        assert video.size == ((48, 128) if degrees == 180 else (128, 48))


def combed(top: int, bottom: int) -> np.ndarray:
    """A frame of two moments: even lines of one grey, odd lines of another."""
    frame = np.full((64, 64, 3), bottom, np.uint8)
    frame[::2] = top
    return frame


def test_an_interlaced_frame_shows_one_moment(tmp_path):
    frames = [combed(200, 20), combed(20, 200)]
    interlaced = write_clip(
        tmp_path / "i.mkv", frames, codec="mpeg2video", flags="+ilme+ildct", qmin="1", qmax="1"
    )
    with av.open(interlaced) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))
    with VideoFile(interlaced) as video:
        shown = [np.asarray(frame.picture)[8:-8].mean() for frame in video]
        found = [np.asarray(frame.picture)[8:-8].mean() for frame in video.read([0.0, 0.04])]
        assert [frame.time for frame in video.read([0.0, 0.04])] == [0.0, 0.04]
    assert shown == found
    # One field or the other, never their mean of 110.
    assert abs(shown[0] - 200) < 15 and abs(shown[1] - 20) < 15


def test_transparency_lies_on_white():
    frame = av.VideoFrame.from_ndarray(np.zeros((4, 6, 4), np.uint8), format="rgba")
    assert upright(frame).getpixel((0, 0)) == (255, 255, 255)
    opaque = av.VideoFrame.from_ndarray(np.zeros((4, 6, 3), np.uint8), format="rgb24")
    assert upright(opaque).getpixel((0, 0)) == (0, 0, 0)


def test_what_a_header_says_of_a_clip(tmp_path):
    with VideoFile(write_clip(tmp_path / "a.mp4", 75, sound=True)) as video:
        assert (video.frame_count, video.rate, video.duration) == (75, 25.0, 3.0)
        assert [video.timestamp(index) for index in (0, 1, 74)] == [0.0, 0.04, 74 / 25]
        assert video.name.endswith("a.mp4")


@pytest.mark.parametrize("suffix", ["mkv", "webm", "ts", "avi"])
def test_containers_that_do_not_count_are_counted(tmp_path, suffix):
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(suffix, "libx264")
    for rate in (Fraction(24), Fraction(30000, 1001)):
        path = write_clip(tmp_path / f"a.{suffix}", 72, rate=rate, codec=codec)
        with VideoFile(path) as video:
            assert abs(video.frame_count - 72) <= (suffix == "ts")
            assert video.rate == pytest.approx(float(rate), rel=2e-2)
            assert video.duration == pytest.approx(72 / float(rate), abs=0.05)


@pytest.mark.parametrize("options", [{"bf": "0"}, {}, {"bf": "3", "b_strategy": "0"}])
def test_frames_of_a_variable_rate_have_exact_times(tmp_path, options):
    """Also when they are stored out of order, which is what b-frames do."""
    rng = np.random.default_rng(0)
    pts = [0, *np.cumsum(rng.choice([20, 33, 40, 500, 2000], 59)).tolist()]
    path = write_clip(tmp_path / "a.mp4", 60, pts=pts, **options)
    with VideoFile(path) as video:
        assert [frame.time for frame in video] == [time / 1000 for time in pts]
        assert video.frame_count == 60
        exact = [video.timestamp(index) for index in range(60)]
        assert exact == [time / 1000 for time in pts]
        frames = video.read([time / 1000 for time in pts])
        assert [number_of(frame.picture) for frame in frames] == list(range(60))


def test_a_clip_that_begins_late_begins_at_zero(tmp_path):
    path = write_clip(tmp_path / "a.mkv", 20, pts=[9000 + 40 * number for number in range(20)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        video = VideoFile(path)
    with video:
        assert video.read([0.0])[0].time == 0.0
        assert [number_of(f.picture) for f in video.read([0.0, 0.4, 9.0])] == [0, 10, 19]
        assert video.duration == 0.8


def test_reading_does_not_hold_frames(tmp_path):
    """`frames_at` gives one at a time: nothing of a frame is left once the next has come."""
    import gc
    import weakref

    with VideoFile(write_clip(tmp_path / "a.mp4", 100)) as video:
        alive = []
        for frame in video.frames_at([number / 10 for number in range(10)]):
            alive.append(weakref.ref(frame.picture))
            del frame
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 2
