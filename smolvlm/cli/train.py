"""`smolvlm train`: a stage, a mixture and a model folder in, a trained model out.

Reads the options, shows what a run will do and how it goes; the run itself is `training/runs.py`.
Everything said goes to standard error, the folder of the result alone to standard output. A recipe
with generators of its own calls `run` with them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from smolvlm.errors import EngineError, InputError
from smolvlm.weights.hub import find_model

if TYPE_CHECKING:
    from smolvlm.training.log import Report
    from smolvlm.training.runs import Run
    from smolvlm.training.sources import Generator
    from smolvlm.training.stages import Recipe
    from smolvlm.training.trainer import RunOptions

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
SECONDS_BETWEEN_LINES = 10.0  # where no bar can be drawn
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Training:
    """What the command was told; None and empty are left to the stage."""

    stage: str
    model: str = "embedded"
    mixture: str | None = None
    out: str | None = None
    assignments: tuple[str, ...] = ()
    time_budget: str | None = None
    output: Literal["model", "adapter"] = "model"
    resume: bool = False
    dry_run: bool = False
    device: str | None = None
    threads: int | None = None
    workers: int | None = None
    save_every: float = 300.0
    max_file_mb: float | None = None
    tower_cache_mb: float = 0.0
    compiled: bool = False


def run(told: Training, generators: Mapping[str, Generator] | None = None) -> None:
    """Train once, or with `dry_run` print every number of the stage and where it is from."""
    recipe = resolve(told)
    if told.dry_run:
        print_recipe(recipe)
        return
    recipe.stage.check_runnable()
    if told.out is None:
        raise InputError("the run needs a folder to write into; give one: --out FOLDER")
    train(told, recipe, Path(told.out), generators)


def resolve(told: Training) -> Recipe:
    """The stage with everything the command line changes; `InputError` for unknown keys."""
    try:
        from smolvlm.training.named import find_stage
        from smolvlm.training.stages import with_assignments
    except ImportError as error:
        raise _lacking(error) from None
    recipe = find_stage(told.stage)
    own: dict[str, Any] = {}
    if told.mixture is not None:
        own["mixture"] = told.mixture
    if told.time_budget is not None:
        own["schedule.time_budget"] = seconds(told.time_budget)
    recipe = recipe.changed(own, "command line") if own else recipe
    return with_assignments(recipe, told.assignments)


def train(
    told: Training, recipe: Recipe, out: Path, generators: Mapping[str, Generator] | None
) -> None:
    """Open everything, train, write the result."""
    try:
        from smolvlm.training.distributed import choose_device, join_world, use_threads
        from smolvlm.training.runs import open_run
    except ImportError as error:
        raise _lacking(error) from None
    if told.threads is not None:
        use_threads(told.threads)
    device = choose_device(told.device)
    world = join_world(device)
    try:
        opened = open_run(
            find_model(told.model, progress=world.first),
            recipe,
            out,
            generators=generators,
            world=world,
            device=device,
            options=_options(told, device.type),
        )
        with listening(recipe, opened, shown=world.first) as listen:
            opened.trainer.fit(listen)
        if world.first:
            print(opened.write_result(told.output))
    finally:
        world.close()


def seconds(text: str) -> float:
    """A time such as `90`, `20m` or `1.5h` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None or float(found[1]) == 0:
        raise InputError(f"{text!r} is no time; write it as 90, 30s, 20m, 1.5h or 2d")
    return float(found[1]) * UNITS[found[2]]


def print_recipe(recipe: Recipe) -> None:
    """Every number of a stage with its source, on standard output."""
    lines = recipe.lines()
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    widths[1] = min(widths[1], 60)  # a list of forty tokens should not push the sources away
    print(f"{recipe.name}: {recipe.about}")
    for key, value, source in lines:
        print(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}")


@contextmanager
def listening(
    recipe: Recipe, opened: Run, *, shown: bool
) -> Iterator[Callable[[Report], None] | None]:
    """What is told after each step: a bar on a terminal, otherwise a line now and then."""
    if not shown:
        yield None
        return
    from rich.console import Console

    console = Console(stderr=True)
    say = console.print if console.is_terminal else _plain
    say(_opening(recipe, opened))
    if not console.is_terminal:
        yield Lines(_plain)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        line = bar.add_task("the first step", total=None)

        def listen(report: Report) -> None:
            done, left = report.elapsed, report.eta
            total = None if left is None else done + left
            bar.update(line, description=summary(report), completed=done, total=total)
            if report.held_out is not None:
                bar.console.print(held_out(report))

        yield listen


class Lines:
    """Reports as plain lines: the first, every held-out loss, and one every so many seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._last = say, float("-inf")

    def __call__(self, report: Report) -> None:
        """Say it if it is time."""
        if report.held_out is not None:
            self._say(f"{summary(report)}; {held_out(report)}")
        elif perf_counter() - self._last >= SECONDS_BETWEEN_LINES:
            self._say(summary(report))
        else:
            return
        self._last = perf_counter()


def summary(report: Report) -> str:
    """One step in one line: where, how good, how fast, how long still."""
    of = "" if report.steps is None else f"/{report.steps}"
    tasks = " ".join(f"{task} {loss:.2f}" for task, loss in report.tasks.items())
    speed = (
        f"{report.samples / report.seconds:.1f} samples/s,"
        f" {report.tokens / report.seconds:.0f} tokens/s, {report.tflops:.2f} TFLOP/s"
    )
    left = "" if report.eta is None else f", {clock(report.eta)} to go"
    skipped = f", {report.skipped} left out" if report.skipped else ""
    return f"step {report.step}{of}: loss {report.loss:.3f} ({tasks}), {speed}{left}{skipped}"


def held_out(report: Report) -> str:
    """The held-out losses of a report that has them."""
    tasks = " ".join(f"{task} {loss:.2f}" for task, loss in report.held_out_tasks.items())
    return f"held-out loss {report.held_out:.4f} ({tasks}) after step {report.step}"


def clock(left: float) -> str:
    """Seconds as H:MM:SS."""
    minutes, rest = divmod(round(left), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _opening(recipe: Recipe, opened: Run) -> str:
    """What is trained, on what, and whether the data are made fast enough."""
    counts = ", ".join(f"{part} {count / 1e6:.2f}M" for part, count in opened.trained.items())
    trainer = opened.trainer
    return (
        f"stage {recipe.name}: trains {counts} numbers on {trainer.model.device.type}"
        f" in {recipe.stage.precision}, {trainer.world.size} process(es),"
        f" {trainer.options.workers} worker(s);"
        f" one core makes {opened.steps.measure():.1f} samples/s"
    )


def _options(told: Training, device: str) -> RunOptions:
    """How the run is done; by default a GPU is fed by workers, a CPU does both in turn."""
    from smolvlm.cli.machine import cpu_count
    from smolvlm.training.trainer import RunOptions

    workers = told.workers
    if workers is None:
        workers = 0 if device == "cpu" else max(cpu_count() - 1, 1)
    size = told.max_file_mb
    return RunOptions(
        resume=told.resume,
        workers=workers,
        save_every=told.save_every,
        max_bytes=None if size is None else int(size * MEGABYTE),
        tower_cache=int(told.tower_cache_mb * MEGABYTE),
        compiled=told.compiled,
    )


def _plain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _lacking(error: ImportError) -> EngineError:
    return EngineError(f"training needs {error.name}; run: pip install 'smolvlm[train]'")
