"""Our engine beside the other ways to run the same model on a CPU, in one interleaved run.

    python -m benchmarks.peers                       # what is installed; about 5 minutes
    python -m benchmarks.peers --engine smolvlm-int8,transformers-bf16 --figures decode --rounds 9

Every engine is a process of its own and does the same work (`peer_figures.py`) on the same folder
(`peer_folder.py`: the shape of the 256M with the embedded model's language half). They take turns,
figure by figure and round by round, because a machine is not as fast at noon as at one; medians are
kept, and how much of the machine other processes used meanwhile. Then every engine is started
afresh, in turn, for the time from its start to the first token and for its memory.

An engine that answers wrongly has no speed: the check compares 12 greedy tokens and the features of
a tile with float32 (`REFERENCE`), and the page says what came out. A peer that is not installed is
skipped and named; `peer_folder.py` says what some of them need, and its folder is then given with
`--folder`. `pip install onnxruntime onnxruntime-genai onnxscript` brings ONNX Runtime. Writes
`results/peers.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peer_folder import ONNX, OPTIMUM, write_folder
from smolvlm.cli import machine

HERE = Path(__file__).parent
RESULT = HERE / "results" / "peers.json"
REFERENCE = "smolvlm-f32"
# Engine -> the package it needs.
ENGINES = {
    "smolvlm-int8": "smolvlm",
    "smolvlm-bf16": "smolvlm",
    "smolvlm-openvino-int8": "openvino",
    "smolvlm-f32": "openvino",
    "transformers-bf16": "transformers",
    "onnxruntime-int8": "onnxruntime",
    "optimum-bf16": "openvino",
}
FIGURES = (
    "vision1", "vision13", "prefill100", "prefill900", "decode", "e2e1", "e2e13", "second",
)  # fmt: skip
LONG = {"vision13": 2, "e2e13": 2, "second": 2}  # rounds of figures that take seconds
PACKAGES = ("smolvlm", "openvino", "transformers", "torch", "onnxruntime", "numpy")


class Worker:
    """One engine, waiting for the names of figures; `error` says why it takes no further part."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.error: str | None = None
        command = [sys.executable, "-m", "benchmarks.peer_figures", name, str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent
        )
        self._read()

    def ask(self, figure: str) -> dict[str, Any]:
        """What a figure came to, and the cores that others used meanwhile; {} after an error."""
        assert self._process.stdin is not None
        before = self._clock()
        self._process.stdin.write(figure + "\n")
        self._process.stdin.flush()
        told = self._read()
        others = others_used(before, self._clock())
        return told if self.error else told | {"others": round(others, 2)}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        self.error = told.get("error")
        return told

    def _clock(self) -> tuple[float, float, float]:
        """Now, what all processes have used so far, and this one of it, in seconds."""
        return time.perf_counter(), _busy_seconds(), _used_seconds(self._process.pid)


def others_used(before: Sequence[float], after: Sequence[float]) -> float:
    """Cores that other processes used between two clocks; 0.0 where the system does not tell."""
    spent, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, (busy - own) / spent)


