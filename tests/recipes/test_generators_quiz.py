"""Many questions about one scene: what the quiz decides itself, against the scene.

Directions and neighbours are the business of `asking`, tested with the scenes of one question.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from recipes.embedded.generators import english, questions, quiz
from recipes.embedded.generators.canvas import Scene
from tests.recipes.scene_reading import scene_of

TASKS = tuple(quiz.GENERATORS)
FORMS = ("count", "presence", "describe", "colour", "bigger", "smaller", "position")


def readings(question: str) -> list[tuple[str, tuple[str, ...]]]:
    """Every format of `FORMS` a question may be of, with what fills its gaps."""
    found = []
    for form in FORMS:
        for wording in questions.WORDINGS[form]:
            match = re.fullmatch(re.escape(wording).replace(r"\{\}", "([^:?]+?)"), question)
            found += [(form, match.groups())] if match else []
    return found


def true_of(scene: Scene, form: str, names: tuple[str, ...], answer: str) -> bool:
    """Whether an answer is right, by counting and measuring."""
    counts = Counter(thing.phrase for thing in scene.things)
    if form == "count":
        return {english.plural(p): str(n) for p, n in counts.items()}.get(names[0]) == answer
    if form == "presence":
        there = names[0] in map(english.with_article, counts)
        return answer == ("Yes." if there else "No.")
    if form == "describe":
        return all(english.counted(n, p).lower() in answer.lower() for p, n in counts.items())
    if form == "colour":
        return [t.colour for t in scene.things if t.name == names[0]] == [answer[:-1].lower()]
    if form == "position":
        (x, y), *others = [t.box.centre for t in scene.things if t.phrase == names[0]]
        rows, cols = ("top", "", "bottom"), ("left", "", "right")
        cell = f"{rows[int(3 * y / scene.height)]} {cols[int(3 * x / scene.width)]}".strip()
        return not others and answer == english.sentence(cell or "centre")
    areas = {t.phrase: t.box.area for t in scene.things if t.phrase in names}
    best = (max if form == "bigger" else min)(areas, key=lambda phrase: areas[phrase])
    return answer == f"The {best}." and max(areas.values()) >= 2 * min(areas.values())


@pytest.mark.parametrize("task", TASKS)
def test_every_answer_is_right(task: str) -> None:
    answers, kinds = Counter[str](), Counter[str]()
    for seed in range(150):
        scene, turns = scene_of(task, seed)
        for turn in turns:
            found = readings(turn.question)
            right = [form for form, names in found if true_of(scene, form, names, turn.answer)]
            assert right or not found, (turn, found)
            kinds[right[0] if right else "direction"] += 1
            answers[turn.answer] += 1
    colour = {"colour"} if task == "shape_quiz" else set()
    assert set(kinds) >= {"count", "presence", "describe", "position", "direction", *colour}
    assert 0.4 < answers["Yes."] / (answers["Yes."] + answers["No."]) < 0.6


@pytest.mark.parametrize("task", TASKS)
def test_a_conversation_is_short_and_the_description_last(task: str) -> None:
    lengths = Counter[int]()
    for seed in range(150):
        _, turns = scene_of(task, seed)
        lengths[len(turns)] += 1
        assert len({turn.question for turn in turns}) == len(turns)
        described = [turn.question in questions.WORDINGS["describe"] for turn in turns]
        assert not any(described[:-1])
    assert max(lengths) == quiz.MOST and min(lengths) >= quiz.LEAST - 1
