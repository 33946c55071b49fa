"""From a trained model folder to the files the package carries: what training changed, made small.

    python -m recipes.embedded.publish MODEL [--runs DIR DIR ...] [--out DIR] [--bytes N]

Compares the folder with what its two packages bring, and writes `trained.safetensors` and
`trained.json` in the form `weights/embedded.py` reads: matrices of the language model as low-rank
updates in int8 (adapters of several stages become one; how many directions of each, `low_rank.py`
chooses), matrices of the tower and the connector as
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
from numpy.typing import NDArray
from safetensors.numpy import save

from recipes.embedded.command import exit_code
from recipes.embedded.low_rank import Spectrum, chosen_ranks
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
HEADER_BYTES = 600  # of the file's header, for the three arrays of a matrix
TRAINED = ("trained.safetensors", "trained.json")


def publish(
    model: Path, out: Path, *, size: int = LARGEST_BYTES, runs: Sequence[Path] = ()
) -> dict[str, Any]:
    """Write both files into `out`; returns the facts that `trained.json` holds.

    size: bytes of the first, at most. runs: the folders of the stages that led to the model, in
    their order. `InputError` when so many bytes cannot carry the result, `CheckpointError` for
    values that float16 cannot hold.
    """
    trained, lost = changes(open_checkpoint(model), untrained(), size=size)
    stored = save(trained)
    ranks = [len(scale) for key, scale in trained.items() if key.startswith("lora_scale:")]
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != assets().resolve():
        copy_small_files(out)
    (out / TRAINED[0]).write_bytes(stored)
    facts = {
        "scale": 1.0,
        "ranks": [min(ranks, default=0), max(ranks, default=0)],
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
    model: Checkpoint, base: Mapping[str, Floats], *, size: int
) -> tuple[dict[str, NDArray[Any]], float]:
    """The keys of `trained.safetensors`, and the share of the low-rank updates that is left out."""
    trained: dict[str, NDArray[Any]] = {}
    spectra: dict[str, Spectrum] = {}
    for name, before in base.items():
        after = model.f32(name)
        if np.array_equal(after, before):
            continue
        delta = after - before
        if name == EMBEDDING:
            rows = np.flatnonzero(delta.any(axis=1)).astype(np.int32)  # (n,)
            trained |= {f"rows:{name}": _half(after[rows]), f"rows_index:{name}": rows}
        elif name.startswith("text_model.") and delta.ndim == 2:
            spectra[name] = Spectrum.of(delta)
        elif delta.ndim >= 2:
            steps, scale = int8_rows(delta)
            trained |= {f"delta:{name}": steps, f"delta_scale:{name}": scale}
        else:
            trained[f"set:{name}"] = _half(after)
    room = size - len(save(trained)) - HEADER_BYTES * len(spectra)
    if room < 0:
        raise InputError(
            f"all but the language model's matrices takes {size - room} bytes; wanted at most"
            f" {size}. Give more --bytes, or train less of the tower"
        )
    ranks = chosen_ranks(spectra, room)
    for name, rank in ranks.items():
        if rank:
            trained |= int8_factors(name, *spectra[name].factors(rank))
    whole = sum(spectrum.whole for spectrum in spectra.values())
    kept = sum(spectrum.kept(ranks[name]) for name, spectrum in spectra.items())
    return trained, round(max(0.0, 1 - kept / whole), 5) if whole else 0.0


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
    parser.add_argument("--bytes", type=int, default=LARGEST_BYTES, help="at most")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of the stages")
    args = parser.parse_args(arguments)

    def write() -> None:
        facts = publish(args.model, args.out, size=args.bytes, runs=args.runs)
        print(json.dumps({key: facts[key] for key in ("ranks", "lost_by_rank")}))

    return exit_code(write)


if __name__ == "__main__":
    sys.exit(main())
