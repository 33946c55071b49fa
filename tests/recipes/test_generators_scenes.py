"""Drawn scenes: the same seed draws the same, answers agree with the record read a second way, and
yes is as often right as no."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from recipes.embedded.generators import (
    asking,
    clips,
    colours,
    composites,
    digits,
    english,
    games,
    instruments,
    objects,
    questions,
    quiz,
    several,
    shapes,
    words_only,
)
from recipes.embedded.generators import sprites as nouns
from recipes.embedded.generators.canvas import MOST_OVERLAP, Scene
from recipes.embedded.materials import Materials
from recipes.embedded.pack import Row
from recipes.embedded.synthetic import SyntheticDrawings
from tests.recipes.scene_reading import named, pictures, scene_of, scenes, small_materials, words

MODULES = (
    objects,
    composites,
    shapes,
    quiz,
    instruments,
    games,
    digits,
    several,
    clips,
    words_only,
)
TASKS = {task: make for module in MODULES for task, make in module.GENERATORS.items()}
SCENIC = (*composites.SCENES, *shapes.SCENES, *quiz.GENERATORS)


@pytest.fixture
def materials() -> Materials:
    return small_materials()


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_sample(task: str, materials: Materials) -> None:
    one, again, other = (TASKS[task](materials, seed) for seed in (3, 3, 4))
    assert words(one) == words(again)
    assert [p.tobytes() for p in pictures(one)] == [p.tobytes() for p in pictures(again)]
    assert (words(one), [p.tobytes() for p in pictures(one)]) != (
        words(other),
        [p.tobytes() for p in pictures(other)],
    )
    fresh = TASKS[task](Materials.synthetic(), 3)  # nothing kept from earlier samples matters
    assert [p.tobytes() for p in pictures(fresh)] == [p.tobytes() for p in pictures(one)]
    assert (one.task, one.key) == (task, f"{task}/3")
    assert [m.role for m in one.messages] == ["user", "assistant"] * (len(one.messages) // 2)
    assert all(p.mode == "RGB" for p in pictures(one))
    assert bool(pictures(one)) != task.startswith("text_")


@pytest.mark.parametrize("task", SCENIC)
def test_things_are_inside_and_apart(task: str) -> None:
    for seed in range(80):
        scene, _ = scene_of(task, seed)
        boxes = [thing.box for thing in scene.things]
        for place, box in enumerate(boxes):
            assert 0 <= box.left < box.left + box.width <= scene.width
            assert 0 <= box.top < box.top + box.height <= scene.height
            for other in boxes[:place]:
                wide = min(box.left + box.width, other.left + other.width)
                high = min(box.top + box.height, other.top + other.height)
                common = max(0, wide - max(box.left, other.left))
                common *= max(0, high - max(box.top, other.top))
                assert common <= MOST_OVERLAP * min(box.area, other.area)


def recount(scene: Scene, plural: str) -> int:
    """How many things of a scene an English plural stands for."""
    one = {english.plural(t.name): t.name for t in scene.things}
    tone, _, kind = plural.rpartition(" ")
    if plural in one:
        return sum(t.name == one[plural] for t in scene.things)
    return sum(
        t.colour == (tone or t.colour) and (kind == "shapes" or english.plural(t.name) == kind)
        for t in scene.things
    )


@pytest.mark.parametrize("task", ["shape_count", "composite_count"])
def test_counts_are_right_and_uniform(task: str) -> None:
    forms = [
        re.compile(re.escape(f).replace(r"\{\}", "(.+?)")) for f in questions.WORDINGS["count"]
    ]
    seen: Counter[int] = Counter()
    for scene, turn in scenes(task, 1100):
        found = [match for form in forms if (match := form.fullmatch(turn.question))]
        if found:
            assert recount(scene, found[0].group(1)) == int(turn.answer)
            seen[int(turn.answer)] += 1
        else:
            kinds = [
                n for n in {english.plural(t.name) for t in scene.things} if n in turn.question
            ]
            assert max(kinds, key=lambda n: recount(scene, n)) == turn.answer[:-1].lower()
    assert set(seen) == set(range(11))
    assert min(seen.values()) > 60  # 100 expected, 4 standard deviations


@pytest.mark.parametrize("task", ["shape_relation", "composite_relation"])
def test_yes_no_relations_agree_with_the_centres(task: str) -> None:
    answers = Counter()
    for scene, turn in scenes(task, 600):
        one, other = named(scene, turn.question)
        across = one.box.centre[0] - other.box.centre[0]
        down = one.box.centre[1] - other.box.centre[1]
        true = {
            " left of": across < 0,
            " right of": across > 0,
            " above": down < 0,
            " below": down > 0,
        }
        said = next(value for word, value in true.items() if word in turn.question)
        assert turn.answer == ("Yes." if said else "No.")
        answers[turn.answer] += 1
    assert 0.44 < answers["Yes."] / answers.total() < 0.56


@pytest.mark.parametrize("task", ["shape_side", "composite_side", "composite_neighbour"])
def test_directions_agree_with_the_centres(task: str) -> None:
    answers = Counter()
    for scene, turn in scenes(task, 300):
        sides = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
        if turn.answer[:-1].lower() in sides:
            one, other = named(scene, turn.question)
            if turn.question.startswith(("Seen", "In which")):
                one, other = other, one
            where = turn.answer[:-1].lower()
            answers[where] += 1
        else:
            (other,) = named(scene, turn.question)
            (one,) = (t for t in scene.things if f"The {t.phrase}." == turn.answer)
            where = next(w for w in sides if re.search(rf"\b{w}\b", turn.question))
        axis, sign = sides[where]
        step = [
            (a - b) / s
            for a, b, s in zip(
                one.box.centre, other.box.centre, (scene.width, scene.height), strict=True
            )
        ]
        assert step[axis] * sign > 0.13
        assert abs(step[axis]) > abs(step[1 - axis])
    if task != "composite_neighbour":
        assert min(answers[side] for side in asking.DIRECTIONS) > 45  # of 300


@pytest.mark.parametrize("task", ["shape_position", "composite_position"])
def test_positions_agree_with_thirds(task: str) -> None:
    rows, cols = ("top", "", "bottom"), ("left", "", "right")
    seen = Counter()
    for scene, turn in scenes(task, 400):
        (thing,) = named(scene, turn.question)
        x, y = thing.box.centre
        cell = f"{rows[int(3 * y / scene.height)]} {cols[int(3 * x / scene.width)]}".strip()
        assert turn.answer == english.sentence(cell or "centre")
        seen[turn.answer] += 1
    assert len(seen) == 9
    assert min(seen.values()) > 30


@pytest.mark.parametrize("task", ["shape_size", "composite_size"])
def test_sizes_agree_with_the_boxes(task: str) -> None:
    for scene, turn in scenes(task, 200):
        bigger, smaller = sorted(scene.things, key=lambda t: -t.box.area)
        assert bigger.box.area >= 2 * smaller.box.area
        right = smaller if "smaller" in turn.question else bigger
        assert turn.answer == f"The {right.phrase}."


@pytest.mark.parametrize("task", ["shape_describe", "composite_describe"])
def test_descriptions_say_what_is_there(task: str) -> None:
    numbers = {word: n for n, word in enumerate(english.NUMBERS)}
    for scene, turn in scenes(task, 200):
        told = Counter()
        for part in re.split(r", | and ", turn.answer[:-1]):
            first, rest = part.split(" ", 1)
            number = 1 if first.lower() in ("a", "an") else numbers[first.lower()]
            (name,) = {
                t.phrase for t in scene.things if rest in (t.phrase, english.plural(t.phrase))
            }
            told[name] += number
        assert told == Counter(t.phrase for t in scene.things)


def test_the_odd_one_is_alone(materials: Materials) -> None:
    kinds = {n.name: n.kind for n in nouns.sprites(materials.drawings, "train").nouns}
    for scene, turn in scenes("composite_odd", 200):
        names = [t.name for t in scene.things]
        (odd,) = {name for name in names if turn.answer == f"The {name}."}
        rest = [name for name in names if name != odd]
        assert len(rest) == len(names) - 1 >= 3
        assert len(set(rest)) == 1 or {kinds[n] for n in rest} == {kinds[rest[0]]} != {kinds[odd]}


def presence(task: str, seed: int) -> tuple[set[str], questions.Turn]:
    if task == "object_presence":
        single, turns = objects.made(task, small_materials(), seed)
        return {str(single.noun)}, turns[0]
    scene, turns = scene_of(task, seed)
    return {t.phrase for t in scene.things}, turns[0]


@pytest.mark.parametrize(
    ("task", "count"),
    [("object_presence", 3000), ("composite_presence", 1500), ("shape_presence", 1500)],
)
def test_presence_is_balanced_per_wording_and_per_noun(task: str, count: int) -> None:
    by_wording: dict[str, list[bool]] = defaultdict(list)
    by_noun: dict[str, list[bool]] = defaultdict(list)
    forms = {w: w.format("(?:an? )?(.+)").replace("?", r"\?").replace(r"(\?:an\? )\?", "(?:an? )?")
             for w in questions.WORDINGS["presence"]}  # fmt: skip
    for seed in range(count):
        there, turn = presence(task, seed)
        wording, match = next(
            (w, m) for w, f in forms.items() if (m := re.fullmatch(f, turn.question))
        )
        assert (match.group(1) in there) == (turn.answer == "Yes.")
        by_wording[wording].append(turn.answer == "Yes.")
        by_noun[match.group(1).split()[-1]].append(turn.answer == "Yes.")
    assert len(by_wording) == len(forms) >= 5
    for answers in (*by_wording.values(), *by_noun.values()):
        spread = 4.5 * 0.5 / len(answers) ** 0.5
        assert abs(np.mean(answers) - 0.5) < spread


def test_half_of_the_wrong_nouns_are_near_misses(materials: Materials) -> None:
    known = nouns.sprites(materials.drawings, "train")
    category = {n.name: n.category for n in known.nouns}
    near = []
    for seed in range(1500):
        single, turns = objects.made("object_presence", materials, seed)
        if turns[0].answer == "No.":
            asked = max((n for n in category if re.search(rf"\b{n}\b", turns[0].question)), key=len)
            near.append(category[asked] == category[str(single.noun)])
    assert 0.42 < np.mean(near) < 0.58


def test_colours_are_drawn_as_they_are_measured() -> None:
    for name in colours.COLOURS:
        for seed in range(60):
            tone = colours.sample(name, random.Random(seed))
            assert colours.measure(Image.new("RGBA", (8, 8), (*tone, 255))) == name
    halves = Image.new("RGBA", (8, 8), (230, 20, 20, 255))
    halves.paste((20, 20, 230, 255), (0, 0, 4, 8))
    assert colours.measure(halves) is None


def test_shapes_are_painted_in_the_colour_that_is_asked(materials: Materials) -> None:
    for seed in range(25):
        scene, turns = shapes.made("shape_colour", seed)
        picture = pictures(shapes.GENERATORS["shape_colour"](materials, seed))[0]
        for turn in turns:
            thing = next(
                t for t in scene.things if t.name in turn.question or str(t.colour) in turn.question
            )
            x, y = thing.box.centre
            middle = picture.crop((int(x) - 2, int(y) - 2, int(x) + 2, int(y) + 2)).convert("RGBA")
            assert colours.measure(middle) in (thing.colour, None)
            assert thing.colour in turn.answer.lower() or thing.name in turn.answer.lower()


class Clock(SyntheticDrawings):
    """Every drawing is red on the left and blue on the right, and its sentence depends on that."""

    def row(self, index: int) -> Row:
        return {**super().row(index), "sentence": "A clock showing nine o'clock"}

    def image(self, index: int) -> Image.Image:
        picture = Image.new("RGBA", (40, 40), (255, 0, 0, 255))
        picture.paste((0, 0, 255, 255), (20, 0, 40, 40))
        return picture


def test_drawings_with_a_sentence_are_not_mirrored() -> None:
    for seed in range(30):
        sample = objects.GENERATORS["object_describe"](Materials([], b"", Clock()), seed)
        pixels = np.asarray(pictures(sample)[0]).astype(int)  # (H, W, 3)
        red = (pixels[..., 0] > 200) & (pixels[..., 2] < 60)
        blue = (pixels[..., 2] > 200) & (pixels[..., 0] < 60)
        assert np.nonzero(red)[1].mean() < np.nonzero(blue)[1].mean()
