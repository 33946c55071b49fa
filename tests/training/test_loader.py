"""What each step reads, alone, shared and prepared ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smolvlm.processing.processor import Processor
from smolvlm.training.distributed import World
from smolvlm.training.loader import Steps, iterate
from smolvlm.training.mixture import Entry, Mixture
from smolvlm.training.sources import GeneratorSource
from smolvlm.training.stages import Stage
from smolvlm.types import Sample
from tests.training.little import mixed_sample

STAGE = Stage(batch=6, length=90, validation=4)
ENTRY = Entry("little", 1.0, "image", "green", generator="little")


@pytest.fixture(scope="module")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


def make(processor: Processor, stage: Stage = STAGE, world: World | None = None) -> Steps:
    def generate(seed: int) -> Sample:
        return mixed_sample(seed % 1000)

    return Steps(Mixture([(ENTRY, GeneratorSource(generate))], stage.seed), processor, stage, world)


def keys(steps: Steps, step: int) -> set[str]:
    data = steps[step]
    return {k for b in data.batches for k in b.keys} | {s.key for s in data.skipped}


def test_steps_hold_consecutive_samples_and_too_long_ones_are_named(processor: Processor) -> None:
    steps = make(processor)
    data = [steps[t] for t in range(3)]
    assert all(d.seen == 6 for d in data)
    skipped = [skip for d in data for skip in d.skipped]
    assert skipped and all("the stage allows 90" in skip.reason for skip in skipped)
    assert sum(len(b.keys) for d in data for b in d.batches) + len(skipped) == 18
    assert set.union(*(keys(steps, t) for t in range(3))) == {
        mixed_sample(s).key for s in range(18)
    }
    assert data[0].learned == sum(b.learned for b in data[0].batches)


def test_processes_share_a_step_without_overlap(processor: Processor) -> None:
    whole = make(processor)
    shares = [make(processor, world=World(rank, 2)) for rank in (0, 1)]
    for step in (0, 4):
        first, second = (keys(share, step) for share in shares)
        assert not first & second
        assert first | second == keys(whole, step)
    assert sum(share.held_out().seen for share in shares) == whole.held_out().seen == 4


def test_groups_keep_to_their_size(processor: Processor) -> None:
    stage = replace(STAGE, length=500, micro_tokens=170)
    for layout in ("packed", "right"):
        data = make(processor, replace(stage, layout=layout))[1]
        assert len(data.batches) > 1
        assert all(batch.ids.numel() <= 170 for batch in data.batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_come_in_order_whoever_prepares_them(processor: Processor, workers: int) -> None:
    steps = make(processor)
    seen = list(iterate(steps, start=3, stop=7, workers=workers))
    assert len(seen) == 4
    for step, data in enumerate(seen, start=3):
        wanted = steps[step]
        for mine, theirs in zip(data.batches, wanted.batches, strict=True):
            assert torch.equal(mine.ids, theirs.ids) and torch.equal(mine.tiles, theirs.tiles)
            assert mine.keys == theirs.keys


def test_an_endless_run_has_steps_without_end(processor: Processor) -> None:
    data = iterate(make(processor), start=2**30, stop=None, workers=0)
    assert next(data).seen == 6


def test_the_speed_of_the_data_is_measured(processor: Processor) -> None:
    assert make(processor).measure(0.05) > 0
