"""Pictures as a clip: lists with and without times, folders, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_frames import Frame, Slides, folder_pictures
from smolvlm.media.videos import open_video
from tests.clips import number_of, numbered


def pictures(count: int) -> list[np.ndarray]:
    return [numbered(number) for number in range(count)]


def numbers(frames) -> list[int]:
    return [number_of(frame.picture) for frame in frames]


def test_pictures_follow_each_other_at_a_rate():
    clip = open_video(pictures(6), rate=2)
    assert (clip.frame_count, clip.duration, clip.rate, clip.size) == (6, 3.0, 2.0, (48, 128))
    assert [(number_of(f.picture), f.time) for f in clip] == [(k, k / 2) for k in range(6)]
    assert numbers(clip.read([-1, 0.49, 0.5, 2.7, 99])) == [0, 0, 1, 5, 5]
    assert clip.timestamp(3) == 1.5
    assert open_video(pictures(3)).rate == 1.0


def test_frames_keep_their_times_counted_from_the_first():
    frames = [Frame(Image.fromarray(numbered(k)), time) for k, time in enumerate((5.0, 5.5, 9.0))]
    clip = open_video(frames)
    assert [frame.time for frame in clip] == [0.0, 0.5, 4.0]
    assert (clip.duration, clip.rate) == (6.0, 0.5)
    assert numbers(clip.read([3.9, 4.0, 0.6])) == [1, 2, 1]
    assert open_video(frames[:1]).duration == 1.0


def test_one_picture_is_opened_at_a_time(tmp_path):
    """A million of them cost nothing until they are asked for."""
    Image.fromarray(numbered(7)).save(tmp_path / "7.png")
    clip = Slides.at_rate([tmp_path / "7.png"] * 1_000_000, 25)
    assert clip.frame_count == 1_000_000
    first, second = clip.read([0.0, 30_000.0])
    assert numbers([first, second]) == [7, 7]
    repeated = clip.read([0.0, 0.01, 0.02])
    assert repeated[0] is repeated[1] is repeated[2]


def test_a_folder_is_read_as_people_number_it(tmp_path):
    for number in (1, 2, 10):
        Image.fromarray(numbered(number)).save(tmp_path / f"frame {number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert numbers(open_video(tmp_path)) == [1, 2, 10]
    assert numbers(open_video(str(tmp_path), rate=5)) == [1, 2, 10]
    names = ["a2b10.png", "a2b9.png", "a10.png", "b.png"]
    other = tmp_path / "names"
    other.mkdir()
    for name in names:
        (other / name).touch()
    found = [path.name for path in folder_pictures(other)]
    assert found == ["a2b9.png", "a2b10.png", "a10.png", "b.png"]


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(MediaError, match="has no pictures; wanted a folder of frames"):
        open_video(tmp_path)


def test_a_picture_that_cannot_be_opened_says_which(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"frame 0 of .*: .*1\.png is not a picture"):
        next(iter(open_video(tmp_path)))
    clip = open_video(pictures(2), limits=VideoLimits(max_pixels=100))
    with pytest.raises(MediaError, match=r"frame 0 of the list of frames: .*limit is 100"):
        clip.read([0.0])


@pytest.mark.parametrize(
    ("source", "rate", "error", "words"),
    [
        ([], None, MediaError, "has no pictures"),
        ([Frame(Image.new("RGB", (2, 2)), 0.0), Image.new("RGB", (2, 2))], None, InputError, "mix"),
        ([Frame(Image.new("RGB", (2, 2)), 0.0)], 5, InputError, "bring their own times"),
        (
            [Frame(Image.new("RGB", (2, 2)), 2.0), Frame(Image.new("RGB", (2, 2)), 1.0)],
            None, InputError, "at 1 s after one at 2 s; wanted times in ascending order",
        ),
        (
            [Frame(Image.new("RGB", (2, 2)), 0.0), Frame(Image.new("RGB", (2, 2)), float("nan"))],
            None, InputError, "ascending",
        ),
    ],
)  # fmt: skip
def test_lists_that_are_no_clip(source, rate, error, words):
    with pytest.raises(error, match=words):
        open_video(source, rate=rate)


def test_frames_at_the_same_moment_are_no_end_of_the_world():
    """All at 0: a clip of no length still has a rate."""
    clip = open_video([Frame(Image.fromarray(numbered(k)), 0.0) for k in range(3)])
    assert clip.rate > 0 and clip.duration > 0
    assert numbers(clip.read([0.0])) == [2]
