"""`smolvlm bench`: where the time goes on this machine, for one engine or several side by side.

Every engine is a process of its own; their rounds take turns, because a machine is not as fast at
noon as at one. Medians are printed, everything goes into the JSON of `--out`. `--fit` measures what
questions cost here, which is what `--budget 500ms` chooses tiles by. The measuring itself is in
`evaluation/speed.py` and `evaluation/cost_fit.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from smolvlm import __version__, api
from smolvlm.cli import machine, show
from smolvlm.cli.bench_worker import Asked, Worker
from smolvlm.cli.terminal import say, waiting
from smolvlm.engines.choose import choose_for, fitting
from smolvlm.errors import InputError
from smolvlm.evaluation.speed import Limits, Round, Work, picture_bytes, shares, summary
from smolvlm.weights.reader import open_checkpoint

QUESTION = "Describe the image."
LEAST_TOKENS = 2
COLUMNS: Mapping[str, str] = {
    "decode_ms": "decode",
    "preprocess_ms": "preprocess",
    "vision_ms": "vision",
    "prefill_ms": "prefill",
    "first_token_ms": "first token",
    "ttft_ms": "TTFT",
    "tpot_ms": "TPOT",
}


@dataclass(frozen=True)
class Wanted:
    """What to measure. side: of the square picture made when none is given, in pixels."""

    model: str
    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    picture: str | None = None
    side: int = 512
    new_tokens: int = 32
    rounds: int = 5
    out: Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("new_tokens", LEAST_TOKENS), ("rounds", 1), ("side", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} is {value}; wanted at least {least}")


def run(wanted: Wanted, *, load: Mapping[str, Any]) -> None:
    """Measure, print a table, write the JSON. `load`: keywords of `api.load`."""
    combinations = _combinations(wanted)
    question = Asked(wanted.model, load, _picture(wanted), QUESTION)
    with waiting("measuring the machine"):
        limits = {kind: _limits(kind) for kind in _kinds(combinations)}
    with _workers(combinations, question) as workers:
        rounds = _interleave(workers, wanted)
        rows = [_row(worker, rounds[worker.name], limits) for worker in workers]
    report = _about(wanted, limits) | {"engines": rows}
    if wanted.out is not None:
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        wanted.out.write_text(text, encoding="utf-8")
    _print(rows)
    if all("error" in row for row in rows):
        raise InputError("; ".join(f"{row['name']}: {row['error']}" for row in rows))


def fit(wanted: Wanted, *, load: Mapping[str, Any]) -> None:
    """Fit what questions cost and keep it, for one engine and precision each."""
    from smolvlm.engines.fitted_costs import keep_costs
    from smolvlm.evaluation.cost_fit import fit_costs

    for engine, precision in _combinations(wanted):
        chosen = {**load, "engine": engine, "precision": precision}
        with waiting("measuring what questions cost"):
            assistant = api.load(wanted.model, feature_cache=0, prefix_cache=0, **chosen)
            costs = fit_costs(assistant.engine, assistant.processor)
        checkpoint = open_checkpoint(assistant.folder)
        threads = load.get("threads")
        choice = choose_for(checkpoint, engine, precision, threads)
        path = keep_costs(checkpoint.fingerprint, choice, threads, costs)
        say(f"{choice.name} {choice.precision}: kept in {path}")
        rows = [(name, f"{value:.4g} ms") for name, value in asdict(costs).items()]
        show.print_table(show.table(rows))


def output(name: str | None) -> Path | None:
    """Where the report goes; `InputError` when that cannot be written, before anything is done."""
    if name is None:
        return None
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{name} cannot be written; wanted a file in a folder that exists")
    return path


def _combinations(wanted: Wanted) -> list[tuple[str | None, str | None]]:
    """Every engine with every precision that it has; one of each where none was named."""
    engines: Sequence[str | None] = wanted.engines or (None,)
    precisions: Sequence[str | None] = wanted.precisions or (None,)
    return [
        (engine, precision)
        for engine in engines
        for precision in precisions
        if fitting(engine, precision)
    ]


def _name(engine: str | None, precision: str | None) -> str:
    return " ".join(word for word in (engine, precision) if word) or "default"


def _picture(wanted: Wanted) -> bytes:
    if wanted.picture is None:
        return picture_bytes(wanted.side, wanted.side)
    try:
        return Path(wanted.picture).read_bytes()
    except OSError as error:
        raise InputError(f"{wanted.picture} cannot be read ({error.strerror})") from None


def _kinds(combinations: Sequence[tuple[str | None, str | None]]) -> set[str]:
    """What the products of the limits are computed in: what most of the work is."""
    return {"f32" if precision == "f32" else "bf16" for _, precision in combinations}


def _limits(kind: str) -> Limits:
    from smolvlm.engines.openvino_compile import runnable_precisions
    from smolvlm.engines.openvino_limits import product_rate, read_rate
    from smolvlm.native.build import obstacle
    from smolvlm.native.library import tile_rate

    runnable = kind if kind in runnable_precisions() else "f32"
    flops = product_rate(runnable)
    if kind == "bf16" and obstacle() is None:
        flops = max(flops, tile_rate(machine.cpu_count()))
    return Limits(flops=flops, bandwidth=read_rate())


@contextmanager
def _workers(
    combinations: Sequence[tuple[str | None, str | None]], question: Asked
) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        for engine, precision in combinations:
            chosen = {**question.load, "engine": engine, "precision": precision}
            name = _name(engine, precision)
            with waiting(f"opening {name}"):
                workers.append(Worker(name, replace(question, load=chosen)))
        yield workers
    finally:
        for worker in workers:
            worker.close()


def _interleave(workers: Sequence[Worker], wanted: Wanted) -> dict[str, list[Round]]:
    """All rounds of all engines, in turn; the first of each warms up and does not count."""
    rounds: dict[str, list[Round]] = {worker.name: [] for worker in workers}
    for number in range(wanted.rounds + 1):
        for worker in workers:
            if worker.error is not None:
                continue
            with waiting(f"round {number} of {wanted.rounds}: {worker.name}"):
                told = worker.round(wanted.new_tokens)
            if told is not None and number:
                rounds[worker.name].append(told)
    return rounds


def _row(worker: Worker, rounds: Sequence[Round], limits: Mapping[str, Limits]) -> dict[str, Any]:
    """One engine's part of the report."""
    if worker.error is not None or not rounds:
        return {"name": worker.name, "error": worker.error or "no round"}
    about = worker.describe()
    figures = summary(rounds)
    kind = "f32" if about["engine"]["precision"] == "f32" else "bf16"
    limit = limits.get(kind) or next(iter(limits.values()))
    needs = Work(**about["work"])
    reached = shares(figures, needs, limit)
    each = {"rounds": [asdict(round_) for round_ in rounds]}
    return {"name": worker.name, "load_ms": worker.load_ms} | about | figures | reached | each


