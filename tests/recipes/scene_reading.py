"""Reading generated samples again: scenes, words and pictures, from the synthetic materials."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from PIL import Image

from recipes.embedded.generators import (
    composites,
    questions,
    quiz,
    shapes,
)
from recipes.embedded.generators.canvas import Scene
from recipes.embedded.materials import Materials
from smolvlm.types import ImagePart, Sample, TextPart


@cache
def small_materials() -> Materials:
    return Materials.synthetic()


def scene_of(task: str, seed: int) -> tuple[Scene, list[questions.Turn]]:
    if task in shapes.SCENES:
        return shapes.made(task, seed)
    if task in quiz.GENERATORS:
        return quiz.made(task, small_materials(), seed)
    return composites.made(task, small_materials(), seed)


def scenes(task: str, count: int) -> Iterator[tuple[Scene, questions.Turn]]:
    for seed in range(count):
        scene, turns = scene_of(task, seed)
        for turn in turns:
            yield scene, turn


def words(sample: Sample) -> str:
    parts = [part for message in sample.messages for part in message.parts]
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def pictures(sample: Sample) -> list[Image.Image]:
    parts = [part for message in sample.messages for part in message.parts]
    return [part.source for part in parts if isinstance(part, ImagePart)]


def named(scene: Scene, question: str) -> list[Any]:
    """The things of a scene that a question names, in the order of their names."""
    found = [(question.lower().find(f"the {t.phrase}"), t) for t in scene.things]
    return [thing for place, thing in sorted(found, key=lambda item: item[0]) if place >= 0]
