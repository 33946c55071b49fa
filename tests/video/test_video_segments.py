"""A clip in pieces: where they begin, which frames are theirs, what happens to damaged ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from smolvlm.api import Assistant
from smolvlm.errors import ContextLengthError, InputError, MediaError
from smolvlm.media.video_frames import Frame, Slides, Video
from smolvlm.media.videos import open_video
from smolvlm.types import VideoOptions
from smolvlm.video.segments import Segment, answer_each, divide, look, look_at_each
from tests.video.stand_in import BLUE, RED, StandIn, make_clip

ALL = VideoOptions()


def slides(count: int, rate: float) -> Video:
    return Slides.at_rate([Image.new("RGB", (8, 8))] * count, rate)


def edges(pieces: Sequence[Segment]) -> list[float]:
    assert all(a.end == b.start for a, b in pairwise(pieces))
    return [pytest.approx(pieces[0].start), *(pytest.approx(piece.end) for piece in pieces)]


def test_the_last_one_is_shorter() -> None:
    assert edges(divide(slides(250, 10), ALL, 10)) == [0, 10, 20, 25]
    assert edges(divide(slides(200, 10), ALL, 10)) == [0, 10, 20]


def test_what_is_less_than_a_frame_makes_no_segment() -> None:
    assert edges(divide(slides(201, 10), ALL, 10)) == [0, 10, 20, 20.1]  # one whole frame
    assert edges(divide(slides(300, 29.97), ALL, 10)) == [0, 10.01001]


def test_only_the_part_that_is_looked_at() -> None:
    options = VideoOptions(start=3, end=14)
    assert edges(divide(slides(200, 10), options, 5)) == [3, 8, 13, 14]
    assert edges(divide(slides(200, 10), VideoOptions(start=15, end=99), 5)) == [15, 20]


def test_many_segments_do_not_drift() -> None:
    pieces = divide(slides(36_000, 10), ALL, 0.3)
    assert len(pieces) == 12_000
    assert pieces[-1].start == pytest.approx(3599.7, abs=1e-9)


@pytest.mark.parametrize(
    ("every", "options", "said"),
    [
        (30.0, ALL, "longer than the 20.00 s"),
        (6.0, VideoOptions(start=15), "longer than the 5.00 s"),
        (0.05, ALL, "has no frame of its own"),
        (5.0, VideoOptions(start=20), "start is 20 s"),
    ],
)
def test_segments_that_cannot_be(every: float, options: VideoOptions, said: str) -> None:
    with pytest.raises(InputError, match=said):
        divide(slides(200, 10), options, every)


def test_a_segment_may_be_as_long_as_the_clip_and_a_frame() -> None:
    assert edges(divide(slides(200, 10), ALL, 20.05)) == [0, 20]


def test_each_answer_names_the_frames_it_rests_on(assistant: StandIn, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [RED, BLUE, RED], each=4)
    with open_video(path) as video:
        pieces = divide(video, ALL, 4)
        answers = list(answer_each(cast(Assistant, assistant), video, pieces, "What?", ALL, {}))
    assert [(a.start, a.end, a.text, a.finish_reason) for a in answers] == [
        (0, 4, "4 frames", "stop"), (4, 8, "4 frames", "stop"), (8, 12, "4 frames", "stop"),
    ]  # fmt: skip
    for answer, asked in zip(answers, assistant.asked, strict=True):
        assert answer.times == asked.times and asked.question == "What?"
        assert all(answer.start <= time < answer.end for time in answer.times)


def test_settings_reach_the_model(assistant: StandIn, tmp_path: Path) -> None:
    options = VideoOptions("fps", fps=0.5, max_frames=1)
    with open_video(make_clip(tmp_path / "a.mp4", [RED, BLUE])) as video:
        pieces = divide(video, options, 2)
        list(answer_each(cast(Assistant, assistant), video, pieces, "?", options, {"seed": 3}))
    assert [asked.settings for asked in assistant.asked] == [{"seed": 3}] * 2
    assert [asked.times for asked in assistant.asked] == [(0.0,), (2.0,)]


def uneven(path: Path) -> Path:
    """5 s at 20 frames a second, then 20 s at one: red, then blue."""
    times = [*(n / 20 for n in range(100)), *(5.0 + n for n in range(20))]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            picture = av.VideoFrame.from_image(
                Image.new("RGB", (64, 48), RED if time < 5 else BLUE)
            )
            picture.pts, picture.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def test_frames_belong_to_their_segment_at_any_frame_rate(
    assistant: StandIn, tmp_path: Path
) -> None:
    with open_video(uneven(tmp_path / "a.mkv")) as video:
        pieces = divide(video, ALL, 5)
        assert edges(pieces)[:5] == [0, 5, 10, 15, 20]
        for piece, clip in look_at_each(cast(Assistant, assistant), video, pieces, ALL):
            assert not isinstance(clip, MediaError)
            assert all(piece.start <= time < piece.end for time in clip.times), (piece, clip.times)
            red, _, blue = clip.tiles.reshape(-1, 3).mean(axis=0)  # (3,)
            assert (red > blue) == (piece.start < 5)


class Damaged(Slides):
    """A clip that cannot be read in some places."""

    def __init__(self, holes: Sequence[tuple[float, float]]) -> None:
        super().__init__([Image.new("RGB", (8, 8))] * 8, [float(n) for n in range(8)], end=8.0)
        self.holes = holes

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        if any(a <= time < b for time in times for a, b in self.holes):
            raise MediaError("a hole")
        return super().frames_at(times)


def test_damage_is_told_and_the_rest_goes_on(assistant: StandIn) -> None:
    video = Damaged([(2, 4)])
    pieces = divide(video, ALL, 2)
    answers = list(answer_each(cast(Assistant, assistant), video, pieces, "?", ALL, {}))
    assert [a.problem for a in answers] == ["", "a hole", "", ""]
    assert [a.text for a in answers] == ["2 frames", "", "2 frames", "2 frames"]


def test_nothing_but_damage_is_an_error(assistant: StandIn) -> None:
    video = Damaged([(0, 8)])
    pieces = divide(video, ALL, 2)
    with pytest.raises(MediaError, match="no part of the list of frames can be read: a hole"):
        list(answer_each(cast(Assistant, assistant), video, pieces, "?", ALL, {}))


def test_too_many_frames_are_blamed_on_their_segment(assistant: StandIn) -> None:
    def refuse(*_: Any) -> str:
        raise ContextLengthError("too long")

    assistant.reply = refuse
    video = slides(200, 10)
    with pytest.raises(ContextLengthError, match="0:00–0:10: too long"):
        list(answer_each(cast(Assistant, assistant), video, divide(video, ALL, 10), "?", ALL, {}))


def test_look_is_what_the_model_would_be_shown(assistant: StandIn, tmp_path: Path) -> None:
    with open_video(make_clip(tmp_path / "a.mp4", [RED, BLUE])) as video:
        clip = look(cast(Assistant, assistant), video, VideoOptions(start=2.0))
    assert clip.tiles.dtype == np.uint8 and clip.tiles.shape[1:] == (512, 512, 3)
    assert clip.stamps == ("00:02", "00:03") and clip.duration == pytest.approx(4.0)
