"""Mixture row 7: one drawn thing that fills most of the picture.

Its name, a description, its category, its colour (measured from the pixels), whether it is a
photograph or a drawing, and presence with near misses. Faces and people are only named. `made`
gives the truth and the turns; every generator takes `split`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from PIL import Image, ImageOps

from recipes.embedded.generators import canvas, colours, english
from recipes.embedded.generators.composites import SplitGenerator
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.questions import Turn, ask, sample, yes_no
from recipes.embedded.generators.sprites import ONE_COLOUR, Noun, Sprites, cut, edge, sprites
from recipes.embedded.materials import Drawings, Materials, Split
from recipes.embedded.vocabulary import COLOURS
from smolvlm.types import Sample

PEOPLE_SHARE = 0.12  # of the naming questions; people and faces are a third of the drawings
EMPTY_ANSWER = "The picture is empty."
EMPTY_SHARE = 0.02  # of the naming questions: nothing is drawn
SCENE_SHARE = 0.4  # of the photographs that are parts of a scenery instead of a cut-out
_KINDS_OFFERED = 4
_MEASURED = 3  # drawings of a noun whose colour is measured, which takes milliseconds for each
LEAST_EDGE = 0.6


@dataclass(frozen=True)
class Single:
    """The truth about a picture of one thing.

    sprite: index of the drawing, None for an empty picture or a scenery. photo: it is a photograph.
    scenery: the picture is a part of a photograph that shows no single thing.
    """

    noun: str | None
    sprite: int | None
    photo: bool = False
    scenery: bool = False


Made = tuple[Single, list[Turn]]


def scene_name(rng: random.Random, known: Sprites) -> Made:
    """What is this?"""
    if rng.random() < EMPTY_SHARE:
        return Single(None, None), [Turn(ask(rng, rng.choice(("name", "describe"))), EMPTY_ANSWER)]
    people = bool(known.people) and rng.random() < PEOPLE_SHARE
    noun = rng.choice(known.people if people else known.things)
    return _single(rng, known, noun), [Turn(ask(rng, "name"), _named(noun))]


def scene_describe(rng: random.Random, known: Sprites) -> Made:
    """Describe the image: with the artist's own sentence where there is one."""
    if known.described and rng.random() < 0.5:
        index = rng.choice(known.described)
        text = known.drawings.row(index)["sentence"]
        assert text is not None
        return Single(None, index), [Turn(ask(rng, "describe"), english.sentence(text))]
    noun = rng.choice(known.things)
    single = _single(rng, known, noun)
    medium = "photo" if single.photo else rng.choice(("picture", "drawing"))
    answer = english.sentence(f"a {medium} of {with_article(noun.name)}")
    return single, [Turn(ask(rng, "describe"), answer)]


def scene_category(rng: random.Random, known: Sprites) -> Made:
    """Animal, food, vehicle, tool?; the right kind is among the offered ones."""
    kind = rng.choice(sorted(known.of_kind))
    noun = rng.choice(known.of_kind[kind])
    wrong = [other for other in sorted(known.of_kind) if not _near_kinds(kind, other)]
    offered = [kind, *rng.sample(wrong, min(len(wrong), _KINDS_OFFERED - 1))]
    rng.shuffle(offered)
    choice = english.listed([_kind_phrase(name) for name in offered], "or")
    answer = english.sentence(_kind_phrase(kind))
    return _single(rng, known, noun), [Turn(ask(rng, "kind", choice), answer)]


def _near_kinds(one: str, other: str) -> bool:
    return one == other or {one, other} <= {"food", "drink", "plant"}


def _kind_phrase(kind: str) -> str:
    return kind if kind == "food" else with_article(kind)


def scene_medium(rng: random.Random, known: Sprites) -> Made:
    """Photo or drawing, each half of the time."""
    if rng.random() < 0.5:
        scenery = rng.random() < SCENE_SHARE or not known.photos
        single = Single(None, None if scenery else rng.choice(known.photos), True, scenery)
    else:
        index = rng.choice(known.drawn)
        single = Single(None, index)
    answer = english.sentence(with_article("photo" if single.photo else "drawing"))
    return single, [Turn(ask(rng, "medium"), answer)]


def scene_presence(rng: random.Random, known: Sprites) -> Made:
    """Is this a wolf? Half of the wrong nouns are of the same category."""
    here, absent = known.pair(rng, known.countable, near=rng.random() < 0.5)
    truth = rng.random() < 0.5
    asked = with_article((here if truth else absent).name)
    return _single(rng, known, here), [Turn(ask(rng, "presence", asked), yes_no(truth))]


