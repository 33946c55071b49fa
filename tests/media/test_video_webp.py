"""Animated WebP: times from the file itself, frames in any order."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import MediaError
from smolvlm.media.limits import VideoLimits
from smolvlm.media.videos import open_video
from tests.clips import number_of, numbered


def webp(count: int, durations: list[int] | int = 100) -> bytes:
    buffer = io.BytesIO()
    first, *rest = [Image.fromarray(numbered(number)) for number in range(count)]
    first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=durations, lossless=True)
    return buffer.getvalue()


def test_frames_and_times():
    clip = open_video(webp(5, [100, 100, 300, 50, 450]))
    assert (clip.frame_count, clip.duration, clip.rate) == (5, 1.0, 5.0)
    assert clip.size == (48, 128)
    told = [(number_of(frame.picture), frame.time) for frame in clip]
    assert told == [(0, 0.0), (1, 0.1), (2, 0.2), (3, pytest.approx(0.5)), (4, pytest.approx(0.55))]
    assert clip.timestamp(2) == 0.2


def test_reading_goes_back_as_well_as_on(tmp_path):
    (tmp_path / "a.webp").write_bytes(webp(12))
    with open_video(tmp_path / "a.webp") as clip:
        frames = list(clip)
        times = [1.15, 0.0, 0.35, 99, -1]
        found = clip.read(times)
        for frame, wanted in zip(found, (11, 0, 3, 11, 0), strict=True):
            assert np.array_equal(frame.picture, frames[wanted].picture)


def test_a_frame_without_a_time_is_shown_for_a_tenth_of_a_second():
    assert open_video(webp(3, [0, 5, 200])).duration == pytest.approx(0.1 + 0.1 + 0.2)


def test_transparency_lies_on_white():
    buffer = io.BytesIO()
    frames = [Image.new("RGBA", (4, 4), (value, 0, 0, 0)) for value in (1, 2)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    (first, *_) = open_video(buffer.getvalue())
    assert first.picture.getpixel((0, 0)) == (255, 255, 255)


def test_only_so_many_frames_are_looked_at():
    with pytest.warns(UserWarning, match=r"has 9 frames .* first 4 are used \(max_decoded\)"):
        clip = open_video(webp(9), limits=VideoLimits(max_decoded=4))
    assert (clip.frame_count, len(list(clip))) == (4, 4)
    assert number_of(clip.read([99])[0].picture) == 3


def test_what_is_wrong_with_it_is_said():
    still = io.BytesIO()
    Image.new("RGB", (4, 4)).save(still, "WEBP")
    with pytest.raises(MediaError, match="a WebP picture without animation; wanted a clip"):
        open_video(still.getvalue())
    with pytest.raises(MediaError, match=r"is 128x48 pixels; the limit is 100 \(max_pixels\)"):
        open_video(webp(3), limits=VideoLimits(max_pixels=100))
    data = webp(20)
    with pytest.raises(MediaError, match="broken"):
        list(open_video(data[: len(data) // 2]))
