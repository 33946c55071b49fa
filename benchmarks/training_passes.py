"""What our own kernels save in training a tower on a CPU: each pass, and the whole step.

    python -m benchmarks.training_passes [MODEL] [--tiles 16] [--side 224] [--threads 2]

`model/passes.py` computes tanh-GELU, gated products and a tower's attention in kernels of our own
where it can; here the same is computed with and without them, forward and backward, in turn, round
by round, so that a busy machine slows both alike. The ratio of the medians is the result. The step
is that of the whole tower of MODEL in bfloat16 (`recipes/embedded` trains it in that way), all of
it trained, without the optimiser. Writes `benchmarks/results/training_passes.json`.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from smolvlm.cli import machine
from smolvlm.errors import EngineError
from smolvlm.model import passes
from smolvlm.model.layers import attend, split_heads
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.model.vision import VisionTower
from smolvlm.native import build
from smolvlm.weights.hub import find_model
from smolvlm.weights.reader import open_checkpoint

RESULT = Path(__file__).parent / "results" / "training_passes.json"
WARM_UP = 2  # rounds that do not count


def attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """As `VisionAttention` computes it."""
    mixed = passes.attend_to_all(queries, keys, values, heads)
    if mixed is None:
        mixed = attend(*(split_heads(x, heads) for x in (queries, keys, values)), mask=None)
    return mixed


def once(compute: Callable[[], Tensor]) -> float:
    """Milliseconds of one forward and backward pass."""
    start = perf_counter()
    result = compute()
    result.backward(result.detach())  # type: ignore[no-untyped-call]
    return 1000 * (perf_counter() - start)


def measure(compute: Callable[[], Tensor], rounds: int) -> dict[str, Any]:
    """Medians with and without the kernels."""
    times: dict[str, list[float]] = {"own": [], "pytorch": []}
    for _ in range(rounds + WARM_UP):
        times["own"].append(once(compute))
        with patch.object(build, "obstacle", lambda: "left out"):
            times["pytorch"].append(once(compute))
    medians = {name: round(median(values[WARM_UP:]), 2) for name, values in times.items()}
    return {"ms": medians, "ratio": round(medians["own"] / medians["pytorch"], 2)}


def cases(tower: VisionTower, tiles: int, rows: int) -> dict[str, Callable[[], Tensor]]:
    """What is measured, in the sizes of a step over `tiles` tiles of `rows` patches."""
    layer: Any = tower.encoder.layers[0]
    heads, width = layer.self_attn.heads, layer.mlp.fc1.in_features
    inner = layer.mlp.fc1.out_features
    values = [torch.randn(tiles, rows, n).bfloat16().requires_grad_() for n in (inner, inner)]
    parts = [torch.randn(tiles, rows, width).bfloat16().requires_grad_() for _ in range(3)]
    pixels = torch.randn(tiles, rows, width).bfloat16().requires_grad_()

    def step() -> Tensor:
        encoded: Tensor = tower.post_layernorm(tower.encoder(pixels, None))
        return encoded

    return {
        "gelu": lambda: passes.gelu(values[0]),
        "gated": lambda: passes.gated(values[0], values[1]),
        "attention": lambda: attention(parts[0], parts[1], parts[2], heads),
        "tower": step,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="embedded")
    parser.add_argument("--tiles", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    if why := build.obstacle():
        raise EngineError(f"there is nothing to compare: {why}")
    torch.set_num_threads(args.threads)
    checkpoint = open_checkpoint(find_model(args.model))
    tower = SmolVLM.from_checkpoint(checkpoint, dtype=torch.bfloat16).vision_model
    sizes = {"tiles": args.tiles, "side": args.side, "threads": args.threads}
    result: dict[str, Any] = {**sizes, "rounds": args.rounds, "torch": torch.__version__}
    rows = (args.side // checkpoint.config.vision.patch_size) ** 2
    for name, compute in cases(tower, args.tiles, rows).items():
        result[name] = measure(compute, args.rounds)
        print(json.dumps({name: result[name]}), flush=True)
    result["machine"] = machine.hardware()
    result["date"] = datetime.date.today().isoformat()
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