def _about(wanted: Wanted, limits: Mapping[str, Limits]) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": machine.hardware(),
        "versions": {"smolvlm": __version__, "openvino": metadata.version("openvino")},
        "python": sys.version.split()[0],
        "model": wanted.model,
        "picture": wanted.picture or f"{wanted.side} x {wanted.side}, made",
        "new_tokens": wanted.new_tokens,
        "limits": {kind: asdict(limit) for kind, limit in limits.items()},
    }


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table on stdout; what could not run says why on stderr."""
    header = ["engine", *COLUMNS.values(), "tokens/s", "memory", "FLOP/s", "bandwidth"]
    cells = []
    for row in rows:
        if "error" in row:
            say(f"{row['name']} cannot run: {row['error']}")
            continue
        about = row["engine"]
        peak = f"{row['peak_bytes'] / 2**20:.0f} MiB" if row["peak_bytes"] else "unknown"
        cells.append(
            [
                f"{about['name']} {about['precision']}",
                *(f"{row[name]:.1f}" for name in COLUMNS),
                f"{row['tokens_per_s']:.1f}",
                peak,
                f"{row['vision_share']:.0%} / {row['prefill_share']:.0%}",
                f"{row['decode_share']:.0%}",
            ]
        )
    if cells:
        show.print_table(show.table(cells, header=header))
        print("times in milliseconds; FLOP/s (vision / prefill) and bandwidth (decoding) as shares")
        print("of what the machine was just measured to do at best")
