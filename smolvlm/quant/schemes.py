"""How values become codes: the schemes there are, plain rounding, and what rounding cost.

A scheme says how many bits a code has, how many columns share a scale, and whether zero is the
middle of the codes. Scales are rounded up to bfloat16, their stored type, before anything is
divided by them: no value is cut and every reader sees the same numbers. How codes lie in memory is
`weights/packed.py`; better rounding is `rounding.py`; which layer has which scheme is `plan.py`.

Letters: R rows (outputs of a layer), C columns (its inputs), G groups of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import CheckpointError, UnknownNameError
from smolvlm.weights.packed import MIDDLE, Bits, Packed, pack_nibbles

Floats = NDArray[np.float32]

# Columns that may share a scale of 4-bit codes.
GROUPS = (32, 64, 96, 128)
_NAME = re.compile(r"int4-(\d+)(-asym)?")
# Rows that are rounded at a time: float32 copies of a whole token table would be the peak of memory
# of everything that quantises while it loads.
BLOCK_ROWS = 2048


@dataclass(frozen=True)
class Scheme:
    """How one matrix is stored; `str` gives the name that `parse` reads.

    group: columns that share a scale; None: the whole row. inputs: whether the layer's inputs are
    8-bit codes too, in a range fixed by calibration.
    """

    bits: Bits
    group: int | None = None
    symmetric: bool = True
    inputs: bool = False

    def __str__(self) -> str:
        if self.bits == 8:
            return "int8-inputs" if self.inputs else "int8"
        return f"int4-{self.group}" + ("" if self.symmetric else "-asym")

    @classmethod
    def parse(cls, name: str) -> Scheme:
        """A scheme by its name; `UnknownNameError` lists what there is."""
        if name in ("int8", "int8-inputs"):
            return cls(8, inputs=name == "int8-inputs")
        match = _NAME.fullmatch(name)
        if match is None or int(match[1]) not in GROUPS:
            raise UnknownNameError(
                f"there is no scheme {name!r}; there are int8, int8-inputs, and int4-G or "
                f"int4-G-asym with G one of {', '.join(map(str, GROUPS))}"
            )
        return cls(4, int(match[1]), symmetric=match[2] is None)

    def bits_per_value(self) -> float:
        """What a value costs, scale and zero point included (a whole row's scale is left out)."""
        if self.group is None:
            return float(self.bits)
        return self.bits + (16 + (0 if self.symmetric else 4)) / self.group

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a matrix can be cut into whole groups."""
        return len(shape) == 2 and (self.group is None or shape[1] % self.group == 0)


INT8 = Scheme(8)
INT8_INPUTS = Scheme(8, inputs=True)
INT4 = Scheme(4, 64)


@dataclass(frozen=True, eq=False)
class Grid:
    """The values a matrix may take: scales float32 (R, G), zero codes float32 (R, G).

    Codes go from `low` to `high`; value = (code - zero) * scale.
    """

    scheme: Scheme
    scales: Floats
    zeros: Floats

    @property
    def low(self) -> int:
        """The smallest code."""
        return -128 if self.scheme.bits == 8 else 0

    @property
    def high(self) -> int:
        """The largest code."""
        return 127 if self.scheme.bits == 8 else 15

    def round(self, values: Floats) -> Floats:
        """The nearest codes of values (R, G, C / G), as whole float32 numbers."""
        codes = values / self.scales[..., None]
        np.rint(codes, out=codes)
        codes += self.zeros[..., None]
        return np.clip(codes, self.low, self.high, out=codes)

    def values(self, codes: Floats) -> Floats:
        """What codes (R, G, C / G) stand for."""
        return (codes - self.zeros[..., None]) * self.scales[..., None]

    def pack(self, codes: Floats) -> Packed:
        """Whole numbers (R, G, C / G) as they are stored."""
        flat = codes.reshape(len(codes), -1)  # (R, C)
        if self.scheme.bits == 8:
            return Packed(flat.astype(np.int8), self.scales)
        zeros = None if self.scheme.symmetric else self.zeros.astype(np.uint8)
        return Packed(pack_nibbles(flat.astype(np.uint8)), self.scales, zeros)


def quantize(values: Floats, scheme: Scheme) -> Packed:
    """Round a matrix (R, C) to the nearest values a scheme allows.

    `CheckpointError` for values that are not finite. The scheme has to fit the matrix.
    """
    assert scheme.fits(values.shape), (scheme, values.shape)
    starts = range(0, len(values), BLOCK_ROWS)
    return quantize_blocks((values[start : start + BLOCK_ROWS] for start in starts), scheme)


def quantize_blocks(blocks: Iterable[Floats], scheme: Scheme) -> Packed:
    """The same for a matrix that comes some rows at a time, so that it is never in memory whole."""
    parts = []
    for block in blocks:
        grouped = split_groups(block, scheme)  # (r, G, C / G)
        grid = plain_grid(grouped, scheme)
        parts.append(grid.pack(grid.round(grouped)))
    return join(parts)


def split_groups(values: Floats, scheme: Scheme) -> Floats:
    """(R, C) -> (R, G, C / G); `CheckpointError` for values that are not finite."""
    if not np.isfinite(values).all():
        raise CheckpointError(
            "the weights hold values that are not finite, which no scale can reach; "
            "use a checkpoint without them"
        )
    return values.reshape(len(values), -1, scheme.group or values.shape[1])


def plain_grid(grouped: Floats, scheme: Scheme) -> Grid:
    """The grid that just reaches every value of (R, G, C / G)."""
    low = np.minimum(grouped.min(-1), 0.0)  # (R, G)
    high = np.maximum(grouped.max(-1), 0.0)  # (R, G)
    return grid_between(low, high, scheme)


def grid_between(low: Floats, high: Floats, scheme: Scheme) -> Grid:
    """The finest grid from `low` <= 0 to `high` >= 0, float32 (R, G) each."""
    middle = MIDDLE[scheme.bits]
    if scheme.bits == 8:
        widths = np.maximum(high, -low) / 127
    elif scheme.symmetric:
        widths = np.maximum(high / 7, -low / 8)
    else:
        widths = (high - low) / 15
    # A group of zeros needs a scale too; any will do.
    scales = _round_up(np.where(widths > 0, widths, 1.0).astype(np.float32))
    zeros = np.full_like(scales, middle)
    if not scheme.symmetric:
        zeros = np.clip(np.rint(-low / scales), 0, 15)
    return Grid(scheme, scales, zeros)


def _round_up(values: Floats) -> Floats:
    """The next bfloat16 from a positive float32 on upwards, as float32."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    up = (bits.astype(np.uint64) + 0xFFFF) & 0xFFFF0000
    return up.astype(np.uint32).view(np.float32)


def join(parts: list[Packed]) -> Packed:
    """Blocks of rows of one matrix, as that matrix."""
    if len(parts) == 1:
        return parts[0]
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return Packed(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(zeros) if zeros else None,
    )


def scheme_of(packed: Packed, *, inputs: bool = False) -> Scheme:
    """The scheme that a stored matrix has; inputs: whether its layer's inputs are codes too."""
    group = None if packed.bits == 8 and packed.scales.shape[1] == 1 else packed.group
    return Scheme(packed.bits, group, symmetric=packed.zeros is None, inputs=inputs)


def weight_error(values: Floats, packed: Packed) -> float:
    """Root mean square of what was lost, as a share of that of the values; 0.0 for all zeros."""
    lost = float(np.square(packed.f32() - values, dtype=np.float64).sum())
    whole = float(np.square(values, dtype=np.float64).sum())
    return (lost / whole) ** 0.5 if whole else 0.0


def output_error(values: Floats, packed: Packed, moments: NDArray[np.float64]) -> float:
    """The same of a layer's outputs, for inputs with second moments E[x x'] = `moments` (C, C)."""
    lost = _energy(packed.f32().astype(np.float64) - values, moments)
    whole = _energy(values.astype(np.float64), moments)
    return (lost / whole) ** 0.5 if whole else 0.0


def _energy(matrix: NDArray[np.float64], moments: NDArray[np.float64]) -> float:
    """Sum of the mean squares of the outputs of a matrix (R, C)."""
    return max(float(((matrix @ moments) * matrix).sum()), 0.0)
