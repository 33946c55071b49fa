"""Whole-process time and memory of one question, against `transformers` on the same folder.

    python benchmarks/cold_start.py --rounds 9

Starts `smolvlm ask` and `transformers_ask.py` in turn, each as a fresh process: Python, imports,
weights, picture, answer. Memory is the peak resident size the kernel reports for the process. One
round is run and not counted, so files are in the page cache for both sides. What the very first
question on a machine costs, when the engine has no compiled model yet, is reported apart. Writes
`results/cold_start.json`. Answers and token counts are kept beside the times: a shorter answer is
no faster program.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from smolvlm.cli import machine
from smolvlm.weights.hub import find_model

HERE = Path(__file__).parent
RESULT = HERE / "results" / "cold_start.json"
PICTURE = HERE.parent / "examples" / "cat.png"
QUESTION = "What is this?"
PACKAGES = ("smolvlm", "openvino", "transformers", "torch", "numpy", "pillow")


@dataclass(frozen=True)
class Run:
    """One process: seconds from start to end, peak resident bytes, what it answered."""

    seconds: float
    peak_bytes: int
    answer: str
    tokens: int


def measure(command: Sequence[str], variables: Mapping[str, str]) -> Run:
    """Run a command that prints one JSON object; raises if it fails."""
    start = perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, **variables}, text=True
    )
    assert process.stdout is not None
    told = process.stdout.read()
    # wait4 tells the peak of this very process; `resource` only knows the largest of all children.
    _, status, used = os.wait4(process.pid, 0)
    seconds = perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    said = json.loads(told.splitlines()[-1])
    tokens = said["tokens"] if isinstance(said["tokens"], int) else len(said["tokens"])
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, used.ru_maxrss * unit, said["answer"], tokens)


def ours(model: str, options: argparse.Namespace) -> list[str]:
    """`smolvlm ask` as a user starts it; `--json` for the token count."""
    command = [sys.executable, "-m", "smolvlm", "ask", str(options.picture), options.question]
    command += ["--model", model, "--max-new-tokens", str(options.max_new_tokens)]
    return [*command, "--max-tiles", "1", "--offline", "--json"]


def theirs(folder: Path, options: argparse.Namespace) -> list[str]:
    """The ten-line script."""
    command = [sys.executable, str(HERE / "transformers_ask.py"), str(folder)]
    return [*command, str(options.picture), options.question, str(options.max_new_tokens)]


def first_ever(folder: Path, options: argparse.Namespace) -> Run:
    """Our side with an empty cache folder, so that the engine has to compile."""
    with tempfile.TemporaryDirectory() as empty:
        return measure(ours(str(folder), options), {"SMOLVLM_CACHE": empty})


def compare(folder: Path, options: argparse.Namespace) -> dict[str, list[Run]]:
    """Both sides in turn, `rounds` times, after one round that is not counted."""
    runs: dict[str, list[Run]] = {"smolvlm": [], "transformers": []}
    offline = {"HF_HUB_OFFLINE": "1"}
    for number in range(options.rounds + 1):
        pair = {
            "smolvlm": measure(ours("embedded", options), {}),
            "transformers": measure(theirs(folder, options), offline),
        }
        for side, run in pair.items():
            peak = run.peak_bytes >> 20
            print(f"{number or 'warm-up'}  {side:12}  {run.seconds:6.2f} s  {peak} MiB")
            if number:
                runs[side].append(run)
    return runs


def summary(runs: Mapping[str, Sequence[Run]], first: Run) -> dict[str, Any]:
    """Medians of each side, and ours as a share of theirs."""
    medians = {
        side: {
            "seconds": statistics.median(run.seconds for run in of_side),
            "peak_bytes": statistics.median(run.peak_bytes for run in of_side),
        }
        for side, of_side in runs.items()
    }
    ratios = {
        what: medians["smolvlm"][what] / medians["transformers"][what]
        for what in ("seconds", "peak_bytes")
    }
    return {"median": medians, "smolvlm/transformers": ratios, "first_ever": asdict(first)}


def surroundings(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on: when, on what, with which versions, asking what."""
    features = machine.cpu_features() or {}
    memory = machine.memory()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {
            "cpu": machine.cpu_name(),
            "cpus_used": machine.cpu_count(),
            "features": [name for name, has in features.items() if has],
            "memory_bytes": memory[0] if memory else None,
        },
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "python": sys.version.split()[0],
        "picture": options.picture.name,
        "question": options.question,
        "max_new_tokens": options.max_new_tokens,
        "rounds": options.rounds,
    }


def main() -> None:
    """Measure, write the file, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    folder = find_model("embedded")
    first = first_ever(folder, options)
    runs = compare(folder, options)
    result = surroundings(options) | summary(runs, first)
    result["runs"] = {side: [asdict(run) for run in of_side] for side, of_side in runs.items()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(result["smolvlm/transformers"]))


if __name__ == "__main__":
    main()
