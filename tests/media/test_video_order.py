"""Clips that do not say when their frames are shown, told by the numbers that their frames show."""

from __future__ import annotations

import random

import pytest

from smolvlm.errors import MediaError
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_container import open_container
from smolvlm.media.video_file import VideoFile
from smolvlm.media.video_order import lacks_times
from tests.clips import number_of, write_clip

REORDERED = {"bf": "3", "b_strategy": "0"}


@pytest.mark.parametrize(
    ("suffix", "options", "wanted"),
    [
        ("avi", REORDERED, True),
        ("avi", {"bf": "0"}, False),
        ("avi", {"codec": "mpeg4", "bf": "2"}, False),  # each packet says what it is
        ("mp4", REORDERED, False),
        ("mkv", REORDERED, False),
    ],
)
def test_which_clips_lack_times(tmp_path, suffix, options, wanted):
    container, stream = open_container(write_clip(tmp_path / f"a.{suffix}", 20, **options), "a")
    with container:
        assert lacks_times(container, stream) is wanted


@pytest.mark.parametrize("keyframes", [1, 12, 100])
def test_each_frame_is_found_at_its_own_time(tmp_path, keyframes):
    path = write_clip(tmp_path / "a.avi", 60, keyframes=keyframes, sc_threshold="0", **REORDERED)
    with VideoFile(path) as video:
        assert [number_of(frame.picture) for frame in video] == list(range(60))
        assert [round(frame.time * 25, 3) for frame in video] == list(range(60))
        rng = random.Random(0)
        for count in (1, 5, 30):
            numbers = sorted(rng.sample(range(60), count))
            frames = video.read([number / 25 for number in numbers])
            assert [number_of(frame.picture) for frame in frames] == numbers
        assert [number_of(f.picture) for f in video.read([-1.0, 99.0])] == [0, 59]


def test_a_keyframe_is_sought(tmp_path):
    with VideoFile(write_clip(tmp_path / "a.avi", 240, keyframes=12, **REORDERED)) as video:
        before = video.work.packets
        assert number_of(video.read([8.0])[0].picture) == 200
        assert video.work.packets - before < 60


def test_a_broken_stretch_costs_at_most_its_group(tmp_path):
    path = write_clip(tmp_path / "a.avi", 60, keyframes=12, **REORDERED)
    data = bytearray(path.read_bytes())
    middle = data.index(b"movi") + (data.index(b"idx1") - data.index(b"movi")) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with VideoFile(path) as video:
        frames = video.read([0.0, 0.4, 2.2])
        assert [number_of(frame.picture) for frame in (frames[0], frames[2])] == [0, 55]
        assert len(video.read([1.2])) == 1


def test_too_few_keyframes_are_refused(tmp_path):
    path = write_clip(tmp_path / "a.avi", 60, keyframes=1000, sc_threshold="0", **REORDERED)
    video = VideoFile(path, limits=VideoLimits(max_decoded=30))
    with video, pytest.raises(MediaError, match="has too few keyframes"):
        video.read([2.0])
