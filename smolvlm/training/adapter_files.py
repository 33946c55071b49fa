"""What was trained, as files: an adapter folder, or a whole model with everything merged in.

An adapter folder holds `trained.safetensors` and `trained.json` in the form that
`weights/embedded.py` reads, so that what a run made can become the package's own embedded model:

- `set:NAME` replaces a tensor (NAME is one of our tensor names).
- `rows:NAME` (n, H) replaces the rows `rows_index:NAME` (n,) int32.
- `lora_a:NAME` (r, in) and `lora_b:NAME` (out, r) add B @ A; the scale is inside B: 1 in the JSON.
- `magnitude:NAME` (out,) then gives the rows these lengths (DoRA; this module only).

Merging works on the base checkpoint's own numbers, in float32: a tensor nobody trained keeps its
bits, whatever the network computed in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import nn

from smolvlm.config import read_json
from smolvlm.errors import CheckpointError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.lora import RowEmbedding, RowHead, adapters, plain_path
from smolvlm.weights.names import EMBEDDING, HEAD
from smolvlm.weights.reader import Checkpoint
from smolvlm.weights.shard import Dtype
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint

Floats = NDArray[np.float32]
TENSORS, SETTINGS = "trained.safetensors", "trained.json"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def trained_tensors(model: SmolVLM) -> dict[str, NDArray[Any]]:
    """Everything trained, under the keys above: float32, int32 for row numbers."""
    trained: dict[str, NDArray[Any]] = {}
    inside = set()
    for name, adapter in adapters(model):
        trained[f"lora_a:{name}"] = _array(adapter.lora_a)
        trained[f"lora_b:{name}"] = _array(adapter.scale * adapter.lora_b)
        if adapter.magnitude is not None:
            trained[f"magnitude:{name}"] = _array(adapter.magnitude)
        inside |= set(adapter.parameters())
    for module in model.modules():
        if isinstance(module, RowEmbedding | RowHead):
            head = isinstance(module, RowHead) and not isinstance(module.base, nn.Embedding)
            name = HEAD if head else EMBEDDING
            trained[f"rows:{name}"] = _array(module.rows)
            trained[f"rows_index:{name}"] = module.row_ids.cpu().numpy().astype(np.int32)
            inside.add(module.rows)
    for path, parameter in model.named_parameters():
        if parameter.requires_grad and parameter not in inside:
            trained[f"set:{plain_path(path)}"] = _array(parameter)
    return trained


def save_adapter(
    folder: Path, trained: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]
) -> None:
    """Write an adapter folder; `facts` (the recipe, the base) go into its JSON."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(dict(trained), folder / TENSORS)
        record = json.dumps({"scale": 1.0, **facts}, indent=1, default=str)
        (folder / SETTINGS).write_text(record + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written ({error.strerror})") from None


def read_adapter(folder: Path) -> dict[str, NDArray[Any]]:
    """The tensors of an adapter folder, its scale put into `lora_b`."""
    path = folder / TENSORS
    try:
        trained = load_file(path)
    except Exception as error:  # safetensors raises its own errors and those of the system
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    scale = np.float32(read_json(folder / SETTINGS).get("scale", 1.0))
    return {
        key: scale * value.astype(np.float32) if key.startswith("lora_b:") else value
        for key, value in trained.items()
    }


def load_adapter(model: SmolVLM, trained: Mapping[str, NDArray[Any]]) -> None:
    """Fill a model that was prepared the same way with what was trained before.

    `CheckpointError` when the two do not hold the same tensors.
    """
    expected = trained_tensors(model)
    wrong = sorted(
        key
        for key in expected.keys() | trained.keys()
        if key not in expected or key not in trained or expected[key].shape != trained[key].shape
    )
    if wrong:
        raise CheckpointError(
            f"the adapter does not fit the stage: {len(wrong)} tensors differ, such as {wrong[0]};"
            " use the stage it was trained with"
        )
    own = dict(adapters(model))
    parameters = {plain_path(path): value for path, value in model.named_parameters()}
    for key, value in trained.items():
        kind, _, name = key.partition(":")
        given = torch.from_numpy(value.copy())
        if kind == "lora_a":
            own[name].lora_a.data.copy_(given)
        elif kind == "lora_b":
            own[name].lora_b.data.copy_(given / own[name].scale)
        elif kind == "magnitude":
            magnitude = own[name].magnitude
            assert magnitude is not None
            magnitude.data.copy_(given)
        elif kind == "set":
            parameters[name].data.copy_(given)
        elif kind == "rows":
            parameters[name.replace(".weight", ".rows")].data.copy_(given)


def merge(checkpoint: Checkpoint, trained: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """The tensors that training changed, whole: our name → float32."""
    merged: dict[str, Floats] = {}
    order = ("set", "lora_b", "magnitude", "rows")  # rows last: the head may have an adapter too
    for key in sorted(trained, key=lambda key: _rank(key, order)):
        kind, _, name = key.partition(":")
        if kind not in order:
            continue  # read together with their partners
        value = trained[key]
        base = merged[name] if name in merged else checkpoint.f32(name)
        if kind == "set":
            merged[name] = value.astype(np.float32)
        elif kind == "lora_b":
            merged[name] = base + value.astype(np.float32) @ trained[f"lora_a:{name}"]  # (out, in)
        elif kind == "magnitude":
            lengths = np.linalg.norm(base, axis=1)  # (out,)
            merged[name] = base * (value / lengths)[:, None]  # (out, in)
        else:
            merged[name] = base.copy()
            merged[name][trained[f"rows_index:{name}"]] = value
    return merged


def save_merged(
    folder: Path,
    checkpoint: Checkpoint,
    trained: Mapping[str, NDArray[Any]],
    *,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a whole model folder in the published layout, stored as the base checkpoint is."""
    tensors: dict[str, NDArray[Any]] = {name: checkpoint.raw(name) for name in checkpoint.names()}
    for name, values in merge(checkpoint, trained).items():
        tensors[name] = stored_as(checkpoint.dtype(name), values)
    try:
        _copy_small_files(checkpoint.folder, folder)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written ({error.strerror})") from None
    limit = {} if max_shard_bytes is None else {"max_shard_bytes": max_shard_bytes}
    write_checkpoint(folder, tensors, **limit)


def stored_as(dtype: Dtype, values: Floats) -> NDArray[Any]:
    """Values as a checkpoint stores them: float32, float16, or uint16 bits of bfloat16."""
    if dtype == "BF16":
        return to_bf16_bits(values)
    return values.astype(np.float16) if dtype == "F16" else values


def _copy_small_files(source: Path, target: Path) -> None:
    """Config, tokenizer, template: everything but weights, and nothing of folders inside."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and not any(path.match(pattern) for pattern in WEIGHTS):
            shutil.copyfile(path, target / path.name)


def _array(values: torch.Tensor) -> Floats:
    array: Floats = values.detach().float().cpu().numpy()
    return np.ascontiguousarray(array)


def _rank(key: str, order: tuple[str, ...]) -> int:
    kind = key.partition(":")[0]
    return order.index(kind) if kind in order else len(order)
