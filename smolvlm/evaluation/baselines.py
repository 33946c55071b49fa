"""The same questions without the right picture: what a model scores that never looks.

Under "grey" every picture is plain grey, under "shuffled" it is the picture of another item of the
task. Where a task asks the same of every item, all its grey prompts are one and the same, and are
answered once. Chance and constant answers are `Task.chance`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from smolvlm.evaluation.tasks import (
    Assistant,
    Condition,
    Item,
    Reply,
    Task,
    answer,
    chosen,
    pictures_of,
)
from smolvlm.types import Part, TextPart

GREY = (128, 128, 128)
SHUFFLE_SEED = 0
MOST_AT_ONCE = 5  # different choices an item: with more it is quicker to search each item's own


def under(condition: Condition, task: Task, items: Sequence[Item]) -> list[Item]:
    """Some items of a task as a condition shows them; questions and accepted answers stay."""
    if condition == "real":
        return list(items)
    if condition == "grey":
        return [item.showing([grey_like(source) for source in item.pictures]) for item in items]
    # Of all the task's items, so that a partner does not depend on how many are asked.
    partners = {i.id: o for i, o in zip(task.items, shuffled(task.items), strict=True)}
    return [item.showing(partners[item.id].pictures) for item in items]


def grey_like(source: Any) -> Image.Image:
    """A grey picture of the same size (so that the prompt is as long), RGB."""
    if isinstance(source, Image.Image):
        return Image.new("RGB", source.size, GREY)
    with Image.open(Path(source)) as image:  # reads the size only
        return Image.new("RGB", image.size, GREY)


def shuffled(items: Sequence[Item]) -> list[Item]:
    """For each item another one with as many pictures; itself only where there is no other."""
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(len(item.pictures), []).append(index)
    others = list(items)
    for indices in groups.values():
        order = list(indices)
        random.Random(SHUFFLE_SEED).shuffle(order)
        for index, other in zip(order, order[1:] + order[:1], strict=True):
            others[index] = items[other]
    return others


def alike(items: Sequence[Item]) -> list[list[Item]]:
    """Grey items in groups whose prompts are the same."""
    groups: dict[tuple[Any, ...], list[Item]] = {}
    for item in items:
        key = tuple(
            (
                message.role,
                *(p.text if isinstance(p, TextPart) else _sizes(p) for p in message.parts),
            )
            for message in item.messages
        )
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def _sizes(part: Part) -> tuple[tuple[int, int], ...]:
    return tuple(picture.size for picture in pictures_of(part))


def answer_alike(task: Task, items: Sequence[Item], assistant: Assistant) -> list[Reply]:
    """As `answer`, for items with the same prompt: it is read once, unless choices are many."""
    if task.kind != "choice":
        return answer(task, items[:1], assistant) * len(items)
    every = list(dict.fromkeys(choice for item in items for choice in item.choices))
    if len(every) > MOST_AT_ONCE * len(items):
        return answer(task, items, assistant)
    totals = [float(tokens.sum()) for tokens in assistant.score(items[0].messages, every)]
    score = dict(zip(every, totals, strict=True))
    return [chosen(item, [score[choice] for choice in item.choices]) for item in items]
