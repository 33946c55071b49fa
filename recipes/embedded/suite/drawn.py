"""Items from the generators that also make training samples: other seeds, and the test split.

Seeds are tried one after another from `FIRST_SEED` on, which training never reaches; of each sample
one turn is kept, if its wording is of a wanted form and its answer is still wanted. So every answer
is right as often as every other where a plan asks for that.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from recipes.embedded.materials import Materials, Split
from recipes.embedded.suite.rows import Row
from smolvlm.errors import InputError
from smolvlm.types import Message, Part, Sample, TextPart

FIRST_SEED = 1_000_000_000  # training counts its seeds from 0
MOST_TRIES = 60  # seeds tried for each item before a plan counts as impossible


class SplitGenerator(Protocol):
    """A generator that may be asked for the test split."""

    def __call__(self, materials: Materials, seed: int, *, split: Split) -> Sample:
        """The sample of a seed."""
        ...


@dataclass(frozen=True)
class Drawn:
    """A plan for items of one generator.

    wordings: templates of the questions that are taken, empty for any first turn.
    answers: takes as many items of each of these; empty for any.
    accept: what else a question and its answer must fulfil.
    choices: what is chosen from, the same for all items; empty for open questions.
    """

    generator: SplitGenerator
    items: int
    wordings: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    accept: Callable[[str, str], bool] = lambda question, answer: True

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        rows: list[Row] = []
        seen: Counter[str] = Counter()
        for seed in count(FIRST_SEED):
            if len(rows) == self.items:
                break
            tried = seed - FIRST_SEED
            if tried > MOST_TRIES * self.items:
                raise InputError(
                    f"{name}: after {tried} seeds only {len(rows)} of {self.items} items were"
                    f" found; answers so far: {dict(seen)}"
                )
            row = self._row(self.generator(materials, seed, split="test"), seed, seen)
            if row is not None:
                seen[row["targets"][0]] += 1
                rows.append(row)
        random.Random(name).shuffle(rows)
        for number, row in enumerate(rows):
            row["id"] = f"{name}/{number}"
        return rows

    def _row(self, sample: Sample, seed: int, seen: Counter[str]) -> Row | None:
        """The first turn of a sample that is wanted, as a row without its id."""
        for turn, (question, answer) in enumerate(turns(sample)):
            if self._wants(question, answer, turn, seen):
                row = Row(id="", question=question, targets=[answer], seed=seed, turn=turn)
                return {**row, "choices": list(self.choices)} if self.choices else row
        return None

    def _wants(self, question: str, answer: str, turn: int, seen: Counter[str]) -> bool:
        if self.answers:
            quota = self.items // len(self.answers)
            if answer not in self.answers or seen[answer] >= quota:
                return False
        fits = fits_wording(question, self.wordings) if self.wordings else turn == 0
        return fits and self.accept(question, answer)

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        sample = self.generator(materials, row["seed"], split="test")
        return message_of(sample, row, turn=row["turn"])


def message_of(sample: Sample, row: Row, *, turn: int) -> Message:
    """The user's turn of an item: the pictures of its sample, and one question.

    `InputError` where the sample is no longer the one that the row was made from.
    """
    pairs = turns(sample)
    if turn >= len(pairs) or pairs[turn] != (row["question"], row["targets"][0]):
        raise InputError(
            f"{row['id']} is no longer what the generators draw from its seed; write the lists anew"
            " with `python -m recipes.embedded.suite list` and compare"
        )
    return Message("user", (*_shown(sample), TextPart(_gap(sample) + row["question"])))


def turns(sample: Sample) -> list[tuple[str, str]]:
    """Questions and answers of a sample."""
    users = [message for message in sample.messages if message.role == "user"]
    answers = [message for message in sample.messages if message.role == "assistant"]
    return [(_words(user).strip(), _words(said)) for user, said in zip(users, answers, strict=True)]


def _words(message: Message) -> str:
    """The last words of a message: its question, or its answer."""
    last = message.parts[-1]
    assert isinstance(last, TextPart), message
    return last.text


def _shown(sample: Sample) -> Sequence[Part]:
    """The pictures before the first question, and the words between the frames of a clip."""
    return sample.messages[0].parts[:-1]


def _gap(sample: Sample) -> str:
    """White space between the last frame of a clip and the question."""
    words = _words(sample.messages[0])
    return words[: len(words) - len(words.lstrip())]


def fits_wording(question: str, templates: Sequence[str]) -> bool:
    """Whether a question could be one of the templates filled in."""
    patterns = (re.sub(r"\\\{\d*\\\}", ".+", re.escape(template)) for template in templates)
    return any(re.fullmatch(pattern, question) for pattern in patterns)
