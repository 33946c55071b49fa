"""What the backward pass of attention costs on a CPU: the fused call against plain products.

    python -m benchmarks.attention_backward [--threads 1] [--rounds 15]

`model.layers.attend` takes the plain form when gradients are wanted on a CPU; this is why. Forward
and backward together, in the shapes of the embedded model's training (`recipes/embedded`):
the lengths are those of a batch that shows 16 and 64 visual tokens of a tile. The two forms are
measured in turn, round by round, so that a busy machine slows both alike; the ratio of the medians
is the result, the milliseconds are not comparable between machines. Writes
`benchmarks/results/attention_backward.json`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from smolvlm.cli import machine
from smolvlm.model.layers import attend_plainly

RESULT = Path(__file__).parent / "results" / "attention_backward.json"
BATCH, HEADS, KV_HEADS, WIDTH = 32, 9, 3, 64
LENGTHS = (44, 96)
DTYPE = torch.bfloat16

Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def fused(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The library's own attention: (B, A, L, W)."""
    return F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)


def plain(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Ours: (B, A, L, W)."""
    return attend_plainly(queries, keys, values, mask=None, causal=True)


def once(form: Form, inputs: tuple[Tensor, Tensor, Tensor], gradient: Tensor) -> float:
    """Milliseconds of one forward and backward pass."""
    for tensor in inputs:
        tensor.grad = None
    start = perf_counter()
    form(*inputs).backward(gradient)  # type: ignore[no-untyped-call]
    return 1000 * (perf_counter() - start)


def measure(length: int, rounds: int) -> dict[str, Any]:
    """Medians of both forms at one length, after two rounds that do not count."""
    torch.manual_seed(0)
    shapes = [(BATCH, heads, length, WIDTH) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    queries, keys, values = (torch.randn(s, dtype=DTYPE, requires_grad=True) for s in shapes)
    gradient = torch.randn(shapes[0], dtype=DTYPE)  # (B, A, L, W)
    times: dict[str, list[float]] = {"fused": [], "plain": []}
    for _ in range(rounds + 2):
        for form in (fused, plain):
            times[form.__name__].append(once(form, (queries, keys, values), gradient))
    medians = {name: round(median(values[2:]), 2) for name, values in times.items()}
    ratio = round(medians["fused"] / medians["plain"], 2)
    return {"length": length, "ms": medians, "fused_per_plain": ratio}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    report = {
        "command": f"python -m benchmarks.attention_backward --threads {args.threads}"
        f" --rounds {args.rounds}",
        "date": datetime.date.today().isoformat(),
        "hardware": machine.cpu_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": args.threads,
        "rounds": args.rounds,
        "shape": {"batch": BATCH, "heads": HEADS, "kv_heads": KV_HEADS, "width": WIDTH},
        "dtype": str(DTYPE).removeprefix("torch."),
        "lengths": [measure(length, args.rounds) for length in LENGTHS],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["lengths"], indent=1))


if __name__ == "__main__":
    main()
