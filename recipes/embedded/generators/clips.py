"""Mixture row 13: clips of four to eight frames in which shapes or drawings move, appear or change.

A `Film` holds the scene of every frame, so answers can be read off again. `reverse=True` gives the
same frames in the opposite order with the answer that is then true: it flips for the tasks in
`FLIPS` and stays for the others. Frames go into the prompt as the published video wording has them
(`questions.clip`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from PIL import Image, ImageDraw

from recipes.embedded.generators import canvas, english, questions, shapes
from recipes.embedded.generators.canvas import Box, Scene, Thing
from recipes.embedded.generators.colours import COLOURS
from recipes.embedded.generators.composites import Draft, arranged
from recipes.embedded.generators.outlines import draw
from recipes.embedded.generators.questions import Turn, ask
from recipes.embedded.generators.sprites import small, sprites
from recipes.embedded.materials import Materials, Split
from smolvlm.types import Sample

FRAME = 448  # pixels; frames are never split
FRAMES = (4, 5, 6, 7, 8)
FLIPS = frozenset({"clip_direction4", "clip_direction8", "clip_last", "clip_number", "clip_colour"})
# direction -> the step on each axis, y down
STEPS = {
    "right": (1, 0),
    "left": (-1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up right": (1, -1),
    "up left": (-1, -1),
    "down right": (1, 1),
    "down left": (-1, 1),
}


class ClipGenerator(Protocol):
    """A generator of clips: of unseen drawings, or with time running backwards, where asked."""

    def __call__(
        self, materials: Materials, seed: int, *, split: Split = "train", reverse: bool = False
    ) -> Sample:
        """The sample of a seed."""
        ...


@dataclass(frozen=True)
class Film:
    """The scenes of a clip in order; `numbers` is what a counter shows in each, if there is one."""

    scenes: tuple[Scene, ...]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Made:
    """A film, its question, and the answers forwards and backwards."""

    film: Film
    question: str
    answer: str
    backwards: str


def _actor_scene(draft: Draft, count: int, sides: Sequence[int]) -> Scene:
    """A square scene with `count` different things, shapes in a third of the clips."""
    rng = draft.rng
    if rng.random() < 0.35:
        scene = shapes.arranged(rng, shapes.different(rng, count), sizes=["medium"] * count)
    else:
        chosen = [(noun, draft.pick(noun)) for noun in draft.nouns(count)]
        scene = arranged(draft, chosen, sides=sides)
    sizes = [(thing.box.width, thing.box.height) for thing in scene.things]
    boxes = canvas.place(rng, sizes, FRAME, FRAME)
    things = tuple(replace(thing, box=box) for thing, box in zip(scene.things, boxes, strict=True))
    return Scene(FRAME, FRAME, things, scene.backdrop)


def _at(scene: Scene, place: int, centre: tuple[float, float]) -> Scene:
    """The scene with one thing moved to a new centre."""
    thing = scene.things[place]
    wide, high = thing.box.width, thing.box.height
    left = min(max(0, round(centre[0] - wide / 2)), FRAME - wide)
    top = min(max(0, round(centre[1] - high / 2)), FRAME - high)
    moved = replace(thing, box=Box(left, top, wide, high))
    return replace(scene, things=(*scene.things[:place], moved, *scene.things[place + 1 :]))


def _path(
    rng: random.Random, step: tuple[int, int], thing: Thing, frames: int
) -> list[tuple[float, float]]:
    """Centres from near one border to the other, so that the whole way is at least 0.4 sides."""
    spans = []
    for axis, size in ((step[0], thing.box.width), (step[1], thing.box.height)):
        low, high = size / 2 + 2, FRAME - size / 2 - 2
        room = high - low
        if axis == 0:
            level = rng.uniform(low, high)
            spans.append((level, level))
        else:
            length = room * rng.uniform(0.7, 1.0)
            start = low + rng.uniform(0, room - length)
            spans.append((start, start + length) if axis > 0 else (start + length, start))
    if all(step):  # equally far on both axes
        reach = min(abs(b - a) for a, b in spans)
        spans = [(a, a + math.copysign(reach, b - a)) for a, b in spans]
    return [
        tuple(a + (b - a) * k / (frames - 1) for a, b in spans)  # type: ignore[misc]
        for k in range(frames)
    ]


def _direction(draft: Draft, names: Sequence[str]) -> Made:
    rng = draft.rng
    name = rng.choice(names)
    scene = _actor_scene(draft, 1, [rng.randint(70, 120)])
    path = _path(rng, STEPS[name], scene.things[0], rng.choice(FRAMES))
    film = Film(tuple(_at(scene, 0, centre) for centre in path))
    step = STEPS[name]
    back = next(other for other, its in STEPS.items() if its == (-step[0], -step[1]))
    question = ask(rng, "direction", scene.things[0].phrase)
    return Made(film, question, english.sentence(name), english.sentence(back))


def direction4(draft: Draft) -> Made:
    """One thing moves left, right, up or down."""
    return _direction(draft, tuple(STEPS)[:4])


def direction8(draft: Draft) -> Made:
    """One thing moves in one of eight directions."""
    return _direction(draft, tuple(STEPS))


def last(draft: Draft) -> Made:
    """Three things are shown one after the other, each for a frame or two."""
    rng = draft.rng
    scene = _actor_scene(draft, 3, [rng.randint(80, 140) for _ in range(3)])
    shown = [k for k in range(3) for _ in range(rng.choice((1, 2, 2)))]
    shown += [2] if len(shown) < 4 else []
    frames = tuple(replace(scene, things=(scene.things[k],)) for k in shown)
    names = [english.sentence(f"the {thing.phrase}") for thing in scene.things]
    return Made(Film(frames), ask(rng, "last"), names[2], names[0])


def moved(draft: Draft) -> Made:
    """Two to four things, one of which moves; backwards it is the same one."""
    rng = draft.rng
    while True:
        count = rng.randint(2, 4)
        scene = _actor_scene(draft, count, [rng.randint(60, 100) for _ in range(count)])
        place = rng.randrange(count)
        path = _path(
            rng, rng.choice(tuple(STEPS.values())), scene.things[place], rng.choice(FRAMES)
        )
        film = Film(tuple(_at(scene, place, centre) for centre in path))
        others = [t.box for t in scene.things if t is not scene.things[place]]
        if all(s.things[place].box.overlap(o) == 0 for s in film.scenes for o in others):
            break
    answer = english.sentence(f"the {scene.things[place].phrase}")
    return Made(film, ask(rng, "moved"), answer, answer)


def number(draft: Draft) -> Made:
    """A counter whose number changes; what it shows last."""
    rng = draft.rng
    count = rng.choice(FRAMES)
    start, step = rng.randint(0, 99), rng.choice((-7, -3, -2, -1, 1, 1, 2, 3, 5, 10))
    numbers = tuple(abs(start + step * k) for k in range(count))
    if len({numbers[0], numbers[-1]}) == 1:
        numbers = tuple(start + k for k in range(count))
    back = canvas.backdrop(rng, avoid=[(20, 20, 20)])
    scenes = (Scene(FRAME, FRAME, (), back),) * count
    film = Film(scenes, numbers)
    return Made(film, ask(rng, "last number"), str(numbers[-1]), str(numbers[0]))


def colour(draft: Draft) -> Made:
    """A shape that changes its colour once."""
    rng = draft.rng
    count = rng.choice(FRAMES)
    while True:
        before, shape = rng.choice(COLOURS), rng.choice(shapes.SHAPES)
        made = shapes.arranged(rng, [(before, shape)], sizes=[rng.choice(("medium", "large"))])
        after = rng.choice([name for name in COLOURS if name != before])
        other = shapes.tinted(rng, made.things[0], after, made.backdrop.colour)
        if other is not None:
            break
    turn = rng.randint(1, count - 1)
    frames = (made,) * turn + (replace(made, things=(other,)),) * (count - turn)
    question = ask(rng, "last colour", shape)
    return Made(Film(frames), question, english.sentence(after), english.sentence(before))


def bounces(draft: Draft) -> Made:
    """A thing falls and springs up again: how often it touches the ground; as often backwards."""
    rng = draft.rng
    scene = _actor_scene(draft, 1, [rng.randint(60, 90)])
    thing = scene.things[0]
    times = rng.randint(1, 3)
    half = thing.box.height / 2
    high, low = half + rng.uniform(10, 60), FRAME - half - 2
    x, drift = rng.uniform(100, 200), rng.uniform(15, 25)
    heights = [high] + [level for _ in range(times) for level in (low, high)]
    heights += [high] * max(0, 4 - len(heights))
    film = Film(tuple(_at(scene, 0, (x + drift * k, y)) for k, y in enumerate(heights)))
    answer = str(times)
    return Made(film, ask(rng, "bounces", thing.phrase), answer, answer)


CLIPS: Mapping[str, Callable[[Draft], Made]] = {
    "clip_direction4": direction4,
    "clip_direction8": direction8,
    "clip_last": last,
    "clip_moved": moved,
    "clip_number": number,
    "clip_colour": colour,
    "clip_bounces": bounces,
}


def made(task: str, materials: Materials, seed: int, *, split: Split = "train") -> Made:
    """The film with its question and both answers; paints nothing."""
    rng = random.Random(f"{task}/{split}/{seed}")
    return CLIPS[task](Draft(rng, sprites(materials.drawings, split), split))


def frames_of(film: Film, materials: Materials, seed: str) -> list[Image.Image]:
    """The pictures of a film; the background and the counter's face are the same in all."""
    rng = random.Random(seed)
    first = film.scenes[0]
    ground = canvas.paint_backdrop(first.backdrop, first.width, first.height, materials)
    split = first.backdrop.split
    face = canvas.typeface(materials, rng, rng.randint(90, 170), text="0123456789", split=split)
    x, y = (FRAME / 2 + rng.uniform(-60, 60) for _ in range(2))
    pictures = []
    for k, scene in enumerate(film.scenes):
        picture = ground.copy()
        for thing in scene.things:
            drawing = (
                draw(thing) if thing.sprite is None else small(materials.drawings, thing.sprite)
            )
            canvas.paste(picture, drawing, thing)
        if film.numbers:
            pen = ImageDraw.Draw(picture)
            pen.text((x, y), str(film.numbers[k]), (20, 20, 20), face, anchor="mm")
        pictures.append(picture)
    return pictures


def _generate(
    task: str, materials: Materials, seed: int, *, split: Split = "train", reverse: bool = False
) -> Sample:
    told = made(task, materials, seed, split=split)
    pictures = frames_of(told.film, materials, f"{task}/{seed}")
    turn = Turn(told.question, told.backwards if reverse else told.answer)
    return questions.clip(task, seed, pictures[::-1] if reverse else pictures, [turn])


GENERATORS: Mapping[str, ClipGenerator] = {task: partial(_generate, task) for task in CLIPS}
