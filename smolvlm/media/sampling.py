"""Which moments of a clip are looked at: numbers only, but for the scene rule, which compares tiny
grey pictures.

`reference_indices` is the published rule (SmolVLM2 processors: 1 frame a second, at most 64, evenly
spread from the first frame to the last, a second dropped at both ends of a long clip);
`VideoOptions.sampling` chooses between it and the others. The frames themselves are read by
`Video.frames_at`; what the prompt says about them is left to `processing/`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import VideoRules
from smolvlm.errors import InputError
from smolvlm.media.video_frames import Video
from smolvlm.types import SamplingRule, VideoOptions

__all__ = [
    "CINEPILE", "SamplingRule", "VideoOptions", "changed", "fps_times", "reference_indices",
    "sample_times", "segment", "uniform_times",
]  # fmt: skip

# Seconds that the published rule drops at both ends of a long clip.
SKIP_SECONDS = 1.0
# The published protocol for CinePile: 1 frame a second, thinned evenly to 50; the shorter side of
# each to 384 pixels, then its middle square.
CINEPILE = VideoRules(fps=1.0, max_frames=50, longest_edge=384)
# The scene rule looks at so many moments for each frame it may keep, reduced to squares of so many
# pixels, and calls it a change when grey values (0 to 255) differ by so much on average.
SCENE_CANDIDATES = 4
SCENE_SIDE = 32
SCENE_CHANGE = 6.0
# A frame begins at a moment that it is this close to, in seconds.
GRACE = 1e-6


def reference_indices(
    total: int, rate: float, *, fps: float, max_frames: int, skip: float = SKIP_SECONDS
) -> list[int]:
    """The frames that the published processor takes of a clip of `total` frames at `rate` a second.

    Even the rounding is the rule: Python's half-to-even for the number of frames, float64 steps cut
    to whole numbers for their places.
    """
    duration = total / rate
    wanted = max(min(round(fps * duration), max_frames), 1)
    first, last = 0, total - 1
    if skip > 0 and duration - 2 * skip > max_frames * fps:
        first, last = max(int(skip * rate), 0), min(int(total - skip * rate), total - 1)
        if first >= last:
            first, last = 0, total - 1
    places = np.linspace(first, last, wanted, dtype=int)  # (wanted,)
    return [int(place) for place in np.unique(places)]


def uniform_times(start: float, end: float, count: int) -> list[float]:
    """The middles of `count` equal parts, in seconds."""
    step = (end - start) / count
    return [start + (part + 0.5) * step for part in range(count)]


def fps_times(start: float, end: float, fps: float, max_frames: int | None) -> list[float]:
    """`fps` moments a second from `start` on, thinned evenly to `max_frames`."""
    count = max(math.ceil((end - start) * fps - 1e-9), 1)
    kept = _thinned(count, max_frames)
    return [start + place / fps for place in kept]


def changed(pictures: NDArray[np.uint8], most: int, threshold: float = SCENE_CHANGE) -> list[int]:
    """The places in a sequence of grey pictures uint8 (n, side, side) where something changed.

    The first always; then each that differs from the last kept one by `threshold` on average. Of
    more than `most`, those that differ most from the kept one before them stay.
    """
    kept, strength = [0], [math.inf]
    for place in range(1, len(pictures)):
        difference = _difference(pictures[kept[-1]], pictures[place])
        if difference >= threshold:
            kept.append(place)
            strength.append(difference)
    strongest = sorted(range(len(kept)), key=lambda k: (-strength[k], k))[:most]
    return [kept[k] for k in sorted(strongest)]


def sample_times(
    video: Video, options: VideoOptions, rules: VideoRules | None, *, share: int = 1
) -> list[float]:
    """The moments of a clip that `options` chooses, in seconds, ascending.

    rules: what the checkpoint says, for whatever the options leave open; None for one that was made
    for pictures only, whose published protocol is that of CinePile. share: how many clips share the
    number of frames that the rules name. With `average` k there are k moments for each frame that
    will be shown. `InputError` when the clip ends before `start`.
    """
    start, end = segment(video, options)
    rule = options.sampling
    if rules is None or rule == "cinepile":
        rules, rule = CINEPILE, "cinepile" if rule == "reference" else rule
    fps = (rules.fps if options.fps is None else options.fps) * options.average
    most = options.max_frames or max(rules.max_frames // share, 1)
    most *= options.average
    if rule == "reference":
        return _reference_times(video, start, end, fps, most)
    if rule == "uniform":
        return uniform_times(start, end, most)
    if rule == "scene":
        return _scene_times(video, start, end, fps, most)
    return fps_times(start, end, fps, most)


def segment(video: Video, options: VideoOptions) -> tuple[float, float]:
    """The part of a clip that is looked at, in seconds; `InputError` if there is none."""
    start = options.start or 0.0
    end = video.duration if options.end is None else min(options.end, video.duration)
    if start >= end:
        raise InputError(
            f"{video.name} is {video.duration:.2f} s long and start is {start:g} s; wanted a start"
            " before its end"
        )
    return start, end


def _reference_times(
    video: Video, start: float, end: float, fps: float, max_frames: int
) -> list[float]:
    """The published rule for a part of a clip, as if that part were all there is."""
    everything = range(video.frame_count)
    # The first frames that begin at or after start and end, also where the rate varies.
    first, over = (
        bisect.bisect_left(everything, moment - GRACE, key=video.timestamp)
        for moment in (start, end)
    )
    first = min(first, video.frame_count - 1)
    total = max(over - first, 1)
    chosen = reference_indices(total, video.rate, fps=fps, max_frames=max_frames)
    return [video.timestamp(first + index) for index in chosen]


def _scene_times(
    video: Video, start: float, end: float, fps: float, max_frames: int
) -> list[float]:
    """Where something changed among moments several times as dense as the frames wanted."""
    candidates = fps_times(start, end, SCENE_CANDIDATES * fps, SCENE_CANDIDATES * max_frames)
    pictures = np.stack([grey(frame.picture) for frame in video.frames_at(candidates)])  # (n, s, s)
    return [candidates[place] for place in changed(pictures, max_frames)]


def _thinned(count: int, most: int | None) -> Sequence[int]:
    """At most `most` of 0 .. count - 1, evenly spread, the first and the last among them."""
    if most is None or count <= most:
        return range(count)
    return [int(place) for place in np.linspace(0, count - 1, most, dtype=int)]


def grey(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture as tiny grey pixels for `changed`: uint8 (side, side)."""
    small = picture.resize((SCENE_SIDE, SCENE_SIDE), Image.Resampling.BOX)
    return np.asarray(small.convert("L"))


def _difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """Mean absolute difference of two grey pictures uint8 (side, side), 0 to 255."""
    return float(np.abs(left.astype(np.int16) - right.astype(np.int16)).mean())
