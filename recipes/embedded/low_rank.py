"""Many changed matrices as low-rank updates that share a budget of bytes.

Training changed some matrices in few directions and some in many. So ranks are not equal: of all
directions of all matrices those are kept that hold most of the change for their bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SCALE_BYTES = 4  # a direction has a float32 scale beside its int8 numbers
LEAST = 1e-4  # of the largest direction of its matrix: smaller ones are rounding


@dataclass(frozen=True)
class Spectrum:
    """A matrix as a sum of directions, the largest first.

    up: (out, r), sizes: (r,), down: (r, in), all float32; whole: the sum of the matrix's squares.
    """

    up: Floats
    sizes: Floats
    down: Floats
    whole: float

    @classmethod
    def of(cls, matrix: Floats) -> Spectrum:
        """All directions of a matrix (out, in) that are more than rounding."""
        up, sizes, down = torch.linalg.svd(torch.from_numpy(matrix), full_matrices=False)
        count = int((sizes > LEAST * sizes[0]).sum())
        return cls(
            up[:, :count].numpy(), sizes[:count].numpy(), down[:count].numpy(),
            float(np.square(matrix, dtype=np.float64).sum()),
        )  # fmt: skip

    @property
    def cost(self) -> int:
        """Bytes of one direction."""
        outputs, inputs = len(self.up), int(self.down.shape[1])
        return outputs + inputs + SCALE_BYTES

    def factors(self, rank: int) -> tuple[Floats, Floats]:
        """The nearest matrix of a rank as A (r, in) and B (out, r), equally large."""
        root = np.sqrt(self.sizes[:rank])  # (r,)
        return root[:, None] * self.down[:rank], self.up[:, :rank] * root

    def kept(self, rank: int) -> float:
        """The sum of the squares of that nearest matrix."""
        return float(np.square(self.sizes[:rank], dtype=np.float64).sum())


def chosen_ranks(spectra: Mapping[str, Spectrum], room: int) -> dict[str, int]:
    """How many directions of each matrix are kept in `room` bytes; 0 where none is."""
    directions = sorted(
        (-(float(size) ** 2) / spectrum.cost, place, name)
        for name, spectrum in spectra.items()
        for place, size in enumerate(spectrum.sizes)
    )
    ranks = dict.fromkeys(spectra, 0)
    for _, place, name in directions:
        room -= spectra[name].cost
        if room < 0:
            break
        ranks[name] = place + 1
    return ranks
