"""From a trained model folder to the files the package carries: what training changed, made small.

    python -m recipes.embedded.publish MODEL [--runs DIR DIR ...] [--out DIR] [--rank 88]

Compares the folder with what its two packages bring, and writes `trained.safetensors` and
`trained.json` in the form `weights/embedded.py` reads: matrices of the language model as low-rank
updates in int8 (adapters of several stages become one), matrices of the tower and the connector as
int8 changes with a scale per row, vectors and token rows as they are. Beside them go copies of the
config files, so that `assemble(DIR)` gives a folder to evaluate before anything enters the package.
Without `--out` it replaces the package's own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from recipes.embedded.command import exit_code
from smolvlm.errors import CheckpointError, InputError
from smolvlm.weights.embedded import (
    assets,
    fetch_text_gguf,
    fetch_vision_onnx,
    merged_tensors,
)
from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from smolvlm.weights.writer import to_bf16_bits

Floats = NDArray[np.float32]
LARGEST_BYTES = 40_000_000  # what the repository may carry
TRAINED = ("trained.safetensors", "trained.json")


def publish(model: Path, out: Path, *, rank: int, runs: Sequence[Path] = ()) -> dict[str, Any]:
    """Write both files into `out`; returns the facts that `trained.json` holds.

    runs: the folders of the stages that led to the model, in their order. `InputError` when the
    repository cannot carry the result, `CheckpointError` for values that float16 cannot hold.
    """
    trained, lost = changes(open_checkpoint(model), untrained(), rank=rank)
    stored = save(trained)
    if len(stored) > LARGEST_BYTES:
        raise InputError(
            f"rank {rank} makes {len(stored)} bytes; wanted at most {LARGEST_BYTES}. Lower --rank"
        )
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != assets().resolve():
        copy_small_files(out)
    (out / TRAINED[0]).write_bytes(stored)
    facts = {
        "scale": 1.0,
        "rank": rank,
        "lost_by_rank": lost,
        "stages": [run_facts(r) for r in runs],
    }
    (out / TRAINED[1]).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


def untrained() -> dict[str, Floats]:
    """Every tensor as the two packages bring it, rounded as a model folder stores it."""
    with tempfile.TemporaryDirectory() as folder:
        copy_small_files(Path(folder))
        tensors = merged_tensors(Path(folder), fetch_text_gguf(), fetch_vision_onnx())
    return {name: _rounded(values) for name, values in tensors.items()}


def changes(
    model: Checkpoint, base: Mapping[str, Floats], *, rank: int
) -> tuple[dict[str, NDArray[Any]], float]:
    """The keys of `trained.safetensors`, and the share of the low-rank updates that is left out."""
    trained: dict[str, NDArray[Any]] = {}
    kept = whole = 0.0
    for name, before in base.items():
        after = model.f32(name)
        if np.array_equal(after, before):
            continue
        delta = after - before
        if name == EMBEDDING:
            rows = np.flatnonzero(delta.any(axis=1)).astype(np.int32)  # (n,)
            trained |= {f"rows:{name}": _half(after[rows]), f"rows_index:{name}": rows}
        elif name.startswith("text_model.") and delta.ndim == 2:
            down, up, energy = low_rank(delta, rank)
            trained |= int8_factors(name, down, up)
            kept, whole = kept + energy, whole + float(np.square(delta).sum())
        elif delta.ndim >= 2:
            steps, scale = int8_rows(delta)
            trained |= {f"delta:{name}": steps, f"delta_scale:{name}": scale}
        else:
            trained[f"set:{name}"] = _half(after)
    return trained, round(1 - kept / whole, 5) if whole else 0.0


def low_rank(delta: Floats, rank: int) -> tuple[Floats, Floats, float]:
    """The nearest matrix of a rank as A (r, in), B (out, r), and the sum of its squares."""
    up, sizes, down = torch.linalg.svd(torch.from_numpy(delta), full_matrices=False)
    root = sizes[:rank].sqrt()  # (r,)
    a, b = root[:, None] * down[:rank], up[:, :rank] * root  # (r, in), (out, r)
    return a.numpy(), b.numpy(), float(sizes[:rank].square().sum())


def int8_factors(name: str, down: Floats, up: Floats) -> dict[str, NDArray[Any]]:
    """A (r, in) and B (out, r) as int8, and the size of a step of both for each of the r."""
    rows, row_sizes = int8_rows(down)  # (r, in), (r,)
    columns, column_sizes = int8_rows(up.T)  # (r, out), (r,)
    return {
        f"lora_a:{name}": rows,
        f"lora_b:{name}": np.ascontiguousarray(columns.T),
        f"lora_scale:{name}": row_sizes * column_sizes,
    }


def int8_rows(delta: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Steps of -127..127 in the shape of `delta`, and their size for each row: float32 (out,)."""
    flat = delta.reshape(len(delta), -1)  # (out, in)
    scale = np.maximum(np.abs(flat).max(axis=1) / 127, np.finfo(np.float32).tiny)  # (out,)
    steps = np.rint(flat / scale[:, None]).astype(np.int8, order="C")
    return steps.reshape(delta.shape), scale.astype(np.float32)


def run_facts(run: Path) -> dict[str, Any]:
    """What a stage's folder says of it: `stage.json`, or the log of `smolvlm train`."""
    own = run / "stage.json"
    if own.exists():
        facts: dict[str, Any] = json.loads(own.read_text(encoding="utf-8"))
        return facts
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    log = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [json.loads(line) for line in log]
    steps = [line for line in lines if "loss" in line]
    looks = [line for line in lines if line.get("held_out") is not None]
    pairs = {
        task: [before, looks[-1]["held_out_tasks"][task]]
        for task, before in (looks[0]["held_out_tasks"] if looks else {}).items()
    }
    return {
        "stage": recipe["stage"],
        "minutes": round(steps[-1]["elapsed"] / 60, 1),
        "steps": steps[-1]["step"],
        "samples": steps[-1]["step"] * recipe["resolved"]["batch"] - steps[-1]["skipped"],
        "held_out": [round(look["held_out"], 4) for look in looks[:: max(len(looks) - 1, 1)]],
        "held_out_tasks": pairs,
    }


def copy_small_files(out: Path) -> None:
    """Config, template and added tokens, as the package has them."""
    for path in assets().iterdir():
        if path.name not in TRAINED:
            shutil.copyfile(path, out / path.name)


def _rounded(values: Floats) -> Floats:
    """To bfloat16 and back."""
    bits = to_bf16_bits(values).astype(np.uint32) << 16
    return bits.view(np.float32)


def _half(values: Floats) -> NDArray[np.float16]:
    largest = float(np.abs(values).max())
    if not largest <= float(np.finfo(np.float16).max):  # NaN is refused too
        raise CheckpointError(f"the model holds {largest:g}, which float16 cannot; train it again")
    return np.ascontiguousarray(values.astype(np.float16))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, default=assets(), help="a folder for a trial")
    parser.add_argument("--rank", type=int, default=88)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of the stages")
    args = parser.parse_args(arguments)

    def write() -> None:
        facts = publish(args.model, args.out, rank=args.rank, runs=args.runs)
        print(json.dumps({key: facts[key] for key in ("rank", "lost_by_rank")}))

    return exit_code(write)


if __name__ == "__main__":
    sys.exit(main())
