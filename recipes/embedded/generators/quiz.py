"""Many questions about one picture: what `shapes` and `composites` ask one by one.

The tower and the visual tokens are most of what a sample costs in training, a question and its
answer a tenth of that: six questions about one scene teach more than one question each about two.
Every question is read from the scene by the rules of `asking`, so it is only asked where the answer
is plain. A conversation has at most two of a kind, and a description comes last: what was described
could be counted without looking.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations

from PIL import Image

from recipes.embedded.generators import asking, canvas, composites, english, shapes
from recipes.embedded.generators.canvas import Scene, Thing
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.outlines import draw
from recipes.embedded.generators.questions import Turn, ask, sample, yes_no
from recipes.embedded.generators.sprites import apart, sprites
from recipes.embedded.materials import Materials, Split
from smolvlm.types import Sample

LEAST, MOST, OF_A_KIND = 3, 6, 2  # questions of a conversation
KINDS = 4  # most different things of a scene
NEAR_MIDDLE = 0.06  # share of a side that a centre may lie off the middle of its ninth

Question = Callable[[], Turn]
Asked = tuple[str, Question]  # what kind of question it is, and how it is made


def scene_of_shapes(rng: random.Random) -> tuple[Scene, str]:
    """Two to seven shapes of up to four kinds, and a kind that is not among them."""
    kinds = shapes.different(rng, rng.randint(2, KINDS))
    pairs = [pair for pair in kinds for _ in range(rng.choice((1, 1, 1, 2, 3)))][:7]
    rng.shuffle(pairs)
    colour, _ = rng.choice(kinds)
    absent = rng.choice([s for s in shapes.SHAPES if (colour, s) not in kinds])
    return shapes.arranged(rng, pairs), f"{colour} {absent}"


def scene_of_drawings(draft: composites.Draft) -> tuple[Scene, str]:
    """Two to seven drawings of up to four nouns, and a noun that is not among them."""
    rng = draft.rng
    while True:
        *nouns, absent = draft.nouns(rng.randint(2, KINDS) + 1)
        if all(apart(absent, noun) for noun in nouns):
            break
    chosen = [
        (noun, draft.pick(noun)) for noun in nouns for _ in range(rng.choice((1, 1, 1, 2, 3)))
    ][:7]
    rng.shuffle(chosen)
    return composites.arranged(draft, chosen), absent.name


def turns(rng: random.Random, scene: Scene, absent: str) -> list[Turn]:
    """Some of everything that can be asked about a scene; `absent` is the phrase of what is not."""
    by_kind: defaultdict[str, list[Asked]] = defaultdict(list)
    for asked in _all(rng, scene, absent):
        by_kind[asked[0]].append(asked)
    few = [a for found in by_kind.values() for a in rng.sample(found, min(OF_A_KIND, len(found)))]
    wanted = min(len(few), rng.randint(LEAST, MOST))
    chosen = sorted(rng.sample(few, wanted), key=lambda asked: asked[0] == "describe")
    return list({turn.question: turn for turn in (question() for _, question in chosen)}.values())


def _all(rng: random.Random, scene: Scene, absent: str) -> Iterator[Asked]:
    counts = asking.phrase_counts(scene)
    unique = [thing for thing in scene.things if counts[thing.phrase] == 1]
    for phrase, number in counts.items():
        yield "count", partial(asking.count_turn, rng, number, english.plural(phrase))
    yield "presence", partial(_presence, rng, rng.choice(list(counts)), absent)
    yield "describe", partial(asking.describe_turn, rng, scene)
    yield from _colours(rng, scene.things)
    for one, other in permutations(unique, 2):
        if asking.direction(one.box, other.box, scene.width, scene.height):
            yield "which side", partial(asking.which_side_turn, rng, scene, one, other)
            yield "side", partial(asking.side_turn, rng, scene, one, other)
        if _is_twice(one, other):
            yield "size", partial(asking.size_turn, rng, one, other)
    for thing in unique:
        cell = _cell(scene, thing)
        if cell:
            yield "position", partial(asking.position_turn, rng, cell, thing.phrase)
    neighbour = asking.neighbour_turn(rng, scene)
    if neighbour:
        yield "neighbour", lambda: neighbour


def _presence(rng: random.Random, here: str, absent: str) -> Turn:
    truth = rng.random() < 0.5
    return Turn(ask(rng, "presence", with_article(here if truth else absent)), yes_no(truth))


def _colours(rng: random.Random, things: Sequence[Thing]) -> Iterator[Asked]:
    """The colour of a shape that is there once."""
    names = Counter(thing.name for thing in things)
    for thing in things:
        if thing.colour and names[thing.name] == 1:
            answer = english.sentence(thing.colour)
            yield "colour", partial(_colour, rng, thing.name, answer)


def _colour(rng: random.Random, name: str, answer: str) -> Turn:
    return Turn(ask(rng, "colour", name), answer)


def _is_twice(one: Thing, other: Thing) -> bool:
    """Whether `one` is plainly the bigger of the two."""
    longest = [max(thing.box.width, thing.box.height) for thing in (one, other)]
    return one.box.area >= asking.SIZE_RATIO * other.box.area and longest[0] > longest[1]


def _cell(scene: Scene, thing: Thing) -> str | None:
    """The ninth of the picture a thing is in, where it stands near the middle of it."""
    x, y = thing.box.centre[0] / scene.width, thing.box.centre[1] / scene.height
    col, row = int(x * 3), int(y * 3)
    off = max(abs(x - (2 * col + 1) / 6), abs(y - (2 * row + 1) / 6))
    return asking.POSITIONS[row * 3 + col] if off <= NEAR_MIDDLE else None


def _picture(scene: Scene, materials: Materials, seed: str) -> Image.Image:
    if scene.things[0].sprite is None:
        return canvas.paint(scene, materials, draw, seed)
    return composites.painted(scene, materials, seed)


def made(
    task: str, materials: Materials, seed: int, *, split: Split = "train"
) -> tuple[Scene, list[Turn]]:
    """The truth and the turns of a sample; paints nothing."""
    rng = random.Random(f"{task}/{split}/{seed}")
    if task == "shape_quiz":
        scene, absent = scene_of_shapes(rng)
    else:
        drawings = sprites(materials.drawings, split)
        scene, absent = scene_of_drawings(composites.Draft(rng, drawings, split))
    return scene, turns(rng, scene, absent)


def _generate(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    scene, asked = made(task, materials, seed, split=split)
    return sample(task, seed, [_picture(scene, materials, f"{task}/{seed}")], asked)


GENERATORS: Mapping[str, composites.SplitGenerator] = {
    task: partial(_generate, task) for task in ("shape_quiz", "composite_quiz")
}
