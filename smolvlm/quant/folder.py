"""A quantised model as a folder like any other: the same small files, weights in few bits.

config.json gains the section that names the schemes, the receipt lies beside it as `receipt.json`,
and everything that is not quantised stays as it was stored. A folder appears whole or not at all.
What is rounded how was decided before (`rounding.py`); the layout of the parts is `weights/`'.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import read_json
from smolvlm.errors import CheckpointError, InputError
from smolvlm.weights.packed import Packed, to_words
from smolvlm.weights.quantized import SECTION, InputRange, describe
from smolvlm.weights.reader import Checkpoint
from smolvlm.weights.shard import to_f32
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint

RECEIPT = "receipt.json"
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
_NOT_COPIED = ("config.json", "model.safetensors.index.json", RECEIPT)
_WEIGHT = ".weight"


@dataclass
class Quantized:
    """What is stored instead of a checkpoint's tensors, by our names of the weights.

    matrices: in few bits. inputs: the ranges of layers whose inputs are 8-bit codes too.
    changed: other tensors with new values (norms that scales were folded into), stored in float32:
    they are small, and what was folded in is not a number that 16 bits were chosen for.
    """

    matrices: dict[str, Packed] = field(default_factory=dict)
    inputs: dict[str, InputRange] = field(default_factory=dict)
    changed: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A folder to build in, which becomes `out` at the end; nothing stays after an error.

    `InputError` when `out` is there already and not an empty folder.
    """
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise CheckpointError(
            f"{out} cannot be written ({error.strerror}); choose another folder"
        ) from None
    try:
        part.chmod(0o755)  # as any new folder; a temporary one is its maker's alone
        yield part
        if out.exists():
            out.rmdir()
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_free(out: Path) -> None:
    """`InputError` unless a folder can be put at `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise InputError(f"{out} {what}; give the name of a new folder")


def write_quantized(folder: Path, source: Checkpoint, quantized: Quantized) -> None:
    """Write a quantised copy of a checkpoint into a folder that is there.

    `CheckpointError` when it cannot be written.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name in source.names():
        packed = quantized.matrices.get(name)
        if packed is not None:
            tensors |= {name + end: part for end, part in _parts(packed).items()}
        elif name in quantized.changed:
            tensors[name] = quantized.changed[name].astype(np.float32)
        else:
            tensors[name] = source.raw(name)
    for name, limits in quantized.inputs.items():
        layer = name.removesuffix(_WEIGHT)
        tensors[f"{layer}.input_scale"] = np.array([limits.scale], dtype=np.float32)
        tensors[f"{layer}.input_zero_point"] = np.array([limits.zero], dtype=np.int8)
    write_checkpoint(folder, tensors)
    section = describe(quantized.matrices, quantized.inputs)
    config = read_json(source.folder / "config.json") | {SECTION: section}
    with _writing(folder):
        for pattern in _SMALL_FILES:
            for path in source.folder.glob(pattern):
                if path.name not in _NOT_COPIED:
                    shutil.copyfile(path, folder / path.name)
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a small file of a quantised folder; `CheckpointError` when it cannot be."""
    with _writing(path.parent):
        path.write_text(text, encoding="utf-8")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written ({error.strerror}); free some space or choose another"
            " folder"
        ) from None


def folder_bytes(folder: Path) -> int:
    """The size of a folder's weight files."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _parts(packed: Packed) -> dict[str, NDArray[Any]]:
    """The parts of a matrix, its scales in bfloat16, which they are exact in."""
    parts: dict[str, NDArray[Any]] = dict(to_words(packed))
    bits = to_bf16_bits(packed.scales)
    assert np.array_equal(to_f32(bits, "BF16"), packed.scales), "a scale is no bfloat16"
    return parts | {"_scale": bits}
