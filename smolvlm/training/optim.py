"""The optimiser: AdamW with a group for each part, clipping, rates by schedule.

Biases, norms and other vectors are not decayed, as published. Every trained parameter takes part in
every step: one that no sample touched (a connector in a step of words alone) counts as having the
gradient zero, so that a step does not depend on how its samples were spread over processes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from smolvlm.training.parts import part_of, rate_of, trained_parameters
from smolvlm.training.stages import Stage


def make_optimizer(model: nn.Module, stage: Stage) -> torch.optim.AdamW:
    """AdamW over everything that is trained; groups hold their part's name and peak rate."""
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in trained_parameters(model).items():
        groups.setdefault((part_of(name), parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": parameters,
            "part": part,
            "peak": rate_of(stage, part),  # type: ignore[arg-type]
            "weight_decay": stage.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]
    return torch.optim.AdamW(described, lr=0.0, betas=(stage.beta1, stage.beta2))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """The rate of every group: its peak times the schedule's factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rates as they stand, by part."""
    return {group["part"]: group["lr"] for group in optimizer.param_groups}


def fill_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Zero for every gradient that no sample gave."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def clip(parameters: Iterable[nn.Parameter], largest: float) -> float:
    """Shorten the gradient of all parameters together to `largest`; returns its length before."""
    return float(nn.utils.clip_grad_norm_(parameters, largest))
