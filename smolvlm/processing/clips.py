"""A clip of a message, opened: its frames as tiles, with the words that go around them.

Which frames is decided by `media/sampling.py`. Each becomes one tile, never split, the moment it is
decoded, so that only tiles are held however large the frames are. SmolVLM2 was trained on clips and
has words for them (`video_prompt.py`); the first generation was not, and is shown the frames as
pictures without words, as the script published for it does (`CinePile`, 50 frames).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ImageRules, VideoRules
from smolvlm.media.sampling import CINEPILE, sample_times
from smolvlm.media.video_frames import Frame, Video
from smolvlm.processing.pixels import cut_tiles
from smolvlm.processing.split import BudgetPolicy, ReferencePolicy, SplitPolicy, plan_split
from smolvlm.processing.video_prompt import clip_text, stamp
from smolvlm.types import ImagePlan, VideoOptions

# A frame that begins this close (in seconds) to a multiple of the frame time begins at it:
# containers round their clocks to milliseconds, and the published stamps are made of frame numbers.
GRID_TOLERANCE = 1.5e-3


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames of a clip, ready for one kind of checkpoint.

    tiles: uint8 (n, S, S, 3), one a frame. times: when each frame begins, in seconds; of averaged
    ones the first. stamps: the same as the prompt says it. duration: seconds of the whole clip.
    plan: how a frame becomes its tile; it holds the frames' height and width. worded: whether the
    prompt says what it is, or shows nothing but the frames.
    """

    name: str
    tiles: NDArray[np.uint8] = field(repr=False)
    times: tuple[float, ...]
    stamps: tuple[str, ...]
    duration: float
    plan: ImagePlan
    worded: bool

    def __len__(self) -> int:
        return len(self.tiles)

    def text(self, frame: str) -> str:
        """What stands for the clip in a prompt; `frame` is the run of one picture."""
        return clip_text(self.stamps, self.duration, frame) if self.worded else frame * len(self)


def open_clip(
    video: Video,
    options: VideoOptions,
    *,
    rules: ImageRules,
    video_rules: VideoRules | None,
    policy: SplitPolicy,
    share: int = 1,
) -> Clip:
    """Sample a clip for a checkpoint.

    video_rules: None for a checkpoint that was made for pictures only. share: how many clips share
    the checkpoint's number of frames, for options that name none. `InputError` when the clip ends
    before `start`, `MediaError` when it cannot be decoded.
    """
    crop = options.crop
    if options.sampling == "cinepile" or video_rules is None:
        crop = crop or CINEPILE.longest_edge
    times = sample_times(video, options, video_rules, share=share)
    groups = _groups(_different(video.frames_at(times)), options.average)
    shown: list[NDArray[np.uint8]] = []
    moments: list[float] = []
    plan = None
    for group in groups:
        pictures = [_cropped(frame.picture, crop) for frame in group]
        plans = [_frame_plan(picture, rules, policy) for picture in pictures]
        plan = plan or plans[0]
        tiles = [cut_tiles(*pair, rules) for pair in zip(pictures, plans, strict=True)]
        shown.append(_mean(tiles))
        moments.append(group[0].time)
    assert plan is not None, times
    return Clip(
        name=video.name,
        tiles=np.concatenate(shown),  # (n, S, S, 3)
        times=tuple(moments),
        stamps=tuple(stamp(_on_grid(moment, video.rate)) for moment in moments),
        duration=video.duration,
        plan=plan,
        worded=video_rules is not None,
    )


def _frame_plan(picture: Image.Image, rules: ImageRules, policy: SplitPolicy) -> ImagePlan:
    """One tile, squashed to the square; the reference rule goes by way of the longest edge."""
    reference = isinstance(policy, ReferencePolicy)
    whole = ReferencePolicy(split=False) if reference else BudgetPolicy(max_tiles=1)
    return plan_split(picture.height, picture.width, rules, whole)


def _different(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Without those that were shown before: two moments may fall on one long frame."""
    before: float | None = None
    for frame in frames:
        if frame.time != before:
            yield frame
        before = frame.time


def _groups(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while group := list(islice(frames, size)):
        yield group


def _cropped(picture: Image.Image, side: int | None) -> Image.Image:
    """The shorter side brought to `side` pixels, then the square in the middle."""
    if side is None:
        return picture
    scale = side / min(picture.size)
    width, height = (max(round(length * scale), side) for length in picture.size)
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - side) // 2, (height - side) // 2
    return resized.crop((left, top, left + side, top + side))


def _mean(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The mean of some frames, each uint8 (1, S, S, 3), rounded: uint8 (1, S, S, 3)."""
    if len(tiles) == 1:
        return tiles[0]
    mean: NDArray[np.uint8] = np.rint(np.mean(tiles, axis=0)).astype(np.uint8)
    return mean


def _on_grid(time: float, rate: float) -> float:
    """A time as the published processor has it, number of the frame / rate, if it is one."""
    exact = round(time * rate) / rate
    return exact if abs(exact - time) <= GRID_TOLERANCE else time
