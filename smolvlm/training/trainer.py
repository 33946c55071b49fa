"""The loop: steps, validation, checkpoints, the end.

A step's loss is the mean over all learned tokens of all its samples, however they are grouped and
spread over processes; so two processes compute what one does with the same batch. Everything random
in a step (dropout, noise) is seeded by the run's seed, the step and the process. What a run depends
on is in its `recipe`; how it is done (device, workers, where and how often things are written) is
in `RunOptions` and may change when it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from smolvlm.config import ImageRules
from smolvlm.errors import InputError, SmolVLMError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training import optim
from smolvlm.training.collate import Batch
from smolvlm.training.distributed import World
from smolvlm.training.flops import Cost
from smolvlm.training.loader import Skip, StepData, Steps, iterate
from smolvlm.training.log import Log, Means, Report, check_skipped
from smolvlm.training.loss import sample_sums, token_losses
from smolvlm.training.parts import trained_parameters
from smolvlm.training.schedule import rate_factor
from smolvlm.training.stages import Stage
from smolvlm.training.state import State, check_recipe, collect, newest_state, restore, save_state
from smolvlm.training.tower_cache import TowerCache

Listener = Callable[[Report], None]


@dataclass(frozen=True)
class RunOptions:
    """How a run is done, as far as its result does not depend on it.

    workers: processes that prepare data; 0 prepares between the steps. save_every: seconds between
    checkpoints; 0 saves every step. max_bytes: of a file of a checkpoint, None for no limit.
    tower_cache: bytes of a frozen tower's outputs to keep. compiled: whether the layers go through
    `torch.compile`.
    """

    resume: bool = False
    workers: int = 0
    save_every: float = 300.0
    max_bytes: int | None = None
    tower_cache: int = 0
    compiled: bool = False


@dataclass
class Progress:
    """Where a run stands: finished steps, seconds of training, samples seen and left out."""

    step: int = 0
    elapsed: float = 0.0
    seen: int = 0
    skipped: int = 0


class Trainer:
    """One run of a prepared model (`parts.prepare`); `runs.open_run` makes one from files."""

    def __init__(
        self,
        model: SmolVLM,
        rules: ImageRules,
        steps: Steps,
        stage: Stage,
        *,
        recipe: Mapping[str, Any],
        out: Path,
        world: World | None = None,
        options: RunOptions | None = None,
    ) -> None:
        self.model, self.rules, self.steps, self.stage = model, rules, steps, stage
        self.recipe, self.out = recipe, out
        self.world, self.options = world or World(), options or RunOptions()
        self.optimizer = optim.make_optimizer(model, stage)
        self.parameters = list(trained_parameters(model).values())
        self.cost = Cost.of(model.config, stage)
        self.log = Log(out)
        self.tower_cache = TowerCache(self.options.tower_cache)
        self.progress = Progress()
        self._held_out: StepData | None = None
        self._looked_at = -1  # the step whose held-out losses were taken last

    def fit(self, listener: Listener | None = None) -> Progress:
        """Train until the steps or the time are over; a checkpoint stands at the end."""
        self._begin()
        if self.stage.validation and self.progress.step == 0:
            self._write_held_out()  # what training has to better
        data_of = iterate(
            self.steps,
            start=self.progress.step,
            stop=self.stage.schedule.steps,
            workers=self.options.workers,
        )
        started, before = perf_counter(), self.progress.elapsed
        saved = began = perf_counter()
        for data in data_of:
            if not self._agree(data):
                break
            report = self._step(data, began)
            self.progress.elapsed = before + perf_counter() - started
            began = perf_counter()
            if self.world.first:
                self.log.write(report)
            if listener is not None:
                listener(report)
            if perf_counter() - saved >= self.options.save_every:
                self.save()
                saved = perf_counter()
        self._finish()
        return self.progress

    def save(self) -> None:
        """A checkpoint of now; only the first process writes."""
        if not self.world.first:
            return
        tensors = collect(self.model, self.optimizer)
        now = self.progress
        state = State(now.step, now.elapsed, now.seen, now.skipped, self.recipe, tensors)
        save_state(self.out / "state", state, max_bytes=self.options.max_bytes)

    @torch.no_grad()
    def validate(self) -> Means:
        """Losses of the held-out samples by task, the same samples every time."""
        if self._held_out is None:
            self._held_out = self.steps.held_out()
        means = Means()
        self.model.eval()
        for batch in self._held_out.batches:
            self._losses(batch, means, neftune=0.0)
        self.model.train()
        self._looked_at = self.progress.step
        return self._of_all(means)

    def _finish(self) -> None:
        """The last checkpoint, and the held-out losses where time ended the run between two."""
        self.save()
        if self.stage.validation and self._looked_at != self.progress.step:
            self._write_held_out()
        self.log.close()

    def _write_held_out(self) -> None:
        """Take the held-out losses now and log them."""
        means = self.validate()
        if self.world.first:
            self.log.write_held_out(self.progress.step, means)

    def _begin(self) -> None:
        """Go on where the folder's run stopped, or begin in an empty one."""
        state = newest_state(self.out / "state")
        if state is not None:
            if not self.options.resume:
                raise InputError(
                    f"{self.out} holds a run that stands at step {state.step}; go on with it"
                    " (--resume) or choose another folder"
                )
            check_recipe(state, self.recipe)
            restore(self.model, self.optimizer, state.tensors)
            self.progress = Progress(state.step, state.elapsed, state.seen, state.skipped)
        self.world.wait()
        if self.world.first:
            self.log.rewind(self.progress.step if state is not None else -1)

    def _agree(self, data: StepData) -> bool:
        """Count the step's samples over all processes; False when the time is over."""
        budget = self.stage.schedule.time_budget
        over = budget is not None and self.progress.elapsed >= budget
        counts = self.world.gather((len(data.skipped), data.seen, over, data.skipped))
        if counts[0][2]:
            return False  # the first process's clock counts
        self.progress.seen += sum(seen for _, seen, _, _ in counts)
        self.progress.skipped += sum(skipped for skipped, _, _, _ in counts)
        skips: list[Skip] = [skip for _, _, _, own in counts for skip in own]
        if skips and self.world.first:
            self.log.write_skips(self.progress.step + 1, skips)
        check_skipped(self.progress.skipped, self.progress.seen, self.log.skipped_path)
        return True

    def _step(self, data: StepData, began: float) -> Report:
        """One update; raises before anything is changed when a loss is not a number."""
        _seed(self.stage.seed, self.progress.step, self.world.rank)
        counted = torch.tensor(
            [data.learned, data.seen - len(data.skipped), sum(b.tokens for b in data.batches)],
            dtype=torch.float64, device=self.model.device,
        )  # fmt: skip
        learned, samples, tokens = (int(count) for count in self.world.sum(counted))
        means, bad = Means(), list[str]()
        for batch in data.batches:
            bad += self._backward(batch, means, learned)
        means = self._of_all(means)
        self._refuse_nan(means.of_all(), bad, learned)
        optim.fill_gradients(self.parameters)
        self.world.sum_gradients(self.parameters)
        norm = optim.clip(self.parameters, self.stage.clip)
        self._refuse_nan(norm, [key for batch in data.batches for key in batch.keys], learned)
        now = self.progress
        optim.set_rates(
            self.optimizer, rate_factor(self.stage.schedule, step=now.step, elapsed=now.elapsed)
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        now.step += 1
        held_out = self._validated()
        seconds = perf_counter() - began
        flops = self.world.size * sum(self.cost.batch(batch) for batch in data.batches)
        return Report(
            step=now.step,
            steps=self.stage.schedule.steps,
            loss=means.of_all(),
            tasks=means.of_tasks(),
            norm=norm,
            rates=optim.rates(self.optimizer),
            samples=samples,
            tokens=tokens,
            seconds=seconds,
            elapsed=now.elapsed + seconds,
            eta=self._to_go(seconds),
            tflops=flops / seconds / 1e12,
            skipped=now.skipped,
            held_out=None if held_out is None else held_out.of_all(),
            held_out_tasks={} if held_out is None else held_out.of_tasks(),
        )

    def _backward(self, batch: Batch, means: Means, learned: int) -> list[str]:
        """Gradients of one batch; the keys of samples whose loss is not a number."""
        losses, bad = self._losses(batch, means, neftune=self.stage.neftune)
        if not bad:
            (losses.sum() / max(learned, 1)).backward()  # type: ignore[no-untyped-call]
        return bad

    def _losses(
        self, batch: Batch, means: Means, *, neftune: float
    ) -> tuple[torch.Tensor, list[str]]:
        batch = batch.to(self.model.device)
        with self._autocast():
            losses = token_losses(
                self.model, batch, self.rules, neftune=neftune, cache=self.tower_cache
            )  # (n,)
        sums = sample_sums(losses, batch).tolist()
        counts = torch.bincount(batch.owners, minlength=len(sums)).tolist()
        for task, total, count in zip(batch.tasks, sums, counts, strict=True):
            means.add(task, total, count)
        bad = [key for key, s in zip(batch.keys, sums, strict=True) if not math.isfinite(s)]
        return losses, bad

    def _refuse_nan(self, value: float, keys: list[str], learned: int) -> None:
        """`SmolVLMError` in every process when a loss or a gradient is not a number."""
        if math.isfinite(value) or learned == 0:
            return
        named = [key for own in self.world.gather(keys) for key in own]
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        raise SmolVLMError(
            f"step {self.progress.step + 1} gave a loss or gradient that is not a number, from"
            f" the samples {shown}; the last checkpoint in {self.out / 'state'} is good. Lower the"
            " rates or leave the samples out"
        )

    def _validated(self) -> Means | None:
        """Held-out losses where they are due: every so many steps, and at the last one."""
        step, every = self.progress.step, self.stage.validate_every
        if not self.stage.validation or (step % every and step != self.stage.schedule.steps):
            return None
        return self.validate()

    def _of_all(self, means: Means) -> Means:
        joined = Means()
        for own in self.world.gather(means):
            joined.join(own)
        return joined

    def _to_go(self, seconds: float) -> float | None:
        """Seconds left, by this step's time or by the budget, whichever ends first."""
        schedule, now = self.stage.schedule, self.progress
        left = [
            *([(schedule.steps - now.step) * seconds] if schedule.steps is not None else []),
            *([schedule.time_budget - now.elapsed] if schedule.time_budget is not None else []),
        ]
        return max(min(left), 0.0) if left else None

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.stage.precision == "f32":
            return nullcontext()
        return torch.autocast(self.model.device.type, torch.bfloat16)


def _seed(seed: int, step: int, rank: int) -> None:
    """The randomness of one step in one process, whatever came before."""
    state = np.random.SeedSequence((seed, step, rank)).generate_state(2)
    torch.manual_seed(int(state[0]) << 32 | int(state[1]))
