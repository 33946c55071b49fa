"""Matrices stored in 8 or 4 bits: what the numbers in a file mean, and the way back to values.

The layout is that of the `compressed-tensors` format (what vLLM and transformers read), so that
quantised folders are no island: 8-bit codes as they are, 4-bit codes eight to an int32 with the
first in the lowest bits, one scale for each group of columns, zero points packed along the rows.
How values are rounded to codes is `quant/schemes.py`; which tensor is stored how, the folder says
(`quantized.py`).

Letters: R rows, C columns, G groups of a row (1 where a row has one scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Bits = Literal[4, 8]
Stored = tuple[str, tuple[int, ...]]  # the type and shape of a tensor in a file

# How the names of a matrix's parts end, after the name of the matrix.
SUFFIXES = ("", "_packed", "_scale", "_zero_point", "_shape")
# The types scales may be stored in.
FLOATS = ("F32", "BF16", "F16")

# The code that stands for zero where a matrix is stored without zero points.
MIDDLE: Mapping[Bits, int] = {4: 8, 8: 0}
_PER_WORD = 8  # 4-bit codes in an int32


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix (R, C) in few bits: value = (code - zero) * scale, group by group along a row.

    codes: int8 (R, C) of 8 bits; uint8 (R, C / 2) of 4 bits, codes 0 to 15, two to a byte and the
    earlier in the low half.
    scales: float32 (R, G). zeros: uint8 (R, G), of 4 bits only; None where every zero is `MIDDLE`.
    """

    codes: NDArray[Any]
    scales: NDArray[np.float32]
    zeros: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        rows, groups = self.scales.shape
        assert len(self.codes) == rows and self.shape[1] % groups == 0, (self.shape, groups)
        assert self.zeros is None or (self.bits == 4 and self.zeros.shape == (rows, groups))

    @property
    def bits(self) -> Bits:
        """How many bits a code has."""
        return 8 if self.codes.dtype == np.int8 else 4

    @property
    def shape(self) -> tuple[int, int]:
        """R and C."""
        rows, width = self.codes.shape
        return rows, width * (8 // self.bits)

    @property
    def group(self) -> int:
        """Columns that share a scale."""
        return int(self.shape[1] // self.scales.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales (stored in 16 bits) and zero points (in 4) on the disk."""
        zeros = 0 if self.zeros is None else self.zeros.size // 2
        return self.codes.nbytes + self.scales.size * 2 + zeros

    def f32(self) -> NDArray[np.float32]:
        """The values, float32 (R, C)."""
        return _values(self.codes, self.scales, self.zeros)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The values of some rows, float32 (len(ids), C), without touching the others."""
        zeros = None if self.zeros is None else self.zeros[ids]
        return _values(self.codes[ids], self.scales[ids], zeros)


def _values(
    codes: NDArray[Any], scales: NDArray[np.float32], zeros: NDArray[np.uint8] | None
) -> NDArray[np.float32]:
    wide: NDArray[Any] = codes if codes.dtype == np.int8 else unpack_nibbles(codes)
    values = wide.astype(np.float32).reshape(*scales.shape, -1)  # (R, C) -> (R, G, C / G)
    if codes.dtype != np.int8:
        values -= np.float32(MIDDLE[4]) if zeros is None else zeros[..., None].astype(np.float32)
    values *= scales[..., None]
    return values.reshape(len(codes), -1)  # (R, C)


def pack_nibbles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes 0 to 15, (R, C) with C even -> bytes (R, C / 2), the earlier code in the low half."""
    assert codes.shape[1] % 2 == 0, codes.shape
    packed: NDArray[np.uint8] = codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))
    return packed


