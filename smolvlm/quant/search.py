"""Which parts of a model get 4 bits: those that save the most for what they cost.

Costs are measured by others, one part at a time. They are taken to add up, which small ones do
nearly: the part that costs least for each byte it saves goes first, until the limit is reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smolvlm.quant.schemes import INT8, Scheme
from smolvlm.weights.names import Shape


@dataclass(frozen=True)
class Cost:
    """What fewer bits for one part cost, in nats a token, and the bytes they save."""

    loss: float
    saved: float

    @property
    def price(self) -> float:
        """Nats for a byte; a part that even got better is free."""
        return max(self.loss, 0.0) / self.saved


def affordable(costs: Mapping[str, Cost], limit: float) -> list[str]:
    """The parts to take, the cheapest first, with losses that sum to `limit` at most.

    A part that is too dear is passed over: a smaller one after it may still fit.
    """
    taken, spent = [], 0.0
    for part in sorted(costs, key=lambda part: costs[part].price):
        loss = max(costs[part].loss, 0.0)
        if spent + loss <= limit:
            taken.append(part)
            spent += loss
    return taken


def saved_bytes(shape: Shape, scheme: Scheme) -> float:
    """What a matrix saves in a scheme, compared with 8 bits."""
    rows, cols = shape
    return rows * cols * (INT8.bits_per_value() - scheme.bits_per_value()) / 8


def part_of(name: str) -> str:
    """The part a matrix is judged with: `text_model.layers.3.mlp.up_proj.weight` -> `...3.mlp`.

    Its neighbours read or feed the same numbers, and are rarely worth different bits.
    """
    return name.rsplit(".", 2)[0]
