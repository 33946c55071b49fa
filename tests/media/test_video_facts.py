"""What headers say, what they leave out, and what is done about it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from smolvlm.media.video_container import Work, open_container
from smolvlm.media.video_facts import DEFAULT_RATE, Facts, gather, sane_rate
from tests.clips import write_clip


def facts(path) -> Facts:
    container, stream = open_container(path, "a clip")
    start = next(container.decode(stream)).pts or 0
    with container:
        return gather(container, stream, start, path.stat().st_size)


def test_the_list_of_an_mp4_is_believed(tmp_path):
    found = facts(write_clip(tmp_path / "a.mp4", 30, rate=10))
    assert (found.frames, found.rate, found.end, found.whole) == (30, 10, 3, True)
    assert found.doubt == ""


@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_the_end_of_a_matroska_is_looked_at(tmp_path, suffix):
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    found = facts(write_clip(tmp_path / f"a.{suffix}", 72, rate=24, codec=codec))
    assert (found.frames, found.rate, found.end) == (72, 24, 3)


def test_an_even_clip_is_not_read_to_know_its_end(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 100, keyframes=50, bf="2")
    container, stream = open_container(path, "a clip")
    work = Work()
    with container:
        assert gather(container, stream, 0, path.stat().st_size, work).end == 4
    assert work.packets == 0


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}, {"bf": "3", "b_strategy": "0"}])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_an_uneven_clip_ends_after_its_last_frame(tmp_path, suffix, options):
    """Times of decoding, which the list holds, end before those of showing do."""
    pts = [0, 40, 80, 1000, 1040, 2000, 2500, 2540, 2700, 3000, 3500, 4000, 5000, 5200, 6000]
    path = write_clip(tmp_path / f"a.{suffix}", len(pts), pts=pts, **options)
    container, stream = open_container(path, "a clip")
    with container:
        start = next(container.decode(stream)).pts or 0
        found = gather(container, stream, start, path.stat().st_size)
        exact = [found.timestamp(stream, index) for index in range(len(pts))]
    assert exact == [moment / 1000 for moment in pts]
    assert found.end == Fraction(6) * len(pts) / (len(pts) - 1)


def test_a_promise_about_pictures_alone_is_held_to_two_frames(tmp_path):
    """A Matroska says how long its pictures last, so the sound needs no grace."""
    path = write_clip(tmp_path / "a.mkv", 75)
    assert facts(path).whole
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert not facts(path).whole


@pytest.mark.parametrize(
    ("header", "frames", "seconds", "wanted"),
    [
        (Fraction(25), 10, Fraction(9), 25),
        (None, 10, Fraction(2), 5),
        (Fraction(0), 10, Fraction(2), 5),
        (Fraction(90_000), 10, Fraction(2), 5),
        (Fraction(1, 10**6), 10, Fraction(2), 5),
        (None, 0, Fraction(0), DEFAULT_RATE),
        (Fraction(90_000), 10, Fraction(1, 10**6), DEFAULT_RATE),
    ],
)
def test_a_rate_that_cannot_be_is_worked_out(header, frames, seconds, wanted):
    class Stream:
        average_rate = header
        guessed_rate = None

    assert sane_rate(Stream(), frames, seconds) == wanted


def test_a_doubt_is_told_in_words():
    sound = Facts(0, Fraction(1, 25), Fraction(25), 100, Fraction(4))
    assert sound.doubt == ""
    assert sound.shortened(1000) is sound
    short = sound.shortened(25)
    assert (short.frames, short.end, short.left_out) == (25, 1, 75)
    assert "has 100 frames" in short.doubt and "first 25 are used" in short.doubt
