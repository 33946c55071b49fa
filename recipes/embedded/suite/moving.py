"""E13: clips of drawings by the unseen artist, forwards and, where the answer changes, backwards.

Both directions of a clip are items of their own and form a pair: only who looks at the order of the
frames is right twice (the metric `flip_rate`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from recipes.embedded.generators import clips
from recipes.embedded.generators.english import sentence
from recipes.embedded.materials import Materials
from recipes.embedded.suite.drawn import FIRST_SEED, message_of
from recipes.embedded.suite.rows import Row
from smolvlm.types import ImagePart, Message, TextPart, VideoPart

BACKWARDS = "backwards"


@dataclass(frozen=True)
class Clips:
    """A plan for the clips of one generator.

    each: clips for each of `answers`, or in all where there are none. choices: what is chosen from;
    empty takes the names of the things that move where `named`, and asks openly otherwise.
    """

    task: str
    each: int
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    named: bool = False

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`; the two items of a pair stand together."""
        left = dict.fromkeys(self.answers, self.each) or {"": self.each}
        pairs: list[list[Row]] = []
        for seed in count(FIRST_SEED):
            if not any(left.values()):
                break
            made = clips.made(self.task, materials, seed, split="test")
            key = made.answer if self.answers else ""
            if left.get(key, 0) > 0:
                left[key] -= 1
                pairs.append(self._pair(made, seed))
        random.Random(name).shuffle(pairs)
        rows = [row for pair in pairs for row in pair]
        for number, row in enumerate(rows):
            row["id"] = f"{name}/{number}"
        return rows

    def _pair(self, made: clips.Made, seed: int) -> list[Row]:
        answers = [made.answer]
        if self.task in clips.FLIPS:
            answers.append(made.backwards)
        rows = []
        for way, answer in zip(("forwards", BACKWARDS), answers, strict=False):
            row = Row(id="", question=made.question, targets=[answer], seed=seed)
            row["meta"] = {"pair": str(seed), "way": way}
            choices = self.choices or (things(made.film) if self.named else ())
            if choices:
                row["choices"] = list(choices)
            rows.append(row)
        return rows

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item: its frames as a clip, and the question.

        Prompts are those that the training samples spell out (`questions.clip`), to the byte.
        """
        reverse = row["meta"]["way"] == BACKWARDS
        sample = clips.GENERATORS[self.task](materials, row["seed"], split="test", reverse=reverse)
        spelt = message_of(sample, row, turn=0)
        frames = [part.source for part in spelt.parts if isinstance(part, ImagePart)]
        return Message("user", (VideoPart(frames), TextPart(row["question"])))


def things(film: clips.Film) -> Sequence[str]:
    """What is seen in a film, spelt as answers, in alphabetical order."""
    names = {thing.phrase for scene in film.scenes for thing in scene.things}
    return sorted(sentence(f"the {name}") for name in names)
