"""Which moments are chosen: the published rule on all observed cases, and the other rules."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

from smolvlm.config import VideoRules
from smolvlm.errors import InputError
from smolvlm.media.sampling import (
    changed,
    fps_times,
    grey,
    reference_indices,
    sample_times,
    segment,
    uniform_times,
)
from smolvlm.media.video_frames import Frame, Slides, Video
from smolvlm.media.videos import open_video
from smolvlm.types import VideoOptions
from tests.clips import write_clip

RULES = VideoRules(fps=1.0, max_frames=64, longest_edge=512)
GOLDEN = Path(__file__).parents[1] / "golden" / "fixtures.json"
CASES = json.loads(GOLDEN.read_text())["video_sampling_fps1_max64_skip1"]


class Numbers(Video):
    """A clip without pixels: only its numbers are asked for."""

    def __init__(self, total: int, rate: float) -> None:
        self._total, self._rate = total, rate

    name = "numbers"  # type: ignore[assignment]
    size = (1, 1)  # type: ignore[assignment]

    @property
    def duration(self) -> float:
        return self._total / self._rate

    @property
    def frame_count(self) -> int:
        return self._total

    @property
    def rate(self) -> float:
        return self._rate

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        raise AssertionError("no pixels are needed")

    def __iter__(self) -> Iterator[Frame]:
        raise AssertionError("no pixels are needed")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['total']}@{case['fps']}")
def test_the_reference_rule_on_every_observed_case(case):
    found = reference_indices(case["total"], case["fps"], fps=1, max_frames=64)
    assert found == case["indices"]
    times = sample_times(Numbers(case["total"], case["fps"]), VideoOptions(), RULES)
    assert times == [index / case["fps"] for index in case["indices"]]


def test_the_reference_rule_is_the_published_function():
    rng = random.Random(0)
    for _ in range(400):
        total = rng.choice([rng.randint(1, 300), rng.randint(1, 20_000)])
        rate = rng.choice([24, 25, 30, 60, 29.97, 30000 / 1001, 12.5, 0.7, rng.uniform(1, 120)])
        fps, most = rng.choice([1, 2, 0.5]), rng.choice([1, 8, 16, 64])
        skip = rng.choice([0, 1, 1, 1.5])
        metadata = Metadata(total, rate)
        wanted = SmolVLMVideoProcessor.sample_frames(
            SimpleNamespace(num_frames=most, fps=fps), metadata, most, fps, skip
        )
        found = reference_indices(total, rate, fps=fps, max_frames=most, skip=skip)
        assert found == wanted.tolist(), (total, rate, fps, most, skip)


class Metadata(dict):  # type: ignore[type-arg]
    """As the published `VideoMetadata`: keys and attributes."""

    def __init__(self, total: int, rate: float) -> None:
        super().__init__(total_num_frames=total, fps=rate, duration=total / rate)
        self.__dict__ = self


def test_uniform_moments_are_the_middles_of_equal_parts():
    assert uniform_times(2.0, 10.0, 4) == [3.0, 5.0, 7.0, 9.0]
    options = VideoOptions(sampling="uniform", max_frames=1)
    assert sample_times(Numbers(100, 10), options, RULES) == [5.0]


def test_fps_counts_from_the_start_and_is_thinned_evenly():
    assert fps_times(1.0, 3.0, 2.0, None) == [1.0, 1.5, 2.0, 2.5]
    assert fps_times(0.0, 0.1, 1.0, None) == [0.0]
    thinned = fps_times(0.0, 100.0, 1.0, 5)
    assert thinned == [0.0, 24.0, 49.0, 74.0, 99.0]


def test_cinepile_takes_one_a_second_and_at_most_fifty():
    options, film = VideoOptions(sampling="cinepile"), Numbers(600 * 25, 25)
    assert sample_times(Numbers(100, 25), options, RULES) == [0.0, 1.0, 2.0, 3.0]
    long = sample_times(film, options, RULES)
    assert (len(long), long[0], long[-1]) == (50, 0.0, 599.0)
    # What the first generation was published with; it has no rules of its own.
    assert sample_times(film, VideoOptions(), None) == long
    assert len(sample_times(film, VideoOptions("uniform"), None)) == 50


def test_clips_share_the_frames_that_the_checkpoint_names():
    film = Numbers(600 * 25, 25)
    assert len(sample_times(film, VideoOptions(), RULES, share=2)) == 32
    assert len(sample_times(film, VideoOptions(sampling="cinepile"), RULES, share=2)) == 25
    assert len(sample_times(film, VideoOptions(), RULES, share=1000)) == 1
    assert len(sample_times(film, VideoOptions(max_frames=40), RULES, share=2)) == 40


def test_a_part_of_an_uneven_clip_holds_the_frames_that_begin_in_it(tmp_path):
    """Counted by the average rate, frame 8 would be the first after 2 s."""
    pts = [0, 40, 80, 1000, 1040, 2000, 2500, 2540, 2580, 2700, 3000, 6000]
    with open_video(write_clip(tmp_path / "a.mp4", len(pts), pts=pts)) as video:
        options = VideoOptions(start=1.5, end=2.6, fps=100)
        assert sample_times(video, options, RULES) == [2.0, 2.5, 2.54, 2.58]


def test_a_part_is_sampled_as_if_it_were_all():
    video = Numbers(30 * 100, 30)
    options = VideoOptions(start=10, end=13)
    times = sample_times(video, options, RULES)
    alone = sample_times(Numbers(90, 30), VideoOptions(), RULES)
    assert times == pytest.approx([10 + time for time in alone])
    assert all(10 <= time < 13 for time in times)
    for rule in ("uniform", "fps", "cinepile"):
        options = VideoOptions(rule, fps=4 if rule == "fps" else None, start=10, end=13)
        assert all(10 <= time < 13 for time in sample_times(video, options, RULES))


def test_a_part_past_the_end_stops_there():
    assert segment(Numbers(100, 10), VideoOptions(start=4, end=99)) == (4, 10.0)
    assert segment(Numbers(100, 10), VideoOptions()) == (0.0, 10.0)
    with pytest.raises(InputError, match=r"numbers is 10\.00 s long and start is 10 s"):
        segment(Numbers(100, 10), VideoOptions(start=10))


def test_averaging_asks_for_as_many_more_moments():
    video = Numbers(25 * 20, 25)
    options = VideoOptions(sampling="uniform", max_frames=4)
    grouped = VideoOptions(sampling="uniform", max_frames=4, average=3)
    assert len(sample_times(video, options, RULES)) == 4
    assert len(sample_times(video, grouped, RULES)) == 12
    assert len(sample_times(video, VideoOptions(average=2), RULES)) == 40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": "random"}, "no sampling rule 'random'; known: reference, uniform"),
        ({"start": 3, "end": 3}, r"start \(3 s\) is not before end \(3 s\)"),
        ({"start": -1}, "start is -1; wanted seconds from 0 on"),
        ({"end": float("nan")}, "end is nan"),
        ({"fps": 0}, "fps is 0; wanted a number above 0"),
        ({"fps": float("inf")}, "fps is inf"),
        ({"fps": True}, "fps is True"),
        ({"rate": -2}, "rate is -2"),
        ({"max_frames": 0}, "max_frames is 0; wanted a whole number of at least 1"),
        ({"max_frames": 2.0}, "max_frames is 2.0"),
        ({"average": 0}, "average is 0"),
        ({"average": None}, "average is None"),
        ({"crop": 0}, "crop is 0"),
        ({"sampling": "fps"}, "give fps"),
        ({"sampling": "uniform", "fps": 1}, "has no fps"),
    ],
)
def test_options_that_contradict_themselves(options, words):
    with pytest.raises(InputError, match=words):
        VideoOptions(**options)


def squares(*values: int) -> np.ndarray:
    return np.stack([np.full((4, 4), value, np.uint8) for value in values])


def test_changes_are_kept_and_stillness_is_not():
    assert changed(squares(0, 0, 0), 10) == [0]
    assert changed(squares(0, 0, 100, 100, 0), 10) == [0, 2, 4]
    # A slow change counts once it has gone far enough from the last kept frame.
    assert changed(squares(0, 3, 6, 9, 12, 15), 10, threshold=6) == [0, 2, 4]


def test_of_too_many_changes_the_strongest_stay():
    pictures = squares(0, 10, 200, 190, 180, 30)
    assert changed(pictures, 10) == [0, 1, 2, 3, 4, 5]
    assert changed(pictures, 3) == [0, 2, 5]
    assert changed(pictures, 1) == [0]


def test_the_scene_rule_finds_the_cuts_of_a_clip():
    colours = [(0, 0, 0)] * 7 + [(255, 0, 0)] * 5 + [(0, 0, 255)] * 8
    clip = Slides.at_rate([Image.new("RGB", (9, 9), colour) for colour in colours], 4)
    assert sample_times(clip, VideoOptions(sampling="scene"), RULES) == [0.0, 7 / 4, 3.0]
    part = VideoOptions(sampling="scene", start=2)
    assert sample_times(clip, part, RULES) == [2.0, 3.0]
    few = VideoOptions(sampling="scene", max_frames=2)
    assert len(sample_times(clip, few, RULES)) <= 2


def test_grey_is_small():
    picture = Image.new("RGB", (500, 300), (10, 10, 10))
    assert (grey(picture).shape, int(grey(picture).max())) == ((32, 32), 10)
