"""Mixture row 12: two or three pictures in one conversation.

The same thing or not, which picture shows a thing, and what changed between two pictures of one
scene. `made` gives the scenes and the turns; every generator takes `split`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from recipes.embedded.generators import canvas, english, shapes
from recipes.embedded.generators.canvas import Scene, Thing
from recipes.embedded.generators.colours import COLOURS
from recipes.embedded.generators.composites import Draft, SplitGenerator, arranged, painted
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.outlines import draw
from recipes.embedded.generators.questions import Turn, ask, sample, yes_no
from recipes.embedded.generators.sprites import sprites
from recipes.embedded.materials import Materials, Split
from smolvlm.types import Sample

CHANGES = ("appeared", "disappeared", "moved", "colour", "grew")


@dataclass(frozen=True)
class Group:
    """Scenes shown one after the other. change: what was done between the first and the second."""

    scenes: tuple[Scene, ...]
    change: str | None = None


Made = tuple[Group, list[Turn]]


def same(draft: Draft) -> Made:
    """Two pictures of one noun by different artists, or of two nouns; half are near misses."""
    rng = draft.rng
    one, other = draft.sprites.pair(rng, draft.sprites.countable, near=rng.random() < 0.5)
    alike = rng.random() < 0.5
    scenes = tuple(
        arranged(draft, [(noun, draft.pick(noun))]) for noun in (one, one if alike else other)
    )
    return Group(scenes), [Turn(ask(rng, "same"), yes_no(alike))]


def which(draft: Draft) -> Made:
    """Which of two or three pictures shows a noun; each place as often as another."""
    rng = draft.rng
    nouns = draft.nouns(rng.choice((2, 3, 3)))
    place = rng.randrange(len(nouns))
    scenes = tuple(arranged(draft, [(noun, draft.pick(noun))]) for noun in nouns)
    offered = english.listed(english.ORDINALS[: len(nouns)], "or")
    question = ask(rng, "which picture", with_article(nouns[place].name), offered)
    answer = english.sentence(f"the {english.ORDINALS[place]}")
    return Group(scenes), [Turn(question[0].upper() + question[1:], answer)]


def change(draft: Draft) -> Made:
    """Two pictures of a few shapes, one of which appeared, disappeared, moved, grew or changed
    colour.
    """
    rng = draft.rng
    what = rng.choice(CHANGES)
    while True:
        wanted = shapes.different(rng, rng.randint(2, 4))
        scene = shapes.arranged(
            rng, wanted, sizes=[rng.choice(("small", "medium")) for _ in wanted]
        )
        after, answer = _changed(rng, scene, what)
        if after is not None:
            break
    scenes = (after, scene) if what == "appeared" else (scene, after)
    return Group(scenes, what), [Turn(ask(rng, "change"), answer)]


def _changed(rng: random.Random, scene: Scene, what: str) -> tuple[Scene | None, str]:
    """The scene after (for "appeared": before) the change, and how it is told."""
    place = rng.randrange(len(scene.things))
    thing = scene.things[place]
    if what in ("appeared", "disappeared"):
        rest = scene.things[:place] + scene.things[place + 1 :]
        return replace(scene, things=rest), f"The {thing.phrase} {what}."
    if what == "colour":
        tone = rng.choice([c for c in COLOURS if c not in (thing.colour, "grey", "black", "white")])
        repainted = shapes.tinted(rng, thing, tone, scene.backdrop.colour)
        answer = f"The {thing.name} changed from {thing.colour} to {tone}."
        return _with(scene, place, repainted), answer
    if what == "moved":
        return _with(scene, place, _moved(rng, scene, thing)), f"The {thing.phrase} moved."
    return _with(scene, place, _grown(scene, thing)), f"The {thing.phrase} grew."


def _with(scene: Scene, place: int, thing: Thing | None) -> Scene | None:
    if thing is None:
        return None
    things = (*scene.things[:place], thing, *scene.things[place + 1 :])
    return replace(scene, things=things)


def _moved(rng: random.Random, scene: Scene, thing: Thing) -> Thing | None:
    """The thing at a free place at least a quarter of the side away, or None."""
    others = [t.box for t in scene.things if t is not thing]
    for _ in range(30):
        left = rng.randint(2, scene.width - thing.box.width - 2)
        top = rng.randint(2, scene.height - thing.box.height - 2)
        box = replace(thing.box, left=left, top=top)
        far = abs(left - thing.box.left) + abs(top - thing.box.top) > canvas.SIDE // 4
        if far and all(box.overlap(other) == 0 for other in others):
            return replace(thing, box=box)
    return None


def _grown(scene: Scene, thing: Thing) -> Thing | None:
    """The thing at about twice its size around the same place, or None where there is no room."""
    box = thing.box
    wide, high = int(box.width * 1.8), int(box.height * 1.8)
    left = min(max(2, box.left - (wide - box.width) // 2), scene.width - wide - 2)
    top = min(max(2, box.top - (high - box.height) // 2), scene.height - high - 2)
    grown = canvas.Box(left, top, wide, high)
    others = [t.box for t in scene.things if t is not thing]
    free = left >= 2 and top >= 2 and all(grown.overlap(other) == 0 for other in others)
    return replace(thing, box=grown, size="large") if free else None


GROUPS: Mapping[str, Callable[[Draft], Made]] = {
    "pair_same": same,
    "pair_which": which,
    "pair_change": change,
}


def made(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Made:
    """The scenes and the turns of a sample; paints nothing."""
    rng = random.Random(f"{task}/{split}/{seed}")
    return GROUPS[task](Draft(rng, sprites(materials.drawings, split), split))


def _generate(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    group, turns = made(task, materials, seed, split=split)
    pictures = [
        _painted(scene, materials, f"{task}/{seed}/{k}") for k, scene in enumerate(group.scenes)
    ]
    return sample(task, seed, pictures, turns)


def _painted(scene: Scene, materials: Materials, seed: str) -> Image.Image:
    drawn: Sequence[bool] = [thing.sprite is not None for thing in scene.things]
    if drawn and all(drawn):
        return painted(scene, materials, seed)
    return canvas.paint(scene, materials, draw, seed)


GENERATORS: Mapping[str, SplitGenerator] = {task: partial(_generate, task) for task in GROUPS}
