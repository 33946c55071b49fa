"""Quantised folders: what `quantization_config` of config.json says, and which tensors it is about.

The section is that of the `compressed-tensors` format. It is written in full for those who build
their network from it; here it only has to name the format, for every matrix in the files tells its
own bits and groups (`packed.py`). Which folder is opened how is left to `reader.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import CheckpointError
from smolvlm.weights.names import Shape, to_published
from smolvlm.weights.packed import SUFFIXES, Bits, Packed, check_parts, from_words
from smolvlm.weights.shard import Entry, Shard, to_f32

SECTION = "quantization_config"
METHOD = "compressed-tensors"
# Sections of the format that change what the network computes, and that nothing here knows.
_UNKNOWN_SECTIONS = ("transform_config", "sparsity_config")
_WEIGHT = ".weight"
_INPUT = ".input"
_INPUT_PARTS = ("_scale", "_zero_point")

# Our name of a tensor -> the stored tensors it is made of.
Names = dict[str, tuple[str, ...]]
# Our name of a matrix -> the end of a part's name -> the stored tensor.
Parts = dict[str, dict[str, str]]


@dataclass(frozen=True)
class InputRange:
    """How a linear layer's inputs become 8-bit codes: code = round(value / scale) + zero.

    Codes go from -128 to 127; values beyond are cut.
    """

    scale: float
    zero: int

    @property
    def low(self) -> float:
        """The smallest value that is not cut."""
        return (-128 - self.zero) * self.scale

    @property
    def high(self) -> float:
        """The largest value that is not cut."""
        return (127 - self.zero) * self.scale


def is_quantized(config: Mapping[str, Any], where: str) -> bool:
    """Whether a folder's config.json says that its weights are quantised.

    `CheckpointError` for the formats of other tools.
    """
    section = config.get(SECTION)
    if section is None:
        return False
    method = section.get("quant_method") if isinstance(section, Mapping) else section
    if method != METHOD or not isinstance(section, Mapping):
        raise CheckpointError(
            f"{where}: the weights are quantised by {method!r}; only {METHOD!r} is read here, use "
            "the original checkpoint and `smolvlm quantize` it"
        )
    for name in _UNKNOWN_SECTIONS:
        inner = section.get(name)
        if inner and any(value for value in dict(inner).values()):
            raise CheckpointError(
                f"{where}: {SECTION} has a {name}, which is not read here; use a checkpoint "
                "without one"
            )
    return True


def separate(stored: Names) -> tuple[Names, Parts, Parts]:
    """Tell plain tensors, the parts of quantised matrices and the ranges of inputs apart."""
    weights: Parts = {}
    inputs: Parts = {}
    for name, sources in stored.items():
        base, kind, end = _split(name)
        if kind:
            found = weights if kind == _WEIGHT else inputs
            found.setdefault(base + _WEIGHT, {})[end] = sources[0]
    for name in weights:
        if name in stored:  # 8-bit codes bear the plain name
            weights[name][""] = stored[name][0]
    plain = {
        name: sources
        for name, sources in stored.items()
        if name not in weights and not _split(name)[1]
    }
    return plain, weights, inputs


def _split(name: str) -> tuple[str, str, str]:
    """`a.weight_scale` -> (`a`, `.weight`, `_scale`); the kind is "" for a plain tensor."""
    for kind, ends in ((_WEIGHT, SUFFIXES[1:]), (_INPUT, _INPUT_PARTS)):
        for end in ends:
            if name.endswith(kind + end):
                return name.removesuffix(kind + end), kind, end
    return name, "", ""


class QuantizedTensors:
    """The quantised matrices of a folder, by our names; empty for other folders.

    astray: what belongs to a matrix that is not quantised, for the error that names it.
    """

    def __init__(self, home: Mapping[str, Shard], weights: Parts, inputs: Parts) -> None:
        self._home = home
        self._weights = weights
        self._inputs = inputs
        self.astray = [f"{name} (input range)" for name in inputs if name not in weights]

    def __contains__(self, name: object) -> bool:
        return name in self._weights

    def __len__(self) -> int:
        return len(self._weights)

    def check(self, name: str, shape: Shape) -> None:
        """`CheckpointError` unless the parts of a matrix fit each other and this shape."""
        stored = {end: self._entry(part) for end, part in self._weights[name].items()}
        inputs = [self._entry(part) for part in self._inputs.get(name, {}).values()]
        try:
            check_parts({end: (entry.dtype, entry.shape) for end, entry in stored.items()}, shape)
        except ValueError as error:
            raise CheckpointError(f"{self._folder}: tensor {name} {error}") from None
        if any(prod(entry.shape) != 1 for entry in inputs):
            raise CheckpointError(
                f"{self._folder}: the inputs of {name} have more than one scale; wanted one"
            )

    def bits(self, name: str) -> Bits | None:
        """How many bits a matrix is stored in; None where it is not quantised."""
        if name not in self._weights:
            return None
        return 8 if "" in self._weights[name] else 4

    def matrix(self, name: str, shape: Shape) -> Packed:
        """A matrix that was checked; its codes are not copied."""
        parts = {end: self._raw(part) for end, part in self._weights[name].items()}
        parts["_scale"] = self._f32(self._weights[name]["_scale"])
        rows, cols = shape
        return from_words(parts, (rows, cols))

    def input_range(self, name: str) -> InputRange | None:
        """How the inputs of the layer with this weight become codes; None where they do not."""
        parts = self._inputs.get(name, {})
        if "_scale" not in parts:
            return None
        zero = self._raw(parts["_zero_point"]).item() if "_zero_point" in parts else 0
        return InputRange(self._f32(parts["_scale"]).item(), int(zero))

    @property
    def _folder(self) -> Path:
        return next(iter(self._home.values())).path.parent

    def _entry(self, stored: str) -> Entry:
        return self._home[stored].entries[stored]

    def _raw(self, stored: str) -> NDArray[Any]:
        return self._home[stored].raw(stored)

    def _f32(self, stored: str) -> NDArray[np.float32]:
        return to_f32(self._raw(stored), self._entry(stored).dtype)


def describe(matrices: Mapping[str, Packed], inputs: Mapping[str, InputRange]) -> dict[str, Any]:
    """The `quantization_config` of a folder that holds these matrices, by our names."""
    groups: dict[str, dict[str, Any]] = {}
    for name, packed in matrices.items():
        scheme = _scheme(packed, name in inputs)
        key = repr(scheme)
        groups.setdefault(key, scheme | {"targets": []})
        groups[key]["targets"].append(to_published(name).removesuffix(_WEIGHT))
    return {
        "quant_method": METHOD,
        "quantization_status": "compressed",
        "format": "mixed-precision",
        "config_groups": {f"group_{i}": group for i, group in enumerate(groups.values())},
        "ignore": [],
        "kv_cache_scheme": None,
    }


def _scheme(packed: Packed, has_input: bool) -> dict[str, Any]:
    whole_rows = packed.scales.shape[1] == 1
    weights = {
        "num_bits": packed.bits,
        "type": "int",
        "symmetric": packed.zeros is None,
        "strategy": "channel" if whole_rows else "group",
        "group_size": None if whole_rows else packed.group,
        "dynamic": False,
    }
    inputs = {
        "num_bits": 8,
        "type": "int",
        "symmetric": False,
        "strategy": "tensor",
        "dynamic": False,
    }
    return {
        "format": "int-quantized" if packed.bits == 8 else "pack-quantized",
        "weights": weights,
        "input_activations": inputs if has_input else None,
        "output_activations": None,
    }