def unpack_nibbles(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The way back: bytes (R, C / 2) -> codes 0 to 15, uint8 (R, C)."""
    codes = np.empty((len(packed), 2 * packed.shape[1]), dtype=np.uint8)
    np.bitwise_and(packed, 15, out=codes[:, 0::2])
    np.right_shift(packed, 4, out=codes[:, 1::2])
    return codes


def to_words(packed: Packed) -> dict[str, NDArray[Any]]:
    """What a file holds of a packed matrix, by the end of its name ("", "_packed", ...).

    Scales are float32 here as everywhere; the writer of the folder chooses their stored type.
    """
    if packed.bits == 8:
        return {"": packed.codes, "_scale": packed.scales}
    parts: dict[str, NDArray[Any]] = {
        "_packed": _words(packed.codes),
        "_scale": packed.scales,
        "_shape": np.array(packed.shape, dtype=np.int64),
    }
    if packed.zeros is not None:
        parts["_zero_point"] = _pack_zeros(packed.zeros)
    return parts


def check_parts(stored: Mapping[str, Stored], wanted: tuple[int, ...]) -> None:
    """Whether the parts of a matrix fit each other and its shape, from types and shapes alone.

    stored: the end of each part's name -> its type and shape. ValueError says what does not fit.
    """
    if len(wanted) != 2:
        raise ValueError(f"is quantised but has {len(wanted)} axes; only matrices can be")
    rows, cols = wanted
    words = (rows, -(-cols // _PER_WORD))
    codes, fitting = ("", ("I8", wanted)) if "" in stored else ("_packed", ("I32", words))
    if stored.get(codes) != fitting:
        raise ValueError(f"has codes {_say(stored.get(codes))}; wanted {_say(fitting)}")
    kind, scales = stored.get("_scale", ("none", ()))
    groups = max(scales[1], 1) if len(scales) == 2 else 1
    if kind not in FLOATS or scales not in ((rows,), (rows, groups)) or cols % groups:
        raise ValueError(
            f"has scales {_say((kind, scales))}; wanted {rows} rows of them in "
            f"{' or '.join(FLOATS)}, as many in each as divide {cols}"
        )
    zeros = ("I32", (-(-rows // _PER_WORD), groups))
    if stored.get("_zero_point", zeros) != zeros:
        raise ValueError(f"has zero points {_say(stored['_zero_point'])}; wanted {_say(zeros)}")
    surplus = set(stored) - ({"", "_scale"} if "" in stored else set(SUFFIXES) - {""})
    if surplus:
        raise ValueError(f"has parts that mean nothing here: {', '.join(sorted(surplus))}")


def from_words(parts: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Packed:
    """Read what `to_words` wrote for a matrix of this shape, once `check_parts` has looked at it.

    Scales are float32 already; the codes are not copied.
    """
    rows, cols = shape
    scales = parts["_scale"].reshape(rows, -1)  # (R,) or (R, G) -> (R, G)
    if "" in parts:
        return Packed(parts[""], scales)
    codes = np.ascontiguousarray(parts["_packed"]).view(np.uint8)[:, : cols // 2]  # (R, C / 2)
    zeros = _unpack_zeros(parts["_zero_point"], rows) if "_zero_point" in parts else None
    return Packed(np.ascontiguousarray(codes), scales, zeros)


def _say(part: Stored | None) -> str:
    return "none" if part is None else f"{part[0]} {part[1]}"


def _words(codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Bytes (R, C / 2) -> int32 (R, C / 8, rounded up): the same bytes, filled up with zeros."""
    missing = -codes.shape[1] % 4
    filled = np.pad(codes, ((0, 0), (0, missing))) if missing else codes
    words: NDArray[np.int32] = np.ascontiguousarray(filled).view("<i4")
    return words


def _pack_zeros(zeros: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(R, G) -> int32 (R / 8, rounded up, G): eight rows to a word."""
    missing = -len(zeros) % _PER_WORD
    columns = np.pad(zeros, ((0, missing), (0, 0))).T  # (G, R)
    return np.ascontiguousarray(_words(pack_nibbles(np.ascontiguousarray(columns))).T)


def _unpack_zeros(words: NDArray[np.int32], rows: int) -> NDArray[np.uint8]:
    """int32 (R / 8, rounded up, G) -> (R, G)."""
    packed = np.ascontiguousarray(words.T).view(np.uint8)  # (G, R / 2)
    return np.ascontiguousarray(unpack_nibbles(packed)[:, :rows].T)  # (R, G)
