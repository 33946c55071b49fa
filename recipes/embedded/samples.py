"""Questions and answers about one drawing: a pure function of (row of the pack, seed).

Each sample is one or two turns about the same tile. About a drawing "Yes." and "No." are equally
frequent, and what is asked about where the answer is "No." is drawn evenly from the given names. So
a noun is there as often as it is not where each name has equally many drawings. Answers are short,
as a 135M language model can keep them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from recipes.embedded.pack import Row

NAME_QUESTIONS = (
    "What is this?",
    "What is this?",
    "What is shown here?",
    "Name the object.",
    "What does the picture show?",
    "What do you see?",
)
DESCRIBE_QUESTIONS = (
    "Describe the image.",
    "Describe the image.",
    "Describe the picture.",
    "What is in the image?",
    "Write a caption.",
)
PRESENCE_QUESTIONS = (
    "Is there {} in the image?",
    "Does the picture show {}?",
    "Is this {}?",
    "Can you see {}?",
    "Do you see {} here?",
)
EMPTY_ANSWER = "The picture is empty."


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


def with_article(label: str) -> str:
    """`orangutan` -> `an orangutan`; plurals and labels that bring their own article stay."""
    first, last = label.split()[0].lower(), label.split()[-1].lower()
    if first in ("a", "an", "the", "some", "two", "three"):
        return label
    if last.endswith("s") and not last.endswith(("ss", "us", "is", "as", "os")):
        return label
    return f"{'an' if label[0].lower() in 'aeiou' else 'a'} {label}"


def name_answer(label: str) -> str:
    """How a name is said: `orangutan` -> `An orangutan.`"""
    return f"{_capital(with_article(label))}."


def turns(row: Row | None, labels: Sequence[str], *, seed: int, second: bool) -> list[Turn]:
    """The turn about one drawing, or an empty tile (`row` None); with `second` a yes/no one too.

    labels: names of drawings; a question that wants "No." takes a wrong one from them, so they must
    hold one that is no answer to this row. A row without a name gets no yes/no question.
    """
    rng = random.Random(seed)
    if row is None:
        first = Turn(rng.choice(NAME_QUESTIONS + DESCRIBE_QUESTIONS), EMPTY_ANSWER)
        other = Turn(_presence(rng, rng.choice(labels)), "No.")
        return [first, other] if second else [rng.choice((first, first, other))]
    draw, first = rng.random(), Turn(rng.choice(DESCRIBE_QUESTIONS), _caption(row))
    if row["label"] is None:
        return [first]
    if draw < (0.4 if row["sentence"] else 0.7):
        first = Turn(rng.choice(NAME_QUESTIONS), name_answer(row["label"]))
    return [first, _yes_or_no(rng, row, labels)] if second else [first]


def _yes_or_no(rng: random.Random, row: Row, labels: Sequence[str]) -> Turn:
    """Whether a noun is there: the row's own, or one that is none of its accepted answers."""
    label = row["label"]
    assert label is not None
    if rng.random() < 0.5:
        return Turn(_presence(rng, label), "Yes.")
    wrong = rng.choice(labels)
    while wrong in (label, *row["answers"]):
        wrong = rng.choice(labels)
    return Turn(_presence(rng, wrong), "No.")


def _presence(rng: random.Random, label: str) -> str:
    return rng.choice(PRESENCE_QUESTIONS).format(with_article(label))


def _caption(row: Row) -> str:
    if row["sentence"]:
        return _capital(row["sentence"])
    assert row["label"] is not None
    return f"A picture of {with_article(row['label'])}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
