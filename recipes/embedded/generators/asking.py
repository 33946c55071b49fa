"""Questions whose answers are read from a `Scene`: counting, relations, places, sizes,
descriptions.

The same for shapes and for drawings. A relation is only asked where it is plain: `direction` is
None on diagonals and for things that lie almost level. Where things have to stand for a question is
decided by `arrange_pair` and `arrange_cell`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from recipes.embedded.generators import english
from recipes.embedded.generators.canvas import Box, Scene, Thing
from recipes.embedded.generators.questions import Turn, ask, yes_no

DIRECTIONS = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
_PHRASES = {
    "left": "to the left of",
    "right": "to the right of",
    "above": "above",
    "below": "below",
}
POSITIONS = (
    "top left",
    "top",
    "top right",
    "left",
    "centre",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
LEAST_STEP = 0.14  # of the picture's side between two centres before one is left of the other
DOMINANCE = 1.7  # how much longer the main axis of a direction must be than the other
SIZE_RATIO = 2.0  # of the areas of two things before one is called bigger


def direction(thing: Box, other: Box, width: int, height: int) -> str | None:
    """Where `thing` lies seen from `other`, or None where that is not plain."""
    (x, y), (other_x, other_y) = thing.centre, other.centre
    across, down = (x - other_x) / width, (y - other_y) / height
    if abs(across) >= max(LEAST_STEP, DOMINANCE * abs(down)):
        return "left" if across < 0 else "right"
    if abs(down) >= max(LEAST_STEP, DOMINANCE * abs(across)):
        return "above" if down < 0 else "below"
    return None


def arrange_pair(
    rng: random.Random, wanted: str, sizes: Sequence[tuple[int, int]], width: int, height: int
) -> list[Box]:
    """Two boxes without overlap, the first of which lies in direction `wanted` from the second."""
    scale = 1.0
    while True:
        boxes = [
            Box(rng.randint(2, width - wide - 2), rng.randint(2, height - high - 2), wide, high)
            for wide, high in ((int(w * scale), int(h * scale)) for w, h in sizes)
        ]
        if (
            boxes[0].overlap(boxes[1]) == 0
            and direction(boxes[0], boxes[1], width, height) == wanted
        ):
            return boxes
        scale = max(0.4, scale * 0.99)


def arrange_cell(
    rng: random.Random, cell: str, size: tuple[int, int], width: int, height: int
) -> Box:
    """A box whose centre stands in the middle part of one of the nine `POSITIONS`."""
    row, col = divmod(POSITIONS.index(cell), 3)
    shrink = min(1.0, width * 0.27 / size[0], height * 0.27 / size[1])  # cells never touch
    wide, high = int(size[0] * shrink), int(size[1] * shrink)
    x = width * (2 * col + 1) / 6 + rng.uniform(-0.03, 0.03) * width
    y = height * (2 * row + 1) / 6 + rng.uniform(-0.03, 0.03) * height
    left = min(max(2, int(x - wide / 2)), width - wide - 2)
    top = min(max(2, int(y - high / 2)), height - high - 2)
    return Box(left, top, wide, high)


def count_turn(rng: random.Random, number: int, plural: str) -> Turn:
    """`How many ducks are there?`, answered with digits."""
    return Turn(ask(rng, "count", plural), str(number))


def side_turn(rng: random.Random, scene: Scene, thing: Thing, other: Thing) -> Turn:
    """A yes/no question about a relation; the wrong one asked is the opposite one."""
    true = direction(thing.box, other.box, scene.width, scene.height)
    assert true is not None, "the two things were not arranged for this question"
    truth = rng.random() < 0.5
    said = _PHRASES[true if truth else OPPOSITE[true]]
    return Turn(ask(rng, "side", thing.phrase, other.phrase, said), yes_no(truth))


def which_side_turn(rng: random.Random, scene: Scene, thing: Thing, other: Thing) -> Turn:
    """Which of the four directions `thing` lies in, seen from `other`."""
    true = direction(thing.box, other.box, scene.width, scene.height)
    assert true is not None, "the two things were not arranged for this question"
    return Turn(ask(rng, "which side", thing.phrase, other.phrase), english.sentence(true))


def neighbour_turn(rng: random.Random, scene: Scene) -> Turn | None:
    """`What is above the star?`: one thing alone lies that way of another; None if none does."""
    unique = [t for t in scene.things if phrase_counts(scene)[t.phrase] == 1]
    found = []
    for other in unique:
        for where in DIRECTIONS:
            there = [t for t in scene.things if t is not other and _partly(t, other, where)]
            plain = [t for t in there if _is(scene, t, other, where)]
            if len(there) == len(plain) == 1:
                found.append((plain[0], other, where))
    if not found:
        return None
    thing, other, where = rng.choice(found)
    question = ask(rng, "what is", other.phrase, _PHRASES[where])
    return Turn(question, english.sentence(f"the {thing.phrase}"))


def _is(scene: Scene, thing: Thing, other: Thing, where: str) -> bool:
    return direction(thing.box, other.box, scene.width, scene.height) == where


def _partly(thing: Thing, other: Thing, where: str) -> bool:
    """True when some part of `thing` lies on that side of the middle of `other`."""
    x, y = other.box.centre
    box = thing.box
    return {
        "left": box.left < x,
        "right": box.left + box.width > x,
        "above": box.top < y,
        "below": box.top + box.height > y,
    }[where]


def position_turn(rng: random.Random, cell: str, phrase: str) -> Turn:
    """Which of the nine positions something is in."""
    return Turn(ask(rng, "position", phrase), english.sentence(cell))


def size_turn(rng: random.Random, one: Thing, other: Thing) -> Turn:
    """Which of two is bigger, or smaller."""
    ratio = one.box.area / other.box.area
    assert max(ratio, 1 / ratio) >= SIZE_RATIO, "the two things were not sized for this question"
    form = rng.choice(("bigger", "bigger", "smaller"))
    bigger, smaller = (one, other) if ratio > 1 else (other, one)
    names = [one.phrase, other.phrase]
    rng.shuffle(names)
    answer = bigger if form == "bigger" else smaller
    return Turn(ask(rng, form, *names), english.sentence(f"the {answer.phrase}"))


def more_turn(rng: random.Random, numbers: Sequence[int], plurals: Sequence[str]) -> Turn | None:
    """Which of two kinds there are more of; None for as many."""
    if numbers[0] == numbers[1]:
        return None
    answer = plurals[numbers[1] > numbers[0]]
    shown = rng.sample(list(plurals), 2)
    return Turn(ask(rng, "more", *shown), english.sentence(answer))


def describe_turn(rng: random.Random, scene: Scene) -> Turn:
    """`A tiger and two ducks.`, kinds from left to right."""
    counts = phrase_counts(scene)
    order = sorted(counts, key=lambda phrase: _mean_x(scene, phrase))
    parts = [english.counted(counts[phrase], phrase) for phrase in order]
    return Turn(ask(rng, "describe"), english.sentence(english.listed(parts)))


def phrase_counts(scene: Scene) -> Counter[str]:
    """How often each phrase stands in the scene."""
    return Counter(thing.phrase for thing in scene.things)


def _mean_x(scene: Scene, phrase: str) -> float:
    places = [t.box.centre[0] for t in scene.things if t.phrase == phrase]
    return sum(places) / len(places)