def _busy_seconds() -> float:
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(word) for word in stat.read_text().split("\n")[0].split()[1:8]]
    return float(sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # idle, waiting


def _used_seconds(process: int) -> float:
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    words = stat.read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def interleave(
    workers: Sequence[Worker], figures: Sequence[str], rounds: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All figures of all engines, in turn; the first round of each warms up and is dropped."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {worker.name: {} for worker in workers}
    for figure in figures:
        for number in range(min(rounds, LONG.get(figure, rounds)) + 1):
            for worker in workers:
                if worker.error is not None:
                    continue
                told = worker.ask(figure)
                print(figure, number, worker.name, told, file=sys.stderr, flush=True)
                if number and worker.error is None:
                    found[worker.name].setdefault(figure, []).append(told)
    return found


def medians(figures: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """`e2e1_ttft_ms` and so on."""
    return {
        f"{figure}_{key}": median(told[key] for told in rounds)
        for figure, rounds in figures.items()
        for key in rounds[0]
        if key != "others"
    }


def compare(told: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """How many of the words are those of the reference, and the cosine of the features."""
    same = 0
    for ours, theirs in zip(told["tokens"], reference["tokens"], strict=True):
        if ours != theirs:
            break
        same += 1
    ours, theirs = np.array(told["features"]), np.array(reference["features"])
    cosine = float(ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs))
    return {"same_tokens": same, "of": len(reference["tokens"]), "cosine": round(cosine, 5)}


def cold(name: str, folder: Path) -> dict[str, float]:
    """One fresh process: seconds to its first token, all of its time, its memory."""
    command = [sys.executable, "-m", "benchmarks.peer_figures", name, str(folder), "--cold"]
    start = time.time()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
        env={**os.environ, "PEERS_START": str(start)},
    )  # fmt: skip
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    told: dict[str, float] = json.loads(text.splitlines()[-1])
    unit = 1 if sys.platform == "darwin" else 1024
    return told | {"whole_s": time.time() - start, "peak_bytes": used.ru_maxrss * unit}


def cold_starts(names: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """Medians of fresh processes in turn; the first of each fills the page cache and is dropped."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names:
            told = cold(name, folder)
            print("cold", number, name, told, file=sys.stderr, flush=True)
            if number:
                found[name].append(told)
    return {
        name: {key: median(told[key] for told in runs) for key in runs[0]}
        for name, runs in found.items()
        if runs
    }


def checked(name: str, folder: Path) -> dict[str, Any]:
    """What an engine that takes no further part answers to the check."""
    worker = Worker(name, folder)
    try:
        told = worker.ask("check") if worker.error is None else {}
    finally:
        worker.close()
    if worker.error is not None:
        raise SystemExit(f"error: {name}, which the others are checked by: {worker.error}")
    return told


def obstacle(name: str, folder: Path) -> str | None:
    """What keeps an engine from taking part; None when nothing does."""
    if name not in ENGINES:
        return f"there is no such engine; there are {', '.join(ENGINES)}"
    if find_spec(ENGINES[name]) is None:
        return f"{ENGINES[name]} is not installed"
    if name.startswith("onnxruntime") and not (folder / ONNX).is_dir():
        return "its files are not made (python -m benchmarks.peer_folder FOLDER --onnx)"
    if name.startswith("optimum") and not (folder / OPTIMUM).is_dir():
        return "its files are not made (peer_folder says how)"
    return None


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything, as the report holds it."""
    asked = options.engine.split(",")
    skipped = {name: told for name in asked if (told := obstacle(name, folder))}
    workers = [Worker(name, folder) for name in asked if name not in skipped]
    try:
        reference = checked(REFERENCE, folder)
        checks = {w.name: w.ask("check") for w in workers if w.error is None}
        rounds = interleave(workers, options.figures.split(","), options.rounds)
    finally:
        for worker in workers:
            worker.close()
    skipped |= {worker.name: worker.error for worker in workers if worker.error is not None}
    names = [worker.name for worker in workers if worker.error is None]
    fresh = cold_starts(names, folder, options.cold) if options.cold else {}
    return {
        "skipped": skipped,
        "engines": {
            name: medians(rounds[name])
            | {f"cold_{key}": value for key, value in fresh.get(name, {}).items()}
            | {"check": compare(checks[name], reference)}
            for name in names
        },
        "rounds": rounds,
    }


def about(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": machine.hardware(),
        "versions": {
            name: metadata.version(name) for name in PACKAGES if find_spec(name) is not None
        },
        "python": sys.version.split()[0],
        "rounds_asked": options.rounds,
    }


def main() -> None:
    """Measure what the command line asks for, and write the file."""
    parser = argparse.ArgumentParser(description="Our engine beside other ways to run the model")
    timed = [name for name in ENGINES if name != REFERENCE]
    parser.add_argument("--engine", default=",".join(timed))
    parser.add_argument("--figures", default=",".join(FIGURES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", type=int, default=3, help="fresh starts of every engine")
    parser.add_argument("--folder", type=Path, help="as made by peer_folder")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "config.json").exists():
            write_folder(folder)
        result = about(options) | run(options, folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, told in result["skipped"].items():
        print(f"skipped: {name}: {told}", file=sys.stderr)


if __name__ == "__main__":
    main()