def scene_colour(rng: random.Random, known: Sprites) -> Made:
    """The colour of a thing that has one; every colour as often as another."""
    by_colour = coloured(known)
    tone = rng.choice(sorted(by_colour))
    noun, index = rng.choice(by_colour[tone])
    return Single(noun, index), [Turn(ask(rng, "colour", noun), english.sentence(tone))]


@lru_cache(maxsize=8)
def coloured(known: Sprites) -> dict[str, list[tuple[str, int]]]:
    """(noun, drawing) pairs of the countable nouns by measured colour; made once per pack."""
    found: dict[str, list[tuple[str, int]]] = {}
    for noun in known.countable:
        if not COLOURS.isdisjoint(noun.name.split()):
            continue  # "purple hat" would answer itself
        tinted = [i for i in noun.rows if known.drawings.row(i)["source"] not in ONE_COLOUR]
        for index in tinted[:_MEASURED]:
            tone = colours.measure(known.drawings.image(index))
            if tone:
                found.setdefault(tone, []).append((noun.name, index))
    return found


def _single(rng: random.Random, known: Sprites, noun: Noun) -> Single:
    index = rng.choice(noun.rows)
    return Single(noun.name, index, photo=index in known.photo_set)


def _named(noun: Noun) -> str:
    return english.sentence(with_article(noun.name))


SCENES: Mapping[str, Callable[[random.Random, Sprites], Made]] = {
    "object_name": scene_name,
    "object_describe": scene_describe,
    "object_category": scene_category,
    "object_medium": scene_medium,
    "object_presence": scene_presence,
    "object_colour": scene_colour,
}


def made(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Made:
    """The truth and the turns of a sample; paints nothing."""
    rng = random.Random(f"{task}/{split}/{seed}")
    return SCENES[task](rng, sprites(materials.drawings, split))


def paint(single: Single, materials: Materials, rng: random.Random, split: Split) -> Image.Image:
    """The picture: the thing takes 45 to 95 % of the side, anywhere."""
    width, height = rng.choice(canvas.SIZES)
    if single.scenery:
        photo = canvas.photo_part(materials, rng, width, height, split)
        if photo is not None:
            return canvas.finish(photo, rng)
    if single.sprite is None:
        return canvas.paint_backdrop(
            canvas.backdrop(rng, kinds=("plain",)), width, height, materials
        )
    # a sentence may tell of left and right, as that of a clock does
    upright = materials.drawings.row(single.sprite)["sentence"] is not None
    drawing = cut(materials.drawings.image(single.sprite))
    drawing = drawing if upright else _tilted(drawing, rng)
    share = rng.uniform(0.45, 0.95)
    scale = min(width * share / drawing.width, height * share / drawing.height)
    wide, high = (max(8, int(length * scale)) for length in drawing.size)
    back = _backdrop(materials.drawings, single.sprite, rng, split)
    picture = canvas.paint_backdrop(back, width, height, materials)
    box = canvas.Box(rng.randint(0, width - wide), rng.randint(0, height - high), wide, high)
    canvas.paste(
        picture, drawing, canvas.Thing("", box, mirrored=not upright and rng.random() < 0.4)
    )
    return canvas.finish(picture, rng)


def _tilted(drawing: Image.Image, rng: random.Random) -> Image.Image:
    """Sometimes a little turned."""
    if rng.random() < 0.75:
        return drawing
    drawing = ImageOps.expand(drawing, border=2)
    turned = drawing.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, expand=True)
    return cut(turned)


def _backdrop(drawings: Drawings, index: int, rng: random.Random, split: Split) -> canvas.Backdrop:
    pixels = edge(drawings, index)
    tried: Sequence[canvas.Backdrop] = [canvas.backdrop(rng, split=split) for _ in range(8)]
    shares = [canvas.contrast(pixels, back.colour) for back in tried]
    good = [back for back, share in zip(tried, shares, strict=True) if share >= LEAST_EDGE]
    return good[0] if good else tried[shares.index(max(shares))]


def _generate(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    single, turns = made(task, materials, seed, split=split)
    picture = paint(single, materials, random.Random(f"paint/{task}/{split}/{seed}"), split)
    return sample(task, seed, [picture], turns)


GENERATORS: Mapping[str, SplitGenerator] = {task: partial(_generate, task) for task in SCENES}
