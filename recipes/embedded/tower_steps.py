"""Steps that train a tower and its connector alone: which parameters, at which rates, and how.

The parameters are float32; what is computed is computed by a bfloat16 copy of the tower, whose
activations of half the size are worth 2.5 times the speed. The loss is left to `align` and `dense`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from smolvlm.model.smolvlm import SmolVLM


class Rates(Protocol):
    """What a stage's settings say of the tower; rates of blocks fall from the last to the first."""

    @property
    def frozen_layers(self) -> int:
        """First blocks that stay as they are."""
        ...

    @property
    def tower_rate(self) -> float:
        """Of the last block."""
        ...

    @property
    def layer_decay(self) -> float:
        """What a block has of the rate of the next one."""
        ...

    @property
    def connector_rate(self) -> float:
        """Of the connector."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of matrices of the tower."""
        ...

    @property
    def clip(self) -> float:
        """Largest norm of all gradients."""
        ...


class TowerSteps:
    """The tower of a network from block `frozen_layers` on, its connector, and what else learns.

    more: parameters with their rates.
    """

    def __init__(
        self,
        network: SmolVLM,
        more: Sequence[tuple[Sequence[nn.Parameter], float]],
        rates: Rates,
    ) -> None:
        self.network, self.clip = network, rates.clip
        tower, connector = network.vision_model, network.connector
        layers = [*tower.encoder.layers[rates.frozen_layers :], tower.post_layernorm]
        network.requires_grad_(False)
        for module in (*layers, connector):
            module.requires_grad_(True)
        groups: list[dict[str, object]] = [
            {
                "params": [*connector.parameters()],
                "peak": rates.connector_rate,
                "weight_decay": 0.0,
            },
            *({"params": [*own], "peak": rate, "weight_decay": 0.0} for own, rate in more),
        ]
        for distance, layer in enumerate(reversed(layers)):
            rate = rates.tower_rate * rates.layer_decay ** max(distance - 1, 0)
            for many, decay in ((True, rates.weight_decay), (False, 0.0)):
                params = [p for p in layer.parameters() if (p.ndim > 1) == many]
                if params:
                    groups.append({"params": params, "peak": rate, "weight_decay": decay})
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.copy = copy.deepcopy(tower).to(torch.bfloat16)

    def pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Trained parameters of the tower and of its copy."""
        both = zip(self.network.vision_model.parameters(), self.copy.parameters(), strict=True)
        return ((master, own) for master, own in both if master.requires_grad)

    def narrow(self) -> None:
        """Let the copy be what the tower is now."""
        self.copy.load_state_dict(self.network.vision_model.state_dict())

    def descend(self, factor: float) -> None:
        """One update by the gradients there are, at `factor` of the rates."""
        for master, own in self.pairs():
            assert own.grad is not None
            master.grad, own.grad = own.grad.float(), None
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(params, self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for master, own in self.pairs():
                own.copy_(master)


def rate_factor(progress: float, warm_up: float) -> float:
    """Linear warm-up, then a cosine to a fiftieth; `progress` is the share that is over."""
    if progress < warm_up:
        return progress / warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
