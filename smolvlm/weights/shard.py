"""One safetensors file, memory-mapped and checked before anything reads from it.

The format: eight bytes little-endian header length, a JSON header (name → dtype, shape, byte
range), then the data. Nothing the header claims is believed until it fits the file: its length, its
JSON, every type, shape and byte range. What the tensors mean is left to `names.py` and `reader.py`.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeGuard, get_args

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import CheckpointError

# The integers are codes of quantised weights and sizes (`packed.py`).
Dtype = Literal["F32", "BF16", "F16", "I8", "I32", "I64"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)

# numpy has no bfloat16: its bit patterns are read as uint16.
_NUMPY: dict[Dtype, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its type, shape and byte range in the data."""

    dtype: Dtype
    shape: tuple[int, ...]
    start: int
    end: int


class Shard:
    """A safetensors file; the map stays open as long as an array of it is alive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                self.size, self.modified_ns = status.st_size, status.st_mtime_ns
                self.header = _read_header(file, path, self.size)
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror})") from None
        self._data_start = _LENGTH_BYTES + len(self.header)
        self.entries = _parse_header(self.header, path, self.size - self._data_start)

    def raw(self, name: str) -> NDArray[Any]:
        """The stored values, read-only and without a copy; bfloat16 as uint16 bit patterns."""
        entry = self.entries[name]
        flat = np.frombuffer(
            self._map,
            dtype=_NUMPY[entry.dtype],
            count=prod(entry.shape),
            offset=self._data_start + entry.start,
        )
        # Files of other writers may hold a tensor off its alignment, which engines refuse.
        aligned = flat if flat.flags.aligned else flat.copy()
        return aligned.reshape(entry.shape)  # (values,) -> shape


def to_f32(raw: NDArray[Any], dtype: Dtype) -> NDArray[np.float32]:
    """Stored values as float32, exact for every type; float32 is not copied."""
    if dtype == "BF16":
        bits = raw.astype(np.uint32)
        bits <<= 16  # in place: the largest tensors are hundreds of megabytes
        return bits.view(np.float32)
    return raw.astype(np.float32, copy=False)


def _read_header(file: BinaryIO, path: Path, size: int) -> bytes:
    """The header's bytes, once its declared length is known to fit the file."""
    length_bytes = file.read(_LENGTH_BYTES)
    if len(length_bytes) < _LENGTH_BYTES:
        raise CheckpointError(
            f"{path} has {len(length_bytes)} bytes, too few for a safetensors file; "
            "download it again"
        )
    length = int.from_bytes(length_bytes, "little")
    if length > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path} declares a header of {length} bytes; the limit is {_MAX_HEADER_BYTES}: "
            "it is damaged or not a safetensors file"
        )
    if length > size - _LENGTH_BYTES:
        raise CheckpointError(
            f"{path} is cut short inside its header ({length} bytes declared, "
            f"{size - _LENGTH_BYTES} there); download it again"
        )
    return file.read(length)


def _parse_header(header: bytes, path: Path, data_bytes: int) -> dict[str, Entry]:
    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=_refuse_repeats)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a broken safetensors header: {error}") from None
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path} has a broken safetensors header: not a JSON object")
    parsed.pop("__metadata__", None)
    entries = {name: _entry(value, f"{path}: tensor {name}") for name, value in parsed.items()}
    _check_ranges(entries, path, data_bytes)
    return entries


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is there twice")
    return parsed


def _entry(value: Any, where: str) -> Entry:
    """One tensor of the header; `CheckpointError` names what is wrong with it."""
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{where} has no dtype, shape and data_offsets; the header is broken")
    dtype, shape, offsets = (value.get(key) for key in ("dtype", "shape", "data_offsets"))
    if dtype not in DTYPES:
        raise CheckpointError(
            f"{where} has dtype {dtype!r}; only {', '.join(DTYPES)} can be read, "
            "convert the weights to one of them"
        )
    if not _are_counts(shape):
        raise CheckpointError(f"{where} has shape {shape!r}; wanted a list of whole numbers")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise CheckpointError(f"{where} has data_offsets {offsets!r}; wanted [start, end]")
    start, end = offsets
    wanted = prod(shape) * _NUMPY[dtype].itemsize
    if end - start != wanted:
        raise CheckpointError(
            f"{where} spans {end - start} bytes; {dtype} {tuple(shape)} takes {wanted}: "
            "the header is broken"
        )
    return Entry(dtype, tuple(shape), start, end)


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_ranges(entries: Mapping[str, Entry], path: Path, data_bytes: int) -> None:
    """Byte ranges lie in the file and do not overlap."""
    end, previous = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.end > data_bytes:
            raise CheckpointError(
                f"{path}: tensor {name} ends at byte {entry.end} of the data, the file has only "
                f"{data_bytes}; it is cut short, download it again"
            )
        if entry.start < end:
            raise CheckpointError(f"{path}: tensors {previous} and {name} overlap; it is damaged")
        end, previous = entry.end, name
