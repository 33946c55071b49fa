"""Clips, groups of pictures, instruments and games: answers agree with the frames and the geometry
they were drawn from, and flip when time runs backwards."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from recipes.embedded.generators import (
    clips,
    english,
    games,
    instruments,
    questions,
    several,
)
from recipes.embedded.materials import Materials
from tests.recipes.scene_reading import pictures, small_materials, words


@pytest.fixture
def materials() -> Materials:
    return small_materials()


@pytest.mark.parametrize("task", clips.CLIPS)
def test_reversed_clips_flip(task: str, materials: Materials) -> None:
    for seed in range(6):
        forwards, backwards = (
            clips.GENERATORS[task](materials, seed, reverse=r) for r in (False, True)
        )
        frames = [p.tobytes() for p in pictures(forwards)]
        assert [p.tobytes() for p in pictures(backwards)] == frames[::-1]
        assert 4 <= len(frames) <= 8
        told = [s.messages[-1].parts[0].text for s in (forwards, backwards)]
        assert (told[0] != told[1]) == (task in clips.FLIPS)


def clip_truth(task: str, film: clips.Film) -> str:
    """The answer of a clip, read off its frames."""
    first, last = film.scenes[0], film.scenes[-1]
    if task == "clip_last":
        return f"The {last.things[0].phrase}."
    if task == "clip_number":
        return str(film.numbers[-1])
    if task == "clip_colour":
        return english.sentence(str(last.things[0].colour))
    if task == "clip_moved":
        (place,) = {
            k for s in film.scenes for k, t in enumerate(s.things) if t.box != first.things[k].box
        }
        return f"The {first.things[place].phrase}."
    if task == "clip_bounces":
        bottoms = [s.things[0].box.top + s.things[0].box.height for s in film.scenes]
        return str(sum(b >= max(bottoms) - 2 for b in bottoms))
    across, down = (
        b - a for a, b in zip(first.things[0].box.centre, last.things[0].box.centre, strict=True)
    )
    vertical = "" if abs(down) < 10 else "down" if down > 0 else "up"
    level = "" if abs(across) < 10 else "right" if across > 0 else "left"
    return english.sentence(f"{vertical} {level}".strip())


@pytest.mark.parametrize("task", clips.CLIPS)
def test_clips_show_what_is_answered(task: str, materials: Materials) -> None:
    answers = Counter()
    for seed in range(160):
        made = clips.made(task, materials, seed)
        assert clip_truth(task, made.film) == made.answer
        back = clips.Film(made.film.scenes[::-1], made.film.numbers[::-1])
        assert clip_truth(task, back) == made.backwards
        answers[made.answer] += 1
    if task.startswith("clip_direction"):
        assert len(answers) == int(task[-1])
        assert min(answers.values()) > 160 / len(answers) / 3


def test_clips_are_worded_like_the_published_video_prompt(materials: Materials) -> None:
    sample = clips.GENERATORS["clip_number"](materials, 1)
    count = len(pictures(sample))
    text = words(sample)
    head = f"of {english.NUMBERS[count]} frames from a 0:00:0{count} [H:MM:SS] video.\n"
    assert text.startswith(f"You are provided the following series {head}")
    assert re.findall(r"\nFrame from 00:(\d\d):", text) == [f"{k:02}" for k in range(count)]


def test_changes_are_what_was_changed(materials: Materials) -> None:
    kinds = Counter()
    for seed in range(150):
        group, (turn,) = several.made("pair_change", materials, seed)
        before, after = (list(scene.things) for scene in group.scenes)
        gone, new = [t for t in before if t not in after], [t for t in after if t not in before]
        if gone and new:
            (one,), (other,) = gone, new
            if one.colour != other.colour:
                told = f"The {one.name} changed from {one.colour} to {other.colour}."
            elif one.box.area != other.box.area:
                told = f"The {one.phrase} grew."
            else:
                told = f"The {one.phrase} moved."
        else:
            (one,) = gone or new
            told = f"The {one.phrase} {'disappeared' if gone else 'appeared'}."
        assert turn.answer == told
        kinds[str(group.change)] += 1
    assert set(kinds) == set(several.CHANGES)


def test_pairs_and_places_are_right(materials: Materials) -> None:
    same, places = [], Counter()
    for seed in range(400):
        group, (turn,) = several.made("pair_same", materials, seed)
        one, other = (scene.things[0].name for scene in group.scenes)
        assert (one == other) == (turn.answer == "Yes.")
        same.append(one == other)
        group, (turn,) = several.made("pair_which", materials, seed)
        shown = [scene.things[0].name in turn.question for scene in group.scenes]
        assert turn.answer == f"The {english.ORDINALS[shown.index(True)]}."
        places[turn.answer] += 1
    assert 0.4 < np.mean(same) < 0.6
    assert len(places) == 3


def reading(task: str, facts: dict[str, Any], turn: questions.Turn) -> str:
    """The answer of an instrument or a game, worked out from the geometry it was drawn from."""
    if task == "clock":
        minutes = round(facts["hour"] / 30 * 60)
        assert facts["minute"] == minutes % 60 * 6
        return f"{minutes // 60 or 12}:{minutes % 60:02}"
    if task == "thermometer":
        (low, bottom), (high, top) = facts["low"], facts["high"]
        share = (bottom - facts["level"]) / (bottom - top)
        return f"{round(low + share * (high - low))} degrees."
    if task == "gauge":
        return str(round((facts["angle"] + 135) / 27 * facts["step"]))
    if task == "calendar":
        date = datetime.date(facts["year"], facts["month"], facts["marked"])
        numbers = re.findall(r"(\d+)(?:st|nd|rd|th)", turn.question)
        if numbers:
            return f"{date.replace(day=int(numbers[0])):%A}."
        marked = re.search("marked|circled|mark", turn.question)
        return f"{date:%B} {date.day}." if marked else f"{date:%B} {date.year}."
    if task == "card":
        if turn.answer.isdigit():
            return str(len(facts["cards"]))
        told = [f"{games.RANKS[rank]} of {suit}" for rank, suit in facts["cards"]]
        if "suit" in turn.question:
            return english.sentence(facts["cards"][0][1])
        return english.sentence(english.listed([f"the {name}" for name in told]))
    if turn.question in {form.format("dice") for form in questions.WORDINGS["count"]}:
        return str(len(facts["numbers"]))
    if task == "domino" and " and " in turn.answer:
        return "{} and {}.".format(*facts["numbers"])
    return str(sum(facts["numbers"]))


@pytest.mark.parametrize("task", [*instruments.DRAWN, *games.DRAWN])
def test_instruments_read_what_they_show(task: str, materials: Materials) -> None:
    module: Any = instruments if task in instruments.DRAWN else games
    for seed in range(12):
        _, facts, turns = module.made(task, materials, seed)
        for turn in turns:
            assert turn.answer == reading(task, facts, turn)
