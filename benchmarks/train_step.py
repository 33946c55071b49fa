"""A step of training against the loop that guides write with transformers and PEFT.

    python -m benchmarks.train_step [MODEL] --batch 8 --steps 4 --threads 2

The same rows, the same trained weights (the connector in full, LoRA of rank 16 on five projections
of the language model, equal first numbers), the same optimiser, bfloat16 autocast on both sides;
each side is a process of its own. The other loop pads on the right, as its collators do. Prints one
JSON object: samples per second of wall time and of processor time (medians without the first step),
peak memory in bytes, the loss of each step, and the ratios. Ratios within one run are comparable,
figures of a busy machine are not. Needs `pip install peft` beside the extra `dev`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from smolvlm.cli import machine
from smolvlm.processing.pixels import normalize
from smolvlm.training.collate import NO_LOSS, Batch
from smolvlm.training.log import Report
from smolvlm.training.lora import adapters
from smolvlm.training.runs import Run, open_run
from smolvlm.training.stages import Adapter, Part, Recipe, Schedule, Stage
from smolvlm.training.trainer import RunOptions
from smolvlm.types import ImagePart, Message, Sample, TextPart
from smolvlm.weights.hub import find_model

ADAPTED = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")
RATE, RANK = 1e-4, 16
MIXTURE = "sources: [{name: rows, generator: rows, share: 1, modality: image, licence: green}]"


def row(seed: int) -> Sample:
    """A picture of noise, a question, an answer of 3 to 40 words."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)).resize((300, 300))
    words = " ".join(rng.choice(["red", "green", "a", "small", "cat"], rng.integers(3, 40)))
    user = Message("user", (ImagePart(noise), TextPart("Describe the image.")))
    return Sample((user, Message("assistant", (TextPart(words),))), "noise", f"noise:{seed}")


def open_ours(options: argparse.Namespace, out: Path, **changes: Any) -> Run:
    """A run over the rows; the folder `out` takes what it writes."""
    (out / "mixture.yaml").write_text(MIXTURE)
    stage = Stage(
        connector=Part(RATE),
        text=Part(RATE, Adapter(rank=RANK, alpha=RANK, where=ADAPTED)),
        schedule=Schedule("constant", steps=options.steps),
        mixture=str(out / "mixture.yaml"),
        batch=options.batch,
        max_tiles=1,
        validation=0,
    )
    recipe = Recipe("benchmark", "", replace(stage, **changes), {})
    folder = find_model(options.model, progress=False)
    quiet = RunOptions(save_every=1e9)
    return open_run(folder, recipe, out, generators={"rows": row}, options=quiet)


def run_ours(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """The side of this package."""
    run = open_ours(options, out)
    for name, adapter in adapters(run.trainer.model):
        adapter.lora_a.data.copy_(first_numbers(name, adapter.lora_a))
    clocks, losses = [(perf_counter(), process_time())], []

    def listen(report: Report) -> None:
        clocks.append((perf_counter(), process_time()))
        losses.append(report.loss)

    run.trainer.fit(listen)
    return figures(options.batch, clocks, losses)


def run_theirs(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """The loop with transformers and PEFT, over batches of the same rows."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    steps = open_ours(options, out, layout="right").steps
    base = AutoModelForImageTextToText.from_pretrained(
        find_model(options.model, progress=False), dtype=torch.bfloat16
    )
    targets = rf".*text_model.*\.({'|'.join(ADAPTED)})"
    model: Any = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets))
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            ours = name.removeprefix("base_model.model.model.").replace(".lora_A.default", "")
            parameter.data.copy_(first_numbers(ours, parameter))
        if "connector" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    clocks, losses = [(perf_counter(), process_time())], []
    for step in range(options.steps):
        (batch,) = steps[step].batches
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**their_inputs(batch, steps.processor.rules)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        clocks.append((perf_counter(), process_time()))
    return figures(options.batch, clocks, losses)


def their_inputs(batch: Batch, rules: Any) -> dict[str, Tensor]:
    """A batch padded on the right as the published class takes it."""
    labels = torch.full_like(batch.targets, NO_LOSS)  # (B, L)
    labels[:, 1:] = batch.targets[:, :-1]  # theirs are not shifted
    lengths = torch.tensor(batch.lengths)[:, None]  # (B, 1)
    pixels = torch.from_numpy(normalize(batch.tiles.numpy(), rules))  # (B, 3, S, S)
    return {
        "input_ids": batch.ids,
        "attention_mask": (torch.arange(batch.ids.shape[1]) < lengths).long(),  # (B, L)
        "pixel_values": pixels[:, None].bfloat16(),  # (B, 1, 3, S, S)
        "labels": labels,
    }


def first_numbers(name: str, like: Tensor) -> Tensor:
    """The adapter's first numbers, by the name of the weight it adapts: the same on both sides."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    noise = torch.randn(like.shape, generator=generator)
    return noise.mul_(like.shape[1] ** -0.5)


def figures(
    batch: int, clocks: list[tuple[float, float]], losses: Iterable[float]
) -> dict[str, Any]:
    """What one side took; the first step is warm-up."""
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(clocks[1:])]
    return {
        "samples_per_s": batch / median(wall for wall, _ in spans),
        "samples_per_cpu_s": batch / median(cpu for _, cpu in spans),
        "peak_memory": machine.peak_memory(),
        "losses": list(losses),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Both sides, one after the other, and the ratios."""
    sides = {}
    for side in ("smolvlm", "peft"):
        command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:], "--side", side]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        sides[side] = json.loads(done.stdout.splitlines()[-1])
    ours, theirs = sides["smolvlm"], sides["peft"]
    pairs = zip(ours["losses"], theirs["losses"], strict=True)
    return {
        **sides,
        "speed": ours["samples_per_s"] / theirs["samples_per_s"],
        "speed_by_cpu_time": ours["samples_per_cpu_s"] / theirs["samples_per_cpu_s"],
        "memory": ours["peak_memory"] / theirs["peak_memory"],
        "largest_loss_difference": max(abs(a - b) / b for a, b in pairs),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="embedded")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=machine.cpu_count())
    parser.add_argument("--side", choices=("smolvlm", "peft"))
    options = parser.parse_args()
    if options.side is None:
        print(json.dumps(compare(options), indent=1))
        return
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as out:
        run = run_ours if options.side == "smolvlm" else run_theirs
        print(json.dumps(run(options, Path(out))))


if __name__ == "__main__":
    main()
