"""Mixture row 9: one to ten cut-outs of the pack on a plain, shaded or faded photographic
background.

Counting, presence, relations, places, sizes, the odd one out, descriptions. `made` gives the truth
and the turns of a sample; every generator takes `split`, and only "test" reaches the drawings of
the unseen artist. Nouns that are denied are chosen as exchangeable pairs (`Sprites.pair`), so that
each noun is asked as often with a yes as with a no.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from PIL import Image

from recipes.embedded.generators import asking, canvas, english
from recipes.embedded.generators.canvas import Box, Scene, Thing
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.questions import Turn, ask, sample, yes_no
from recipes.embedded.generators.sprites import (
    ONE_COLOUR,
    Noun,
    Sprites,
    apart,
    edge,
    small,
    sprites,
)
from recipes.embedded.materials import Drawings, Materials, Split
from smolvlm.types import Sample

Made = tuple[Scene, list[Turn]]
Sizes = Sequence[tuple[int, int]]
Placing = Callable[[Sizes, int, int], list[Box]]
MOST = 10
LEAST_EDGE = 0.6  # share of a drawing's edge that must stand out from the background
_BACKDROPS = 8  # tried before the best of them is taken


class SplitGenerator(Protocol):
    """A generator that may be asked for the unseen drawings."""

    def __call__(self, materials: Materials, seed: int, *, split: Split = "train") -> Sample:
        """The sample of a seed."""
        ...


@dataclass(frozen=True)
class Draft:
    """What a scene is made from: its random numbers and the nouns of one split of a pack."""

    rng: random.Random
    sprites: Sprites
    split: Split

    @property
    def drawings(self) -> Drawings:
        """The pack."""
        return self.sprites.drawings

    def pick(self, noun: Noun) -> int:
        """One of the drawings of a noun; those in one colour are taken less often."""
        row = self.rng.choice(noun.rows)
        if self.drawings.row(row)["source"] in ONE_COLOUR:
            row = self.rng.choice(noun.rows)
        return row

    def nouns(self, count: int) -> list[Noun]:
        """Different countable nouns."""
        return self.sprites.several(self.rng, count, self.sprites.countable)


def arranged(
    draft: Draft,
    chosen: Sequence[tuple[Noun, int]],
    *,
    sides: Sequence[int] | None = None,
    boxes: Placing | None = None,
) -> Scene:
    """A scene of (noun, drawing) pairs; `sides` are their longest sides, `boxes` places them."""
    rng = draft.rng
    width, height = rng.choice(canvas.SIZES)
    images = [small(draft.drawings, index) for _, index in chosen]
    back = _backdrop(draft, [index for _, index in chosen])
    largest = 200 if len(chosen) < 4 else 130 if len(chosen) < 8 else 100
    one_scale = rng.randint(largest * 6 // 10, largest)
    longest = sides or [int(one_scale * rng.uniform(0.8, 1.2)) for _ in chosen]
    sizes = [_fitted(image, side) for image, side in zip(images, longest, strict=True)]
    places = (boxes or partial(canvas.place, rng))(sizes, width, height)
    things = [
        Thing(noun.name, box, sprite=index, mirrored=rng.random() < 0.3)
        for (noun, index), box in zip(chosen, places, strict=True)
    ]
    return Scene(width, height, tuple(things), back)


def _backdrop(draft: Draft, indices: Sequence[int]) -> canvas.Backdrop:
    """A background from which every drawing stands out, or the best of a few."""
    edges = [edge(draft.drawings, index) for index in dict.fromkeys(indices)]
    best, found = -1.0, canvas.backdrop(draft.rng, split=draft.split)
    for _ in range(_BACKDROPS):
        seen = canvas.backdrop(draft.rng, split=draft.split)
        least = min((canvas.contrast(pixels, seen.colour) for pixels in edges), default=1.0)
        if least > best:
            best, found = least, seen
        if best >= LEAST_EDGE:
            return found
    return replace(found, kind="plain")


def _fitted(image: Image.Image, side: int) -> tuple[int, int]:
    """(width, height) of a drawing whose longest side is `side`; thin ones are drawn larger."""
    scale = side / max(image.size)
    wide, high = (max(10, round(length * scale)) for length in image.size)
    return wide, high


def _copies(draft: Draft, noun: Noun, number: int) -> list[tuple[Noun, int]]:
    """`number` drawings of a noun: all the same, or of up to three artists."""
    pool = [draft.pick(noun) for _ in range(draft.rng.choice((1, 1, 2, 3)))]
    return [(noun, draft.rng.choice(pool)) for _ in range(number)]


def scene_count(draft: Draft) -> Made:
    """0 to 10 of one noun, and up to two kinds of others."""
    rng = draft.rng
    nouns = draft.nouns(3)
    numbers = [rng.randint(0, MOST), rng.randint(0, 3), rng.choice((0, 0, 1, 2))]
    numbers[1] += sum(numbers) == 0  # never an empty picture
    chosen = [item for n, k in zip(nouns, numbers, strict=True) for item in _copies(draft, n, k)]
    rng.shuffle(chosen)
    plurals = [english.plural(noun.name) for noun in nouns]
    turns = [asking.count_turn(rng, numbers[0], plurals[0])]
    further = asking.more_turn(rng, numbers[:2], plurals[:2]) if numbers[0] and numbers[1] else None
    if further and rng.random() < 0.4:
        turns.append(further)
    return arranged(draft, chosen), turns


def scene_presence(draft: Draft) -> Made:
    """Is there a wolf? Half of the wrong nouns are of the category of one that is there."""
    rng = draft.rng
    here, absent = draft.sprites.pair(rng, draft.sprites.countable, near=rng.random() < 0.5)
    chosen = [(here, draft.pick(here))]
    for other in draft.nouns(rng.randint(1, 4)):
        if all(apart(other, noun) for noun in (absent, *(n for n, _ in chosen))):
            chosen.append((other, draft.pick(other)))
    truth = rng.random() < 0.5
    asked = with_article((here if truth else absent).name)
    rng.shuffle(chosen)
    return arranged(draft, chosen), [Turn(ask(rng, "presence", asked), yes_no(truth))]


def scene_relation(draft: Draft) -> Made:
    """Two things: is one left of, right of, above, below the other."""
    scene = _two(draft)
    one, other = scene.things
    turns = [asking.side_turn(draft.rng, scene, one, other)]
    if draft.rng.random() < 0.5:
        turns.append(asking.side_turn(draft.rng, scene, other, one))
    return scene, turns


def scene_side(draft: Draft) -> Made:
    """Two things: in which of four directions one lies from the other, and what lies there."""
    scene = _two(draft)
    turns = [asking.which_side_turn(draft.rng, scene, *scene.things)]
    further = asking.neighbour_turn(draft.rng, scene)
    if further and draft.rng.random() < 0.5:
        turns.append(further)
    return scene, turns


def _two(draft: Draft) -> Scene:
    where = draft.rng.choice(asking.DIRECTIONS)
    chosen = [(noun, draft.pick(noun)) for noun in draft.nouns(2)]
    return arranged(draft, chosen, boxes=partial(asking.arrange_pair, draft.rng, where))


def scene_neighbour(draft: Draft) -> Made:
    """Three or four things: what lies left of, right of, above, below another."""
    while True:
        chosen = [(noun, draft.pick(noun)) for noun in draft.nouns(draft.rng.randint(3, 4))]
        for _ in range(30):
            scene = arranged(draft, chosen)
            turn = asking.neighbour_turn(draft.rng, scene)
            if turn:
                return scene, [turn]


def scene_position(draft: Draft) -> Made:
    """Which of nine places a thing is in, alone or among two others."""
    rng = draft.rng
    cells = rng.sample(asking.POSITIONS, rng.choice((1, 1, 2, 3)))

    def boxes(sizes: Sizes, width: int, height: int) -> list[Box]:
        pairs = zip(cells, sizes, strict=True)
        return [asking.arrange_cell(rng, cell, size, width, height) for cell, size in pairs]

    chosen = [(noun, draft.pick(noun)) for noun in draft.nouns(len(cells))]
    scene = arranged(draft, chosen, boxes=boxes)
    asked = list(zip(cells, scene.things, strict=True))[: rng.randint(1, 2)]
    return scene, [asking.position_turn(rng, cell, thing.phrase) for cell, thing in asked]


def scene_size(draft: Draft) -> Made:
    """Two things, one at least twice as large as the other: which is bigger."""
    rng = draft.rng
    while True:
        chosen = [(noun, draft.pick(noun)) for noun in draft.nouns(2)]
        sides = rng.sample([rng.randint(45, 80), rng.randint(150, 220)], 2)
        scene = arranged(draft, chosen, sides=sides)
        areas = [thing.box.area for thing in scene.things]
        lengths = [max(thing.box.width, thing.box.height) for thing in scene.things]
        plain = max(areas) >= asking.SIZE_RATIO * min(areas)
        if plain and (areas[0] > areas[1]) == (lengths[0] > lengths[1]):
            return scene, [asking.size_turn(rng, *scene.things)]


def scene_odd(draft: Draft) -> Made:
    """Three to five of a kind and one that is not: copies of one thing, or animals and a tool."""
    rng, rich = draft.rng, draft.sprites.rich
    if rng.random() < 0.5 or len(rich) < 2:
        same, odd = draft.nouns(2)
        chosen = _copies(draft, same, rng.randint(3, 5))
    else:
        kind, other = rng.sample(sorted(rich), 2)
        odd = rng.choice(rich[other])
        alike = draft.sprites.several(rng, rng.randint(3, 4), rich[kind])
        chosen = [(noun, draft.pick(noun)) for noun in alike]
    chosen.append((odd, draft.pick(odd)))
    rng.shuffle(chosen)
    return arranged(draft, chosen), [Turn(ask(rng, "odd"), english.sentence(f"the {odd.name}"))]


def scene_describe(draft: Draft) -> Made:
    """One to three kinds of things, up to four of each."""
    rng = draft.rng
    nouns = draft.nouns(rng.choice((1, 2, 2, 3)))
    chosen = [
        item for noun in nouns for item in _copies(draft, noun, rng.choice((1, 1, 1, 2, 3, 4)))
    ]
    scene = arranged(draft, chosen)
    return scene, [asking.describe_turn(rng, scene)]


SCENES: Mapping[str, Callable[[Draft], Made]] = {
    "composite_count": scene_count,
    "composite_presence": scene_presence,
    "composite_relation": scene_relation,
    "composite_side": scene_side,
    "composite_neighbour": scene_neighbour,
    "composite_position": scene_position,
    "composite_size": scene_size,
    "composite_odd": scene_odd,
    "composite_describe": scene_describe,
}


def made(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Made:
    """The truth and the turns of a sample; paints nothing."""
    rng = random.Random(f"{task}/{split}/{seed}")
    return SCENES[task](Draft(rng, sprites(materials.drawings, split), split))


def painted(scene: Scene, materials: Materials, seed: str) -> Image.Image:
    """The picture of a scene of drawings."""

    def look(thing: Thing) -> Image.Image:
        assert thing.sprite is not None
        return small(materials.drawings, thing.sprite)

    return canvas.paint(scene, materials, look, seed)


def _generate(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    scene, turns = made(task, materials, seed, split=split)
    return sample(task, seed, [painted(scene, materials, f"{task}/{seed}")], turns)


GENERATORS: Mapping[str, SplitGenerator] = {task: partial(_generate, task) for task in SCENES}
