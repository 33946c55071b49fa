"""Mixture row 10: eight shapes in eleven colours and three sizes.

`scene_NAME(rng)` makes the truth and the turns, `GENERATORS[NAME]` the sample. Colours are drawn by
`colours.sample`, counts are uniform over 0-10, and each yes/no question is as often true as false
for each shape and colour. How a shape looks is left to `outlines`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from recipes.embedded.generators import asking, canvas, colours, english
from recipes.embedded.generators.canvas import Box, Scene, Thing
from recipes.embedded.generators.colours import COLOURS, RGB
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.outlines import draw, extent
from recipes.embedded.generators.questions import Generator, Turn, ask, sample, yes_no
from recipes.embedded.materials import Materials
from smolvlm.types import Sample

Made = tuple[Scene, list[Turn]]
SHAPES = ("circle", "square", "triangle", "rectangle", "star", "heart", "diamond", "cross")
SIZES = {"small": (40, 54), "medium": (72, 92), "large": (118, 150)}  # pixels on a 448 side
MOST = 10
_PLAIN = frozenset({"black", "white", "grey"})


def arranged(
    rng: random.Random,
    wanted: Sequence[tuple[str, str]],
    *,
    sizes: Sequence[str] | None = None,
    boxes: Callable[[Sequence[tuple[int, int]], int, int], list[Box]] | None = None,
) -> Scene:
    """A scene of (colour, shape) pairs; `boxes` places them, at random where not given."""
    width, height = rng.choice(canvas.SIZES)
    drawn = [colours.sample(colour, rng) for colour, _ in wanted]
    back = canvas.backdrop(rng, avoid=drawn)
    bound = 448 if len(wanted) < 5 else 448 * 2 // 3
    names = sizes or [rng.choice(tuple(SIZES)) for _ in wanted]
    sides = [rng.randint(*SIZES[size]) * bound // 448 for size in names]
    extents = [extent(shape, side) for (_, shape), side in zip(wanted, sides, strict=True)]
    places = (boxes or partial(canvas.place, rng))(extents, width, height)
    things = [
        Thing(shape, box, colour, rgb, size)
        for (colour, shape), box, rgb, size in zip(wanted, places, drawn, names, strict=True)
    ]
    return Scene(width, height, tuple(things), back)


def compatible(
    rng: random.Random, colour: str, count: int, beside: Sequence[str] = ()
) -> list[str]:
    """`count` colours other than `colour` that can stand on one background with it and `beside`.

    No background is far from black, grey and white at once, so only one of these is taken.
    """
    plain = _PLAIN & {colour, *beside}
    chosen: list[str] = []
    for _ in range(count):
        barred = _PLAIN - plain if plain else set()
        chosen.append(rng.choice([c for c in COLOURS if c != colour and c not in barred]))
        plain |= _PLAIN & {chosen[-1]}
    return chosen


def tinted(rng: random.Random, thing: Thing, colour: str, behind: RGB) -> Thing | None:
    """The same shape in another colour; None where that would not stand out from what is behind."""
    for _ in range(10):
        rgb = colours.sample(colour, rng)
        if colours.distance(rgb, behind) >= canvas.LEAST_CONTRAST:
            return replace(thing, colour=colour, rgb=rgb)
    return None


def different(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Different (colour, shape) pairs that can stand on one background."""
    first = rng.choice(COLOURS)
    tones = [first, *compatible(rng, first, count - 1)]
    return list(zip(tones, rng.sample(SHAPES, count), strict=True))


def scene_name(rng: random.Random) -> Made:
    """One shape; its name, and sometimes its colour."""
    colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
    scene = arranged(rng, [(colour, shape)], sizes=[rng.choice(("medium", "large", "large"))])
    turns = [Turn(ask(rng, "shape"), english.sentence(with_article(shape)))]
    if rng.random() < 0.4:
        turns.append(Turn(ask(rng, "colour", shape), english.sentence(colour)))
    return scene, turns


def scene_colour(rng: random.Random) -> Made:
    """One to four different shapes; the colour of one or two."""
    pairs = different(rng, rng.randint(1, 4))
    asked = rng.sample(pairs, min(len(pairs), rng.randint(1, 2)))
    turns = [Turn(ask(rng, "colour", shape), english.sentence(colour)) for colour, shape in asked]
    if len(pairs) > 1 and len({colour for colour, _ in pairs}) == len(pairs) and rng.random() < 0.3:
        colour, shape = rng.choice(pairs)
        turns.append(Turn(ask(rng, "shape of", colour), english.sentence(with_article(shape))))
    return arranged(rng, pairs), turns


def scene_count(rng: random.Random) -> Made:
    """0 to 10 of what is asked about, and up to four others."""
    number, colour, shape = rng.randint(0, MOST), rng.choice(COLOURS), rng.choice(SHAPES)
    form = rng.choice(("both", "shape", "colour", "all"))
    others = 0 if form == "all" else rng.randint(0 if number else 1, min(4, 12 - number))
    wanted = _group(rng, form, number, colour, shape)
    wanted += _others(rng, form, others, (colour, shape), [tone for tone, _ in wanted])
    plural = {
        "both": f"{colour} {english.plural(shape)}",
        "shape": english.plural(shape),
        "colour": f"{colour} shapes",
        "all": "shapes",
    }[form]
    rng.shuffle(wanted)
    return arranged(rng, wanted), [asking.count_turn(rng, number, plural)]


