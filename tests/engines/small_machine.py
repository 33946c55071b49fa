"""What engines answer on a smaller machine: run as a program, with fewer processors.

    python -m tests.engines.small_machine FOLDER PROCESSORS PRECISION:THREADS...

An empty precision leaves it to `choose.py`.

Prints a line of JSON for each engine: the ids it says greedily, and a row of logits. Fewer
instructions come from outside, by ONEDNN_MAX_CPU_ISA. Everything has to be set before OpenVINO
looks at the machine, hence a program.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

TOKENS = 8


def main(folder: str, processors: str, *asked: str) -> None:
    """Build each engine in turn, let it see a tile and speak."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(processors)])
    from smolvlm.config import ImageRules
    from smolvlm.engines.base import Step
    from smolvlm.engines.choose import create_engine
    from smolvlm.weights.reader import open_checkpoint

    checkpoint, rules = open_checkpoint(Path(folder)), ImageRules.from_folder(Path(folder))
    for name in asked:
        precision, threads = name.split(":")
        engine = create_engine(
            checkpoint,
            rules,
            engine="openvino",
            precision=precision or None,
            threads=int(threads) or None,
        )
        side = engine.config.vision.image_size
        tile = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        features = engine.encode_tiles(tile)[0]  # (T, H)
        ids = np.array([20, *[engine.config.image_token_id] * len(features), 21])
        state = engine.open_state()
        (row,) = engine.step([Step(state, ids, features)])  # (1, V)
        first, said = row[0], [int(row[0].argmax())]
        while len(said) < TOKENS:
            (row,) = engine.step([Step(state, np.array(said[-1:]))])
            said.append(int(row[0].argmax()))
        told = {
            "said": said,
            "logits": first[:64].tolist(),
            "precision": engine.describe().precision,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
