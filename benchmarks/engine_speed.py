"""Speed and memory of an engine by itself: no pictures to decode, no words to choose.

    python -m benchmarks.engine_speed SmolVLM-256M-Instruct --engine openvino --precision bf16

Takes a model folder, or the name of a published checkpoint, whose shape it then fills with random
weights: what is measured does not depend on their values. Prints one JSON object: medians in
milliseconds with their range, memory in bytes. Figures of different runs, or of a busy machine, are
not comparable; ratios within one run are. `cold_start.py` measures whole answers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from smolvlm.cli import machine
from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import Engine, Step
from smolvlm.engines.choose import create_engine
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests.checkpoints import NAMES, golden_json, random_tensors

Figures = dict[str, Any]
WORDS = 22  # of the prompt, beside the visual tokens
FILES = ("config", "preprocessor_config", "generation_config")


def write_random(name: str, folder: Path) -> None:
    """Fill the true shape of a published checkpoint with random weights, in its stored type."""
    for kind in FILES:
        (folder / f"{kind}.json").write_text(json.dumps(golden_json(name, kind)))
    bf16 = golden_json(name, "config")["torch_dtype"] == "bfloat16"
    tensors = random_tensors(ModelConfig.from_folder(folder), 0)
    write_checkpoint(folder, {k: to_bf16_bits(v) if bf16 else v for k, v in tensors.items()})


def measure(engine: Engine, tiles: int, new_tokens: int, rounds: int) -> Figures:
    """Median and range of each part; the first round packs weights and is told apart."""
    config, rng = engine.config, np.random.default_rng(0)
    side = config.vision.image_size
    pictures = rng.integers(0, 256, (tiles, side, side, 3), dtype=np.uint8)
    ids = np.array([config.image_token_id] * (tiles * config.tokens_per_tile) + [20] * WORDS)
    parts: dict[str, list[float]] = {"vision": [], "prefill": [], "ttft": [], "tpot": []}
    for _ in range(rounds + 1):
        features, vision = timed(engine.encode_tiles, pictures)
        state = engine.open_state()
        prompt = Step(state, ids, features.reshape(-1, features.shape[-1]))  # (n, T, H) -> (n*T, H)
        _, prefill = timed(engine.step, [prompt])
        one = [Step(state, np.array([20]))]
        tpot = median(timed(engine.step, one)[1] for _ in range(new_tokens))
        state.close()
        for name, value in zip(parts, (vision, prefill, vision + prefill, tpot), strict=True):
            parts[name].append(round(value, 1))
    return {"prompt_tokens": len(ids)} | {
        f"{name}_ms": {"first": first, "median": median(rest), "range": [min(rest), max(rest)]}
        for name, (first, *rest) in parts.items()
    }


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a call returns, and its milliseconds."""
    start = perf_counter()
    returned = call(*arguments)
    return returned, 1000 * (perf_counter() - start)


def run(folder: Path, options: argparse.Namespace) -> Figures:
    """Open the folder with the asked engine and measure it."""
    checkpoint, rules = open_checkpoint(folder), ImageRules.from_folder(folder)
    start = perf_counter()
    engine = create_engine(
        checkpoint,
        rules,
        engine=options.engine,
        precision=options.precision,
        threads=options.threads,
    )
    load_ms = round(1000 * (perf_counter() - start), 1)
    loaded = machine.peak_memory()
    figures = measure(engine, options.tiles, options.new_tokens, options.rounds)
    peaks = {"peak_bytes_loaded": loaded, "peak_bytes": machine.peak_memory()}
    return {"engine": vars(engine.describe()), "load_ms": load_ms} | figures | peaks


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Speed and memory of an engine by itself")
    parser.add_argument("model", help=f"a model folder, or one of {', '.join(NAMES)}")
    parser.add_argument("--engine")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--tiles", type=int, default=1)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.model)
        if options.model in NAMES:
            folder = Path(scratch)
            write_random(options.model, folder)
        print(json.dumps({"model": options.model} | run(folder, options), indent=2))


if __name__ == "__main__":
    main()
