"""Counted operations against those PyTorch sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.processor import Processor
from smolvlm.training.collate import collate, encode
from smolvlm.training.flops import Cost
from smolvlm.training.loss import token_losses
from smolvlm.training.parts import prepare
from smolvlm.training.stages import Adapter, Part, Schedule, Stage
from smolvlm.weights.reader import open_checkpoint
from tests.training.little import colour_sample

STAGES = {
    "everything": Stage(vision=Part(1e-3), connector=Part(1e-3), text=Part(1e-3)),
    "connector": Stage(connector=Part(1e-3)),
    # rank 1: what adapters add, which is not counted, stays small
    "adapters": Stage(connector=Part(1e-3), text=Part(1e-3, Adapter(rank=1, where=("q_proj",)))),
}


@pytest.mark.parametrize("name", STAGES)
def test_operations_are_those_that_pytorch_counts(tiny_folder: Path, name: str) -> None:
    stage = replace(STAGES[name], precision="f32", schedule=Schedule(steps=1))
    model = SmolVLM.from_checkpoint(open_checkpoint(tiny_folder))
    prepare(model, stage, [])
    processor = Processor.from_folder(tiny_folder)
    item = encode(processor, colour_sample(1), max_length=500)
    batch = collate([item], "packed", pad=2)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        token_losses(model, batch, processor.rules).sum().backward()
    cost = Cost.of(model.config, stage)
    # The plain attention that trains on a CPU computes the hidden half of the square as well.
    whole = replace(cost, attention=2 * cost.attention)
    assert whole.batch(batch) == pytest.approx(counter.get_total_flops(), rel=0.02)