def _group(
    rng: random.Random, form: str, number: int, colour: str, shape: str
) -> list[tuple[str, str]]:
    """The counted ones: alike in what the form names, free in the rest."""
    tones = [colour] * number
    if form in ("shape", "all") and number > 1:
        tones = [colour, *compatible(rng, colour, number - 1)]
    kinds = [shape if form in ("both", "shape") else rng.choice(SHAPES) for _ in range(number)]
    return list(zip(tones, kinds, strict=True))


def _others(
    rng: random.Random, form: str, number: int, counted: tuple[str, str], tones: Sequence[str]
) -> list[tuple[str, str]]:
    """Shapes that must not be counted: of another colour, or another shape."""
    colour, shape = counted
    wrong = [kind for kind in SHAPES if kind != shape]
    found = []
    for tone in compatible(rng, colour, number, beside=tones):
        if form == "both" and rng.random() < 0.5:
            found.append((colour, rng.choice(wrong)))
        else:
            found.append((tone, rng.choice(SHAPES if form != "shape" else wrong)))
    return found


def scene_relation(rng: random.Random) -> Made:
    """Two shapes: is one left of, right of, above, below the other."""
    scene, where = _two(rng)
    one, other = scene.things
    turns = [asking.side_turn(rng, scene, one, other)]
    if rng.random() < 0.5:
        turns.append(asking.side_turn(rng, scene, other, one))
    assert where in asking.DIRECTIONS
    return scene, turns


def scene_side(rng: random.Random) -> Made:
    """Two shapes: in which of four directions one lies from the other, and what lies there."""
    scene, _ = _two(rng)
    turns = [asking.which_side_turn(rng, scene, *scene.things)]
    further = asking.neighbour_turn(rng, scene)
    if further and rng.random() < 0.5:
        turns.append(further)
    return scene, turns


def _two(rng: random.Random) -> tuple[Scene, str]:
    where = rng.choice(asking.DIRECTIONS)
    place = partial(asking.arrange_pair, rng, where)
    return arranged(rng, different(rng, 2), boxes=place), where


def scene_position(rng: random.Random) -> Made:
    """Where one shape is, alone or among two others."""
    cells = rng.sample(asking.POSITIONS, rng.choice((1, 1, 2, 3)))

    def boxes(sizes: Sequence[tuple[int, int]], width: int, height: int) -> list[Box]:
        pairs = zip(cells, sizes, strict=True)
        return [asking.arrange_cell(rng, cell, size, width, height) for cell, size in pairs]

    scene = arranged(rng, different(rng, len(cells)), boxes=boxes)
    asked = list(zip(cells, scene.things, strict=True))[: rng.randint(1, 2)]
    return scene, [asking.position_turn(rng, cell, thing.phrase) for cell, thing in asked]


def scene_presence(rng: random.Random) -> Made:
    """Is there a red circle? The wrong one shares its colour or shape with one that is there."""
    colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
    if rng.random() < 0.5:
        absent = (colour, rng.choice([s for s in SHAPES if s != shape]))
    else:
        absent = (rng.choice([c for c in COLOURS if c != colour]), shape)
    pairs = [(colour, shape)]
    for other in different(rng, 8)[: rng.randint(0, 3)]:
        if other not in (absent, pairs[0]) and _fits(pairs, other):
            pairs.append(other)
    truth = rng.random() < 0.5
    asked = " ".join(pairs[0] if truth else absent)
    rng.shuffle(pairs)
    return arranged(rng, pairs), [Turn(ask(rng, "presence", with_article(asked)), yes_no(truth))]


def _fits(pairs: Sequence[tuple[str, str]], other: tuple[str, str]) -> bool:
    found = _PLAIN & {colour for colour, _ in pairs}
    return not found or other[0] not in _PLAIN - found


def scene_size(rng: random.Random) -> Made:
    """A small and a large shape: which is bigger."""
    sizes = rng.sample(["small", "large"], 2)
    scene = arranged(rng, different(rng, 2), sizes=sizes)
    return scene, [asking.size_turn(rng, *scene.things)]


def scene_describe(rng: random.Random) -> Made:
    """One to three kinds of shapes, up to four of each."""
    pairs = [
        pair
        for pair in different(rng, rng.randint(1, 3))
        for _ in range(rng.choice((1, 1, 2, 3, 4)))
    ]
    scene = arranged(rng, pairs)
    return scene, [asking.describe_turn(rng, scene)]


SCENES: Mapping[str, Callable[[random.Random], Made]] = {
    "shape_name": scene_name,
    "shape_colour": scene_colour,
    "shape_count": scene_count,
    "shape_relation": scene_relation,
    "shape_side": scene_side,
    "shape_position": scene_position,
    "shape_presence": scene_presence,
    "shape_size": scene_size,
    "shape_describe": scene_describe,
}


def made(task: str, seed: int) -> Made:
    """The truth and the turns of a sample; draws nothing."""
    return SCENES[task](random.Random(f"{task}/{seed}"))


def _generate(task: str, materials: Materials, seed: int) -> Sample:
    scene, turns = made(task, seed)
    return sample(task, seed, [canvas.paint(scene, materials, draw, f"{task}/{seed}")], turns)


GENERATORS: Mapping[str, Generator] = {task: partial(_generate, task) for task in SCENES}
