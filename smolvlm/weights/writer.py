"""Tensors → a checkpoint in the published layout: safetensors under the published names.

One `model.safetensors`, or numbered shards with `model.safetensors.index.json` when the tensors
exceed the limit. Every file appears whole or not at all (written beside its place, then renamed).
The other files of a model folder (config, tokenizer) are not its business. The format: eight bytes
little-endian header length, a JSON header, the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import CheckpointError
from smolvlm.weights.names import to_published

Tensors = Mapping[str, NDArray[Any]]

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
SHARD_GLOB = "model-*-of-*.safetensors"
# numpy has no bfloat16: its bit patterns travel as uint16.
_DTYPES = {
    "float32": "F32", "float16": "F16", "uint16": "BF16",
    "int8": "I8", "int32": "I32", "int64": "I64",
}  # fmt: skip
_ALIGNMENT = 8


def to_bf16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round float32 to bfloat16 bit patterns of the same shape: nearest even, NaN stays NaN."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)  # (values,)
    bits = flat.view(np.uint32)
    # Half of the dropped part, plus one when the kept part is odd: ties go to even.
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    # Rounding could carry a NaN over into infinity or minus zero.
    nan = np.isnan(flat)
    rounded[nan] = (bits[nan] >> 16) | 0x40
    return rounded.astype(np.uint16).reshape(np.shape(values))  # (values,) -> shape


def write_checkpoint(
    folder: Path, tensors: Tensors, *, max_shard_bytes: int = 5_000_000_000
) -> None:
    """Write tensors (our name → float32, float16, or uint16 for bfloat16 bits) into a model folder.

    The parts of quantised matrices may be among them (`packed.to_words`).
    Weight files of an earlier checkpoint in the same folder are removed once the new ones stand.
    `CheckpointError` when the folder cannot be written.
    """
    published = {to_published(name): tensor for name, tensor in tensors.items()}
    shards = _plan_shards(published, max_shard_bytes)
    names = _shard_names(len(shards))
    for name, shard in zip(names, shards, strict=True):
        _write_safetensors(folder / name, {key: published[key] for key in shard})
    keep = set(names)
    if len(shards) > 1:
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        total = sum(tensor.nbytes for tensor in published.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        with _replacing(folder / INDEX_NAME) as file:
            file.write(json.dumps(index, indent=2).encode() + b"\n")
        keep.add(INDEX_NAME)
    for old in (folder / SINGLE_NAME, folder / INDEX_NAME, *folder.glob(SHARD_GLOB)):
        if old.name not in keep:
            old.unlink(missing_ok=True)


def _plan_shards(tensors: Tensors, limit: int) -> list[list[str]]:
    """Fill shards up to the limit; a tensor larger than the limit has a shard to itself."""
    # Widest type first keeps every tensor aligned to its own size within a file.
    ordered = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    shards: list[list[str]] = [[]]
    size = 0
    for name in ordered:
        if shards[-1] and size + tensors[name].nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensors[name].nbytes
    return shards


def _shard_names(count: int) -> Sequence[str]:
    if count == 1:
        return (SINGLE_NAME,)
    return [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]


def _write_safetensors(path: Path, tensors: Tensors) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in tensors.items():
        assert tensor.dtype.name in _DTYPES, (name, tensor.dtype)
        header[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with _replacing(path) as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in tensors.values():
            little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
            file.write(little.reshape(-1).view(np.uint8).data)  # (bytes,)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place at `path` only when it was written to the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror}); free some space or choose another folder"
        ) from None
    finally:
        if part.exists():
            part.unlink()
