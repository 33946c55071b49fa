"""Reading by time against its plain twin: decode everything, then look at the times."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from smolvlm.errors import MediaError
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_file import VideoFile
from smolvlm.media.video_frames import CLOCK_STEP, Frame, Video
from tests.clips import number_of, write_clip

# Gaps of a screen recording, in milliseconds: frames come when something happens.
UNEVEN = [sum(([40, 40, 40, 400, 40, 1000] * 20)[:number]) for number in range(60)]
KINDS = {
    "mp4": {"suffix": "mp4"},
    "b-frames and long gaps": {"suffix": "mp4", "keyframes": 30, "bf": "3", "b_strategy": "0"},
    "one keyframe": {"suffix": "mp4", "keyframes": 1000, "sc_threshold": "0"},
    "variable rate": {"suffix": "mp4", "pts": UNEVEN},
    "variable rate, mkv": {"suffix": "mkv", "pts": UNEVEN},
    "mkv": {"suffix": "mkv"},
    "webm": {"suffix": "webm", "codec": "libvpx-vp9"},
    "mov, only keyframes": {"suffix": "mov", "keyframes": 1},
    "avi": {"suffix": "avi", "codec": "mpeg4"},
    "avi without times": {"suffix": "avi", "bf": "3", "b_strategy": "0"},
    "transport stream": {"suffix": "ts"},
    "ntsc": {"suffix": "mp4", "rate": Fraction(30000, 1001)},
    "gif": {"suffix": "gif", "codec": "gif"},
    "with sound": {"suffix": "mp4", "sound": True},
    "hevc": {"suffix": "mp4", "codec": "libx265", "x265-params": "log-level=none"},
    "fragments": {"suffix": "mp4", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "live, without cues": {"suffix": "webm", "codec": "libvpx-vp9", "container": {"live": "1"}},
}


@pytest.fixture(scope="module", params=KINDS)
def video(request, tmp_path_factory) -> VideoFile:
    options = dict(KINDS[request.param])
    path = tmp_path_factory.mktemp("seek") / f"clip.{options.pop('suffix')}"
    return VideoFile(write_clip(path, 60, **options))


def plain(video: Video, times: list[float]) -> list[Frame]:
    """The slow, obvious way."""
    frames = list(video)
    return [
        [frame for frame in frames if frame.time <= time + CLOCK_STEP][-1:][0]
        if time + CLOCK_STEP >= 0
        else frames[0]
        for time in times
    ]


def same(left: list[Frame], right: list[Frame]) -> bool:
    return [frame.time for frame in left] == [frame.time for frame in right] and all(
        np.array_equal(one.picture, other.picture) for one, other in zip(left, right, strict=True)
    )


def test_every_frame_comes_in_order(video):
    frames = list(video)
    assert [number_of(frame.picture) for frame in frames] == list(range(60))
    assert frames[0].time == 0.0
    assert all(a.time < b.time for a, b in pairwise(frames))


@pytest.mark.parametrize("count", [1, 3, 60])
def test_reading_finds_what_the_plain_way_finds(video, count):
    rng = random.Random(count)
    starts = [frame.time for frame in video]
    times = [rng.uniform(-0.1, video.duration + 1) for _ in range(count)]
    times += rng.sample(starts, min(count, 10))
    assert same(video.read(times), plain(video, times))


def test_repeated_and_unsorted_times_are_answered_in_their_order(video):
    last = video.duration
    times = [last, 0.0, last / 2, 0.0, last]
    found = video.read(times)
    assert same(found, plain(video, times))
    assert found[1] is found[3]
    assert video.read([]) == []


def test_iterating_and_reading_may_alternate(video):
    frames = iter(video)
    first = next(frames)
    video.read([video.duration])
    assert number_of(next(frames).picture) == 1
    assert number_of(video.read([0.0])[0].picture) == number_of(first.picture) == 0


def test_only_the_gops_that_are_needed_are_read(tmp_path):
    """One frame of a clip of 20 groups of 12: the packets of its group, and a few to be sure."""
    video = VideoFile(write_clip(tmp_path / "a.mp4", 240, keyframes=12))
    before = video.work.packets
    assert number_of(video.read([5.0])[0].picture) == 125
    assert video.work.packets - before <= 12 + 4
    before = video.work.packets
    video.read([0.5 * step for step in range(19)])
    assert video.work.packets - before < 240


def test_frames_that_nothing_needs_are_not_decoded(tmp_path):
    """In one group of IbbbPbbb... the b-frames before the wanted frame are left out."""
    settings = {"keyframes": 100, "bf": "3", "b_strategy": "0", "sc_threshold": "0"}
    video = VideoFile(write_clip(tmp_path / "a.mp4", 100, **settings))
    assert number_of(video.read([3.9])[0].picture) == 97
    assert video.work.decoded >= 97
    assert video.work.pictures < 60


def test_a_clip_with_one_keyframe_is_refused_past_the_limit(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 100, keyframes=1000, sc_threshold="0")
    with pytest.raises(MediaError, match=r"a\.mp4 has too few keyframes.*\(max_decoded\)"):
        VideoFile(path, limits=VideoLimits(max_decoded=50)).read([3.9])
    assert number_of(VideoFile(path, limits=VideoLimits(max_decoded=50)).read([0.4])[0].picture)


def test_a_broken_stretch_shows_the_frame_before_it(tmp_path):
    """Bytes in the middle are overwritten: reading goes on around them."""
    path = write_clip(tmp_path / "a.mp4", 60, keyframes=10, container={"movflags": "faststart"})
    with av.open(path) as container:
        entries = container.streams.video[0].index_entries
        places = [(entries[k].pos, entries[k].size) for k in range(20, 30)]
    data = bytearray(path.read_bytes())
    for start, size in places:
        data[start + 4 : start + size] = b"\xff" * (size - 4)
    path.write_bytes(data)
    frames = VideoFile(path).read([0.1, 0.9, 1.1, 2.0])
    assert number_of(frames[0].picture) == 2
    assert number_of(frames[3].picture) == 50
    assert all(frame.picture.size == (128, 48) for frame in frames)
