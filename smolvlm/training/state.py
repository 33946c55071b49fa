"""What a run needs to go on after a kill: weights, optimiser, step; written whole or not at all.

A checkpoint is a folder `step-00000120` that takes its name only when every byte is on the disk;
until then it is `.part-...`, which the next run removes. The two newest are kept. Its tensors are
one safetensors file, cut into numbered pieces where a size limit is asked for, each with its
digest in `state.json`. A newest checkpoint that is damaged is passed over for the one before.

Nothing random is kept: the randomness of a step comes from the run's seed and the step's number,
and so does what the step reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file, save_file
from torch import Tensor, nn

from smolvlm.errors import CheckpointError, InputError
from smolvlm.training.parts import trained_parameters

KEPT = 2
WHOLE, RECORD = "state.safetensors", "state.json"
CHUNK = 2**20


@dataclass(frozen=True)
class State:
    """A checkpoint as read: finished steps, seconds of training so far, and what it was part of."""

    step: int
    elapsed: float
    seen: int
    skipped: int
    recipe: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def save_state(folder: Path, state: State, *, max_bytes: int | None = None) -> Path:
    """Write a checkpoint into `folder`; `CheckpointError` leaves the ones before as they were."""
    target = folder / f"step-{state.step:08d}"
    part = folder / f".part-{target.name}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(dict(state.tensors), part / WHOLE)
        pieces = [WHOLE] if max_bytes is None else _cut(part, max_bytes)
        record = {
            "step": state.step,
            "elapsed": state.elapsed,
            "seen": state.seen,
            "skipped": state.skipped,
            "recipe": state.recipe,
            "pieces": {name: _digest(part / name) for name in pieces},
        }
        (part / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        _to_disk(part)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    except Exception as error:  # safetensors wraps the system's errors in its own
        shutil.rmtree(part, ignore_errors=True)
        last = _folders(folder)
        kept = f"the last good checkpoint is {last[-1].name}" if last else "there is none before it"
        raise CheckpointError(
            f"the checkpoint {target} cannot be written ({error}); {kept}. Free some space and"
            " go on with --resume"
        ) from None
    for old in _folders(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest_state(folder: Path) -> State | None:
    """The newest whole checkpoint; None where there is none. Leftovers of a kill are removed."""
    for part in folder.glob(".part-*"):
        shutil.rmtree(part, ignore_errors=True)
    found = _folders(folder)
    for path in reversed(found):
        state = _read(path)
        if state is not None:
            return state
    if found:
        raise CheckpointError(f"every checkpoint in {folder} is damaged; begin in another folder")
    return None


def check_recipe(state: State, recipe: Mapping[str, Any]) -> None:
    """`InputError` with every difference when a run would go on with another recipe."""
    # Through JSON, as the record went: tuples are lists there.
    now = json.loads(json.dumps(recipe))
    keys = sorted(now.keys() | state.recipe.keys())
    different = [
        f"{key}: {state.recipe.get(key)} then, {now.get(key)} now"
        for key in keys
        if state.recipe.get(key) != now.get(key)
    ]
    if different:
        raise InputError(
            f"the run stopped at step {state.step} had another recipe: {'; '.join(different)}."
            " Give the same, or another --out"
        )


def collect(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that training moves, by name; on the CPU."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained_parameters(model).items():
        tensors[f"weight:{name}"] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}:{name}"] = value
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def restore(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `collect` took; the model was prepared by the same stage."""
    parameters = trained_parameters(model)
    by_name: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
    for key, tensor in tensors.items():
        kind, _, name = key.partition(":")
        by_name[name][kind] = tensor
    for name, parameter in parameters.items():
        own = by_name[name]
        parameter.data.copy_(own.pop("weight"))
        if own:
            # The step count stays on the CPU, where AdamW keeps it.
            optimizer.state[parameter] = {
                kind: tensor.clone() if kind == "step" else tensor.to(parameter.device, copy=True)
                for kind, tensor in own.items()
            }


def _read(path: Path) -> State | None:
    """A checkpoint; None when it is damaged."""
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        pieces = record["pieces"]
        if any(_digest(path / name) != digest for name, digest in pieces.items()):
            return None
        if list(pieces) == [WHOLE]:
            tensors = load_file(path / WHOLE)
        else:
            tensors = load(b"".join((path / name).read_bytes() for name in pieces))
    except (OSError, ValueError, KeyError):
        return None
    names = ("step", "elapsed", "seen", "skipped", "recipe")
    return State(**{name: record[name] for name in names}, tensors=tensors)


def _folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _cut(folder: Path, max_bytes: int) -> Sequence[str]:
    """Replace the file by pieces of at most `max_bytes`; returns their names in order."""
    whole = folder / WHOLE
    count = max(1, -(-whole.stat().st_size // max_bytes))
    names = [f"state-{number:05d}-of-{count:05d}.bin" for number in range(1, count + 1)]
    with whole.open("rb") as source:
        for name in names:
            left = max_bytes
            with (folder / name).open("wb") as piece:
                while left and (data := source.read(min(CHUNK, left))):
                    piece.write(data)
                    left -= len(data)
    whole.unlink()
    return names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(folder: Path) -> None:
    """Everything in a folder, and its list of names, out of the system's buffers."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
