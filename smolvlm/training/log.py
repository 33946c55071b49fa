"""What a run says: one JSON line a step, the samples it left out, means while it goes.

`log.jsonl` grows by a line for every step and validation; a run that goes on first drops the lines
of steps that will be done again. The same figures go to `tensorboard/` where tensorboardX is
installed (the extra `train` brings it). `skipped.jsonl` names every sample left out, and more than
one in a hundred of them ends the run: then the data are wrong, not a sample. How it looks on a
terminal is left to the command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smolvlm.errors import InputError
from smolvlm.training.loader import Skip

SKIPPED_SHARE = 0.01
SKIPPED_FROM = 200  # samples after which the share is taken seriously: 2 broken ones always pass


@dataclass(frozen=True)
class Report:
    """How a run stands after a step.

    steps: how many there will be, None when time decides. loss: of this step, tasks: by task.
    held_out: mean loss of the held-out samples, where they were just looked at, and by task.
    rates: by part. seconds: of this step. eta: seconds to go.
    """

    step: int
    steps: int | None
    loss: float
    tasks: Mapping[str, float]
    norm: float
    rates: Mapping[str, float]
    samples: int
    tokens: int
    seconds: float
    elapsed: float
    eta: float | None
    tflops: float
    skipped: int
    held_out: float | None = None
    held_out_tasks: Mapping[str, float] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """The report as it is logged."""
        line: dict[str, Any] = {
            "step": self.step,
            "loss": self.loss,
            "tasks": _rounded(self.tasks),
            "norm": round(self.norm, 4),
            "rates": dict(self.rates),
            "samples_per_s": round(self.samples / self.seconds, 2),
            "tokens_per_s": round(self.tokens / self.seconds, 1),
            "tflops": round(self.tflops, 4),
            "elapsed": round(self.elapsed, 2),
            "skipped": self.skipped,
        }
        if self.held_out is not None:
            line |= {"held_out": self.held_out, "held_out_tasks": _rounded(self.held_out_tasks)}
        return line


class Log:
    """The files of one run; only the first process has one."""

    def __init__(self, folder: Path) -> None:
        self._lines, self._skips = folder / "log.jsonl", folder / "skipped.jsonl"
        self._curves_folder, self._curves = folder / "tensorboard", None
        folder.mkdir(parents=True, exist_ok=True)

    def rewind(self, step: int) -> None:
        """Drop the lines of steps after `step`, and a line that was cut off by a kill."""
        for path in (self._lines, self._skips):
            if path.exists():
                whole = [
                    line for line in path.read_text("utf-8").splitlines() if _step(line) <= step
                ]
                path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")
        self.close()
        if find_spec("tensorboardX"):
            from tensorboardX import SummaryWriter

            self._curves = SummaryWriter(
                str(self._curves_folder),
                purge_step=step + 1 if step >= 0 else None,
                filename_suffix=f".from-{step + 1}",
            )

    def close(self) -> None:
        """Wait until the curves are on disk; lines are there at once."""
        if self._curves is not None:
            self._curves.close()

    def write(self, report: Report) -> None:
        """One line for a step."""
        line = report.line()
        _append(self._lines, [line])
        self._draw(report.step, line)

    def write_held_out(self, step: int, means: Means) -> None:
        """A line for held-out losses that were taken after the last step."""
        tasks = _rounded(means.of_tasks())
        line = {"step": step, "held_out": means.of_all(), "held_out_tasks": tasks}
        _append(self._lines, [line])
        self._draw(step, line)

    def write_skips(self, step: int, skips: Sequence[Skip]) -> None:
        """One line for each sample left out."""
        _append(self._skips, [{"step": step, "key": s.key, "reason": s.reason} for s in skips])

    def _draw(self, step: int, line: Mapping[str, Any]) -> None:
        """The numbers of a line as points of curves: `loss`, `tasks/colour`, `rates/text`, ..."""
        if self._curves is None:
            return
        for name, value in line.items():
            points = value if isinstance(value, Mapping) else {"": value}
            for part, number in points.items():
                if name != "step":
                    self._curves.add_scalar(f"{name}/{part}".rstrip("/"), number, step)
        self._curves.flush()

    @property
    def skipped_path(self) -> Path:
        """Where the samples left out are listed."""
        return self._skips


def check_skipped(skipped: int, seen: int, where: Path) -> None:
    """`InputError` when more than one sample in a hundred could not be used."""
    if skipped > SKIPPED_SHARE * max(seen, SKIPPED_FROM):
        raise InputError(
            f"{skipped} of {seen} samples could not be used, more than {SKIPPED_SHARE:.0%};"
            f" {where} names them and why"
        )


class Means:
    """Sums and counts by task, made into means."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, task: str, total: float, count: int) -> None:
        """The summed loss of some tokens of a task."""
        self._sums[task] = self._sums.get(task, 0.0) + total
        self._counts[task] = self._counts.get(task, 0) + count

    def join(self, other: Means) -> None:
        """What another process counted."""
        for task, total in other._sums.items():
            self.add(task, total, other._counts[task])

    def of_tasks(self) -> dict[str, float]:
        """The mean of each task that has a token, by name."""
        return {t: self._sums[t] / self._counts[t] for t in sorted(self._sums) if self._counts[t]}

    def of_all(self) -> float:
        """The mean over all tokens; NaN without any."""
        count = sum(self._counts.values())
        return sum(self._sums.values()) / count if count else float("nan")


def _append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def _step(line: str) -> float:
    """The step a line belongs to; infinity for half a line, so that it goes."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
