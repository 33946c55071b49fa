"""A whole run on a tiny model, as a process that can be killed or started several times.

python -m tests.training.train_tiny MODEL OUT [--resume] [--dropout P] [--slow SECONDS]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from smolvlm.training.distributed import choose_device, join_world
from smolvlm.training.log import Report
from smolvlm.training.runs import Run, open_run
from smolvlm.training.stages import Adapter, Part, Recipe, Rows, Schedule, Stage
from smolvlm.training.trainer import RunOptions
from smolvlm.types import Sample
from tests.training.little import mixed_sample

MIXTURE = """
sources: [{name: little, generator: little, share: 1, modality: image, licence: green}]
"""
STAGE = Stage(
    connector=Part(1e-3),
    text=Part(1e-2, Adapter(rank=4, alpha=4.0)),
    rows=Rows(1e-2),
    schedule=Schedule("cosine", steps=6, warm_up=1),
    batch=4,
    length=500,
    max_tiles=1,
    precision="f32",
    validation=2,
    validate_every=4,
)


def little(seed: int) -> Sample:
    """A picture's question or words, by seed."""
    return mixed_sample(seed % 1000)


def tiny_recipe(stage: Stage, folder: Path) -> Recipe:
    """A stage as a recipe, its mixture written into a folder."""
    path = folder / "mixture.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(MIXTURE)
    return Recipe("tiny", "a test", replace(stage, mixture=str(path)), {"": "a test"})


def main() -> None:
    """The run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = choose_device("cpu")
    world = join_world(device)
    text = Part(1e-2, Adapter(rank=4, alpha=4.0, dropout=args.dropout))
    stage = replace(STAGE, text=text, neftune=5.0 if args.dropout else 0.0)
    run: Run = open_run(
        args.model,
        tiny_recipe(stage, args.out.parent),
        args.out,
        generators={"little": little},
        world=world,
        options=RunOptions(resume=args.resume, save_every=0.0, workers=args.workers),
    )

    def listen(report: Report) -> None:
        if world.first:
            print(report.step, flush=True)
        time.sleep(args.slow)

    run.trainer.fit(listen)
    world.close()


if __name__ == "__main__":
    main()
