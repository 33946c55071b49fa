"""The slow, obvious twin of `quant/schemes.py`: number by number, in Python's own arithmetic."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def next_bfloat16(value: float) -> float:
    """The smallest bfloat16 that is not below a positive number: 7 bits after the leading one."""
    mantissa, exponent = math.frexp(value)  # 0.5 <= mantissa < 1
    rounded = math.ldexp(math.ceil(mantissa * 256) / 256, exponent)
    (stored,) = struct.unpack("<f", struct.pack("<f", rounded))
    assert stored == rounded
    return rounded


def round_even(value: float) -> int:
    """The nearest whole number, ties to even; Python's own rule."""
    return round(value)


def round_group(
    values: Sequence[float], bits: int, symmetric: bool
) -> tuple[list[float], list[int], float, int]:
    """What a group of weights becomes: its values, codes, scale and zero code."""
    low, high = min(0.0, *values), max(0.0, *values)
    if bits == 8:
        smallest, largest, zero, width = -128, 127, 0, max(high, -low) / 127
    elif symmetric:
        smallest, largest, zero, width = 0, 15, 8, max(high / 7, -low / 8)
    else:
        smallest, largest, zero, width = 0, 15, 0, (high - low) / 15
    scale = next_bfloat16(float(np.float32(width))) if width else 1.0
    if not symmetric:
        zero = min(max(round_even(-low / scale), 0), 15)
    codes = [
        min(max(round_even(float(np.float32(v) / np.float32(scale))) + zero, smallest), largest)
        for v in values
    ]
    return [(code - zero) * scale for code in codes], codes, scale, zero


def round_matrix(
    values: NDArray[np.float32], bits: int, group: int | None, symmetric: bool
) -> NDArray[np.float32]:
    """The values a matrix is stored as, group by group."""
    width = group or values.shape[1]
    rows = []
    for row in values.tolist():
        new: list[float] = []
        for start in range(0, len(row), width):
            new += round_group(row[start : start + width], bits, symmetric)[0]
        rows.append(new)
    return np.array(rows, dtype=np.float32)
