"""Copied stretches: every picture that was wanted, the same as in the source, without gaps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.errors import MediaError
from smolvlm.media.cutting import Cut, align, closing, cut_clip, suffix_for
from tests.clips import write_clip

RATE, GOP, SOUND = 10, 20, 48_000
Shown = dict[float, NDArray[np.uint8]]


def make_clip(
    path: Path, *, codec: str = "libx264", seconds: int = 12, sound: str | None = "aac",
    offset: int = 0, rotation: int = 0, **options: str,
) -> Path:  # fmt: skip
    """A clip of noise over a slow ramp, a keyframe every 2 s; `offset`: frames before it begins."""
    rng = np.random.default_rng(0)
    with av.open(path, "w") as container:
        settings = {"g": str(GOP), "keyint_min": str(GOP), "sc_threshold": "0", **options}
        video = container.add_stream(codec, rate=RATE, options=settings)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(sound, rate=SOUND, layout="mono") if sound else None
        for number in range(seconds * RATE):
            noise = rng.integers(0, 30, (48, 64, 3)) + number
            picture = av.VideoFrame.from_ndarray(noise.astype(np.uint8), format="rgb24")
            picture.pts, picture.time_base = number + offset, Fraction(1, RATE)
            container.mux(video.encode(picture))
            if audio is not None:
                container.mux(audio.encode(tone(number + offset)))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def tone(number: int) -> Any:
    count = SOUND // RATE
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, count), np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts = SOUND, number * count
    frame.time_base = Fraction(1, SOUND)
    return frame


def pictures(path: Path) -> Shown:
    """Every picture by its time, counted from the first one."""
    with av.open(path) as container:
        found = [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]
    assert found[0][0] is not None
    return {round(time - found[0][0], 3): picture for time, picture in found}


def sound(path: Path) -> list[float]:
    """When each packet of sound begins."""
    with av.open(path) as container:
        return [float(p.pts * p.time_base) for p in container.demux(audio=0) if p.size]


KINDS = [
    ("a.mp4", {}),
    ("a.mov", {"sound": None}),
    ("a.mkv", {}),
    ("a.webm", {"codec": "libvpx", "sound": "libopus"}),
    ("a.ts", {"offset": 30}),
    ("a.avi", {"codec": "mpeg4", "sound": None}),
    ("low delay.mp4", {"bf": "0"}),
    ("pyramid.mp4", {"bf": "8", "b-pyramid": "normal"}),
]


def test_an_open_group_of_pictures_begins_without_what_leans_on_the_one_before(
    tmp_path: Path,
) -> None:
    source = make_clip(tmp_path / "a.mkv", **{"x264-params": "open-gop=1"})
    [cut] = cut_clip(source, [(5.0, 7.0)], tmp_path / "b.mkv")
    before, after = pictures(source), pictures(tmp_path / "b.mkv")
    taken = [t for t in before if cut.first <= t < cut.last]
    assert cut.first <= 5.0 and cut.last >= 7.0 and len(taken) == len(after)
    for time, picture in after.items():
        np.testing.assert_array_equal(picture, before[round(time + cut.first, 1)])


@pytest.mark.parametrize(("name", "made"), KINDS, ids=[name for name, _ in KINDS])
def test_the_copy_shows_exactly_the_pictures_of_the_source(
    name: str, made: dict[str, Any], tmp_path: Path
) -> None:
    source = make_clip(tmp_path / name, **made)
    out = tmp_path / f"cut{suffix_for(source)}"
    cuts = cut_clip(source, [(3.0, 5.0), (9.0, 10.5)], out)
    before, after = pictures(source), pictures(out)
    wanted: Shown = {}
    for cut in cuts:
        taken = [t for t in before if cut.first - 1e-3 <= t < cut.last - 1e-3]
        assert cut.first <= cut.start and cut.last >= cut.end - 1e-3
        assert cut.last <= cut.end + 1.0, "more than the pictures that lean on each other"
        wanted |= {round(t - cut.first + cut.at, 1): before[t] for t in taken}
    assert sorted(round(t, 1) for t in after) == sorted(wanted)
    for time, picture in after.items():
        np.testing.assert_array_equal(picture, wanted[round(time, 1)])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_sound_comes_along_without_gaps(name: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / name)
    out = tmp_path / f"cut{source.suffix}"
    cuts = cut_clip(source, [(3.0, 5.0), (9.0, 10.5)], out)
    times = sound(out)
    steps = np.diff(times)
    assert times[0] < 0.05 and steps.min() > 0
    assert steps.max() < 0.05  # a packet is 1024 samples, 0.021 s
    assert abs(times[-1] - (cuts[-1].at + cuts[-1].last - cuts[-1].first)) < 0.05


def test_starts_are_those_of_keyframes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", sound=None, bf="0")
    cuts = cut_clip(source, [(0.5, 1.0), (6.0, 7.0)], tmp_path / "b.mp4")
    assert cuts == [Cut(0.5, 1.0, 0.0, 1.0, 0.0), Cut(6.0, 7.0, 6.0, 7.0, 1.0)]


def test_an_end_past_the_end_is_the_end(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", seconds=5)
    [cut] = cut_clip(source, [(3.0, 60.0)], tmp_path / "b.mp4")
    assert (cut.first, cut.last) == (2.0, 5.0)
    assert len(pictures(tmp_path / "b.mp4")) == 30


def test_stretches_that_meet_at_a_keyframe_become_one(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", sound=None, bf="0")
    [cut] = cut_clip(source, [(2.0, 4.5), (5.5, 7.0)], tmp_path / "b.mp4")
    assert (cut.start, cut.end, cut.first, cut.last) == (2.0, 7.0, 2.0, 7.0)


def test_align() -> None:
    def two_seconds(moment: float) -> float:
        return moment // 2 * 2

    assert align([(1, 3), (3.5, 5), (7, 8)], two_seconds) == [(1, 5, 0), (7, 8, 6)]
    assert align([(1, 3), (9, 10)], lambda moment: 4.0) == [(9, 10, 4.0)]
    assert align([], two_seconds) == []


@pytest.mark.parametrize(
    ("stamps", "end", "count"),
    [
        ([0, 1, 2, 3], 2, 2),  # nothing reordered
        ([0, 3, 1, 2, 6, 4, 5], 2, 4),  # 3 is stored before 1: everything up to it
        ([0, 3, 1, 2, 6, 4, 5], 3, 4),
        ([0, 3, 1, 2, 6, 4, 5], 4, 4),
        ([0, 3, 1, 2, 6, 4, 5], 5, 7),
        ([0, 3, 1, 2], 99, 4),
        ([5], 0, 1),
    ],
)
def test_closing(stamps: list[int], end: int, count: int) -> None:
    assert closing(stamps, end) == count
    kept, left = stamps[:count], stamps[count:]
    assert not left or max(kept) < min(left)
    assert all(stamp >= end for stamp in left)


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("no clip")
    with pytest.raises(MediaError, match="not a clip"):
        cut_clip(text, [(0.0, 1.0)], tmp_path / "b.mp4")
    silent = make_clip(tmp_path / "c.mp4", seconds=2)
    with pytest.raises(MediaError, match="cannot be copied without decoding"):
        cut_clip(silent, [(0.0, 1.0)], tmp_path / "c.webm")  # H.264 does not go into webm


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", bf="0")
    with pytest.raises(OSError, match="No space left"):
        cut_clip(source, [(0.0, 12.0)], Path("/dev/full"))


def test_which_container_a_copy_has() -> None:
    names = ("a.mp4", "A.MOV", "a.webm", "a.avi", "a", "a.ts")
    assert [suffix_for(Path(name)) for name in names] == [
        ".mp4", ".mov", ".webm", ".mkv", ".mkv", ".mkv",
    ]  # fmt: skip


def test_packets_without_their_times_are_not_copied(tmp_path: Path) -> None:
    """They would be shown in the order in which they are stored."""
    source = write_clip(tmp_path / "a.avi", 100, bf="3", b_strategy="0")
    with pytest.raises(MediaError, match=r"do not say when they are shown\); convert it to mp4"):
        cut_clip(source, [(1.0, 2.0)], tmp_path / "b.mkv")
