"""Models that are not models: one that knows everything, one that never looks, one that guesses.

Pictures are 2x2 and carry the answer in the colour of a pixel, so that looking is possible: `show`
makes one, `seen` reads it. The rest of `api.Assistant` is left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.evaluation.tasks import Item, Task
from smolvlm.types import Answer, ImagePart, Message, TextPart

ANSWERS = ("cat", "dog", "cow", "hen")
QUESTION = "What is this?"


def show(answer: str) -> Image.Image:
    """A picture of an answer."""
    return Image.new("RGB", (2, 2), (ANSWERS.index(answer), 0, 0))


def seen(source: Any) -> str | None:
    """What a picture shows; None for a grey one."""
    image = source if isinstance(source, Image.Image) else Image.open(source)
    red = image.convert("RGB").getpixel((0, 0))
    assert isinstance(red, tuple)
    return ANSWERS[int(red[0])] if red[0] < len(ANSWERS) else None


class Player:
    """Answers with `say(pictures, question)`; of choices it takes that answer if it is there."""

    def __init__(self, say: Callable[[list[Any], str], str]) -> None:
        self.say = say
        self.calls: list[tuple[str, int]] = []

    def ask_batch(self, questions: Iterable[tuple[Any, str]], **generation: Any) -> list[Answer]:
        pairs = list(questions)
        self.calls.append(("ask_batch", len(pairs)))
        return [Answer(self.say(*pair), (), "stop") for pair in pairs]

    def chat(self, messages: Any, **generation: Any) -> Answer:
        self.calls.append(("chat", 1))
        return Answer(self.say(*_read(messages)), (), "stop")

    def score(self, messages: Any, answers: Sequence[str]) -> list[NDArray[np.float32]]:
        self.calls.append(("score", len(answers)))
        return self._scores(messages, answers)

    def _scores(self, messages: Any, answers: Sequence[str]) -> list[NDArray[np.float32]]:
        wanted = self.say(*_read(messages))
        return [
            np.full(2, -0.1 if answer == wanted else -1.0 - _noise(answer), np.float32)
            for answer in answers
        ]

    def likeliest(self, messages: Any, answers: Sequence[str]) -> tuple[int, list[float]]:
        self.calls.append(("likeliest", len(answers)))
        totals = [float(tokens.sum()) for tokens in self._scores(messages, answers)]
        return int(np.argmax(totals)), totals


def _noise(text: str) -> float:
    """The same for the same text: something to prefer among answers when none is known."""
    return zlib.crc32(text.encode()) / 2**32


def _read(messages: Sequence[Message]) -> tuple[list[Any], str]:
    parts = [part for message in messages for part in message.parts]
    words = "".join(part.text for part in parts if isinstance(part, TextPart))
    return [part.source for part in parts if isinstance(part, ImagePart)], words


def oracle() -> Player:
    """Says what the first picture shows."""
    return Player(lambda pictures, question: seen(pictures[0]) or "nothing")


def blind() -> Player:
    """Never looks: the same answer to the same question."""
    return Player(lambda pictures, question: "dog")


def make_task(kind: Any = "choice", *, count: int = 40, metrics: Sequence[str] = ()) -> Task:
    """Animals in equal numbers."""
    names = [ANSWERS[index % len(ANSWERS)] for index in range(count)]
    items = tuple(
        Item(
            f"{kind}/{index}",
            (Message("user", (ImagePart(show(name)), TextPart(QUESTION))),),
            (name,),
            ANSWERS if kind == "choice" else (),
        )
        for index, name in enumerate(names)
    )
    return Task(f"T-{kind}", "animals", kind, tuple(metrics) or ("accuracy",), items)
