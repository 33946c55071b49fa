"""Step by step, the batches of a run: samples by position, opened, encoded, grouped, collated.

Step t holds the positions t * batch to (t + 1) * batch of the mixture, and process r of W every
W-th of them; nothing else decides what a step reads. A sample that cannot be used (a broken
picture, a row without an answer, too many tokens) is left out and named, never replaced. With
workers, whole steps are prepared ahead in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from smolvlm.errors import InputError
from smolvlm.processing.processor import Processor
from smolvlm.training.collate import Batch, Item, collate, encode
from smolvlm.training.distributed import World
from smolvlm.training.mixture import Mixture
from smolvlm.training.packing import group
from smolvlm.training.stages import Stage
from smolvlm.types import Sample

STEPS_AHEAD = 2  # that each worker prepares
ENDLESS = 2**40  # steps of a run that only time ends


@dataclass(frozen=True)
class Skip:
    """A sample that was left out, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class StepData:
    """What one process trains on in one step; `seen` counts skipped samples too."""

    batches: tuple[Batch, ...]
    seen: int
    skipped: tuple[Skip, ...]

    @property
    def learned(self) -> int:
        """Tokens that loss is taken on."""
        return sum(batch.learned for batch in self.batches)


class Steps(Dataset[StepData]):
    """The data of any step, by its number."""

    def __init__(
        self, mixture: Mixture, processor: Processor, stage: Stage, world: World | None = None
    ) -> None:
        self._mixture, self.processor, self._stage = mixture, processor, stage
        self._world = world or World()

    def __getitem__(self, step: int) -> StepData:
        """The share of this process in one step."""
        first = step * self._stage.batch
        own = range(first + self._world.rank, first + self._stage.batch, self._world.size)
        return self._prepared(own, self._mixture.__getitem__)

    def held_out(self) -> StepData:
        """The share of this process in the held-out samples."""
        own = range(self._world.rank, self._stage.validation, self._world.size)
        return self._prepared(own, self._mixture.held_out)

    def measure(self, seconds: float = 1.0) -> float:
        """Samples that one core makes in a second, measured for about that long."""
        started, count = perf_counter(), 0
        while (spent := perf_counter() - started) < seconds:
            self._encoded(count, self._mixture.__getitem__)
            count += 1
        return count / spent

    def _prepared(self, positions: Sequence[int], sample: Callable[[int], Sample]) -> StepData:
        made = [self._encoded(position, sample) for position in positions]
        items = [item for item in made if isinstance(item, Item)]
        groups = group(
            [len(item) for item in items], self._stage.layout, max_tokens=self._stage.micro_tokens
        )
        pad = self.processor.config.pad_token_id
        return StepData(
            tuple(collate([items[i] for i in g], self._stage.layout, pad=pad) for g in groups),
            len(made),
            tuple(skip for skip in made if isinstance(skip, Skip)),
        )

    def _encoded(self, position: int, sample: Callable[[int], Sample]) -> Item | Skip:
        key = f"position {position}"
        try:
            found = sample(position)
            key = found.key
            return encode(self.processor, found, max_length=self._stage.length)
        except InputError as error:
            return Skip(key, str(error))


def iterate(steps: Steps, *, start: int, stop: int | None, workers: int) -> Iterator[StepData]:
    """The steps from `start` to before `stop`, in order; `workers` processes work ahead."""
    loader = DataLoader(
        steps,
        batch_size=None,
        sampler=range(start, ENDLESS if stop is None else stop),
        num_workers=workers,
        prefetch_factor=STEPS_AHEAD if workers else None,
        collate_fn=_as_it_is,
        pin_memory=False,
        worker_init_fn=_quiet_worker,
    )
    return cast("Iterator[StepData]", iter(loader))


def _as_it_is(data: Any) -> Any:
    return data


def _quiet_worker(_: int) -> None:
    """A worker opens pictures and counts tokens; it needs no threads of its own for that."""
    torch.set_num_threads(1)
