"""E12-change: which of five things happened between two pictures.

The pairs are those of `generators.several`; every one of its five changes is offered for the thing
that changed, so that what must be seen is the change.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from recipes.embedded.generators import several
from recipes.embedded.generators.colours import COLOURS
from recipes.embedded.materials import Materials
from recipes.embedded.suite.drawn import Drawn
from recipes.embedded.suite.rows import Row
from smolvlm.types import Message

HAPPENINGS = ("appeared", "disappeared", "moved", "grew")
_RECOLOURED = re.compile(r"The (?P<name>.+) changed from (?P<colour>\w+) to (?P<other>\w+)\.")
_OTHER = re.compile(rf"The (?P<colour>\w+) (?P<name>.+) (?:{'|'.join(HAPPENINGS)})\.")


@dataclass(frozen=True)
class Changes:
    """The plan: `items` pairs of pictures."""

    items: int

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        return [
            {**row, "choices": choices(row["targets"][0], random.Random(row["id"]))}
            for row in self._pairs().rows(materials, name)
        ]

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        return self._pairs().message(row, materials)

    def _pairs(self) -> Drawn:
        return Drawn(several.GENERATORS["pair_change"], self.items)


def choices(answer: str, rng: random.Random) -> list[str]:
    """The five changes of one thing in random order, the right one spelt as it is."""
    found = _RECOLOURED.fullmatch(answer) or _OTHER.fullmatch(answer)
    assert found, answer
    name, colour = found["name"], found["colour"]
    offered = [f"The {colour} {name} {what}." for what in HAPPENINGS]
    other = rng.choice([c for c in COLOURS if c != colour])
    other = found.groupdict().get("other", other)
    offered.append(f"The {name} changed from {colour} to {other}.")
    assert answer in offered, answer
    rng.shuffle(offered)
    return offered
