"""The chain on clips of plain colours: red is what is wished for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from smolvlm.api import Assistant
from smolvlm.errors import InputError, MediaError
from smolvlm.media.video_frames import Frame, Slides
from smolvlm.media.videos import open_video
from smolvlm.processing.clips import Clip
from smolvlm.types import VideoOptions
from smolvlm.video.highlights import (
    MOST_CRITERIA,
    Criteria,
    Highlights,
    Wish,
    choose_criteria,
    find,
    list_of,
    most_telling,
)
from smolvlm.video.sight import NO, YES
from tests.video.stand_in import BLUE, GREY, RED, StandIn, make_clip

ALL = VideoOptions()


def talk(question: str, clip: Clip | None) -> str:
    """What a model would say at each step of the chain."""
    if "Describe it in detail" in question:
        return "Colours\n\ncome and go."
    if "most striking" in question:
        return "- bright red\n- bright red"
    if "List the kinds" in question:
        return "1. red\n2) warm\n"
    return f"It is\n{'red' if clip and clip.tiles[0, 0, 0, 0] > 200 else 'not'}."


def run(assistant: StandIn, path: Path, wish: Wish, options: VideoOptions = ALL) -> Highlights:
    assistant.reply = talk
    with open_video(path) as video:
        return find(cast(Assistant, assistant), video, wish, options)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    colours = [BLUE, RED, RED, BLUE, GREY, RED]
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", colours, each=2)


def test_what_is_wished_for_is_found(assistant: StandIn, film: Path) -> None:
    found = run(assistant, film, Wish("something red", every=2, threshold=0.7))
    assert [(cut.start, cut.end) for cut in found.cuts] == [(2, 6), (10, 12)]
    assert found.reasons == ("It is red.", "It is red.")
    assert [round(s.score, 1) for s in found.segments] == [0.1, 0.9, 0.9, 0.1, 0.5, 0.9]
    assert found.description == "Colours come and go."
    assert found.tried[0].lines == ("red", "warm") and found.tried[1].lines == ("bright red",)
    assert found.chosen == found.tried[0]  # both lists tell the same apart: the first


def test_the_chain_asks_what_was_published(assistant: StandIn, film: Path) -> None:
    found = run(assistant, film, Wish("something red", every=2, threshold=0.7, seed=9))
    describe, first, second, *scored = assistant.asked
    assert describe.settings == {"max_new_tokens": 512, "temperature": 0.7, "seed": 9}
    assert len(describe.times) == 12
    for asked in (first, second):
        assert asked.settings == {"max_new_tokens": 256} and asked.times == ()
        assert "Colours come and go." in asked.question and "something red" in asked.question
    assert first.question != second.question
    questions = [asked for asked in scored if asked.answers]
    assert len(questions) == 2 * len(found.segments)
    assert all(asked.answers == (*YES, *NO) for asked in questions)
    assert "red\nwarm" in questions[0].question and "bright red" in questions[1].question
    assert questions[0].times == questions[1].times == (0.0, 1.8)
    assert [asked.settings for asked in scored if not asked.answers] == [{"max_new_tokens": 64}] * 2


def test_only_so_much_is_kept(assistant: StandIn, film: Path) -> None:
    found = run(assistant, film, Wish("red", every=2, threshold=0.7, keep=3))
    assert [(cut.start, cut.end) for cut in found.cuts] in ([(2, 4)], [(4, 6)], [(10, 12)])
    found = run(assistant, film, Wish("red", every=2, threshold=0.7, keep=6))
    assert sum(cut.length for cut in found.cuts) == pytest.approx(6)


def test_only_the_part_that_is_asked_for(assistant: StandIn, film: Path) -> None:
    options = VideoOptions(start=4, end=8)
    found = run(assistant, film, Wish("red", every=2, threshold=0.7), options)
    assert [(s.start, s.end) for s in found.segments] == [(4, 6), (6, 8)]
    assert all(4 <= time < 8 for asked in assistant.asked for time in asked.times)


def test_nothing_found_is_no_error(assistant: StandIn, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "blue.mp4", [BLUE, BLUE])
    found = run(assistant, path, Wish("red", every=2))
    assert found.cuts == () and found.reasons == () and len(found.segments) == 2


def test_progress_is_told(assistant: StandIn, film: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with open_video(film) as video:
        find(
            cast(Assistant, assistant), video, Wish("red", every=4, threshold=0.9), ALL,
            lambda *step: told.append(step),
        )  # fmt: skip
    assert told == [
        ("describing", 0, 3), ("scoring", 1, 3), ("scoring", 2, 3), ("scoring", 3, 3),
        ("explaining", 0, 0),
    ]  # fmt: skip


class Holes(Slides):
    """Ten seconds of red in which some cannot be read at the second look."""

    def __init__(self, holes: Sequence[float]) -> None:
        super().__init__(
            [Image.new("RGB", (8, 8), RED)] * 10, [float(n) for n in range(10)], end=10
        )
        self.holes, self.looks = holes, 0

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        self.looks += 1
        if self.looks > 1 and set(times) & set(self.holes):
            raise MediaError("a hole")
        return super().frames_at(times)


def test_damage_is_left_out_and_divides(assistant: StandIn) -> None:
    assistant.reply = talk
    found = find(cast(Assistant, assistant), Holes([4.0, 5.0]), Wish("red", every=2), ALL)
    assert [(cut.start, cut.end) for cut in found.cuts] == [(0, 4), (6, 10)]
    [(piece, problem)] = found.unread
    assert (piece.start, piece.end, problem) == (4, 6, "a hole")


def test_nothing_but_damage_is_an_error(assistant: StandIn) -> None:
    video = Holes([float(n) for n in range(10)])
    with pytest.raises(MediaError, match=r"no part of .* can be read"):
        find(cast(Assistant, assistant), video, Wish("red", every=2), ALL)


def test_lists_as_models_write_them() -> None:
    written = "Here:\n\n* a goal\n - a save \n• a goal\n1. a foul\n(2) red card\n3) 2 players\n"
    assert list_of(written) == ("Here:", "a goal", "a save", "a foul", "red card", "2 players")
    assert list_of(" \n\n-\n") == ()
    assert len(list_of("\n".join(f"- {n} again" for n in range(50)))) == MOST_CRITERIA


def test_a_model_that_lists_nothing_leaves_the_wish(assistant: StandIn) -> None:
    assistant.reply = lambda question, clip: " \n"
    found = choose_criteria(cast(Assistant, assistant), "x", "goals")
    assert found == (("goals",), ("goals",))


def test_the_list_that_fewer_segments_meet_is_kept() -> None:
    wide, narrow, none = (
        Criteria((name,), scores)
        for name, scores in (("w", (0.9, 0.8, 0.1)), ("n", (0.9, 0.2, 0.1)), ("0", (0.1, 0.4, 0.2)))
    )
    assert most_telling([wide, narrow], 0.5) == narrow
    assert most_telling([none, wide], 0.5) == wide
    assert most_telling([none, none], 0.5) == none
    assert most_telling([none, wide], 0.3) == none


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"about": " "}, "the wish is empty"),
        ({"threshold": 0.0}, "the threshold is 0"),
        ({"threshold": 1.5}, "the threshold is 1.5"),
        ({"threshold": float("nan")}, "the threshold is nan"),
        ({"keep": 5.0}, "less than a segment of 10 s"),
    ],
)
def test_wishes_that_cannot_be(told: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Wish(**({"about": "goals"} | told))  # type: ignore[arg-type]
