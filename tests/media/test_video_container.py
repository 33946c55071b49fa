"""What headers say, what they leave out, and what is done about it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from smolvlm.errors import MediaError
from smolvlm.media.video_container import DEFAULT_RATE, Facts, gather, open_container, sane_rate
from tests.clips import write_clip, write_sound


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


def test_sound_is_not_read(tmp_path):
    """Opening looks at a few packets of everything; seeking forgets what they were."""
    container, _ = open_container(write_clip(tmp_path / "a.mp4", 50, sound=True), "a clip")
    with container:
        container.seek(0)
        assert {packet.stream.type for packet in container.demux() if packet.size} == {"video"}


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


def test_only_sound(tmp_path):
    with pytest.raises(MediaError, match="a clip has no video stream, only sound"):
        open_container(write_sound(tmp_path / "a.mp4"), "a clip")
