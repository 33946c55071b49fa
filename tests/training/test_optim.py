"""Groups, rates, clipping."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.named import NAMED
from smolvlm.training.optim import clip, fill_gradients, make_optimizer, rates, set_rates
from smolvlm.training.parts import prepare, trained_parameters
from smolvlm.weights.reader import open_checkpoint


@pytest.fixture
def model(tiny_folder: Path) -> SmolVLM:
    made = SmolVLM.from_checkpoint(open_checkpoint(tiny_folder))
    prepare(made, NAMED["video-small"].stage, [])
    return made


def test_each_part_has_its_rate_and_vectors_are_not_decayed(model: SmolVLM) -> None:
    stage = NAMED["image-2"].stage
    optimizer = make_optimizer(model, stage)
    assert {(g["part"], g["weight_decay"]) for g in optimizer.param_groups} == {
        ("vision", 0.1), ("vision", 0.0), ("connector", 0.1), ("text", 0.1), ("text", 0.0),
    }  # fmt: skip
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(trained_parameters(model))
    assert rates(optimizer) == {"vision": 0.0, "connector": 0.0, "text": 0.0}


def test_rates_follow_the_factor(model: SmolVLM) -> None:
    optimizer = make_optimizer(model, NAMED["video-small"].stage)
    set_rates(optimizer, 0.5)
    assert rates(optimizer) == pytest.approx({"vision": 2.5e-6, "connector": 5e-5, "text": 1e-5})


def test_clipping_is_of_all_together_and_missing_gradients_are_zero() -> None:
    a, b, c = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    fill_gradients([a, b, c])
    assert c.grad is not None and not c.grad.any()
    assert clip([a, b, c], 1.0) == pytest.approx(5.0)
    assert a.grad.tolist() == pytest.approx([0.6, 0.0], rel=1e-4)
