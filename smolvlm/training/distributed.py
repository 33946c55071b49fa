"""Several processes as one: who am I among them, and sums over all of us.

Under `torchrun` every process trains on its share of each step's samples; gradients are summed, not
averaged, because the loss was already divided by the tokens of all. The collectives are PyTorch's
own (gloo on CPUs, NCCL on GPUs). A process of its own is a world of one and calls none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from smolvlm.errors import InputError

BUCKET_BYTES = 64 * 2**20  # gradients are summed in pieces of this size


@dataclass(frozen=True)
class World:
    """One process among all of them."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """What every process holds, by rank; any picklable value."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Every gradient becomes the sum over all processes; all must have one."""
        if self.size == 1:
            return
        for bucket in _buckets(parameters):
            gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
            assert len(gradients) == len(bucket), "a parameter has no gradient"
            flat = torch.cat([gradient.flatten() for gradient in gradients])  # (all,)
            dist.all_reduce(flat)
            pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, piece in zip(gradients, pieces, strict=True):
                gradient.copy_(piece.view_as(gradient))

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()


def join_world(device: torch.device) -> World:
    """The world `torchrun` made, or one of this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), size)


def choose_device(wanted: str | None) -> torch.device:
    """A device by name; None takes this process's GPU if there is one."""
    if wanted is not None:
        return torch.device(wanted)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def use_threads(count: int) -> None:
    """How many threads of the CPU PyTorch computes with; `InputError` below 1."""
    if count < 1:
        raise InputError(f"threads is {count}; wanted at least 1")
    torch.set_num_threads(count)


def _buckets(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    buckets: list[list[nn.Parameter]] = [[]]
    size = 0
    for parameter in parameters:
        if size > BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel() * parameter.element_size()
    return [bucket for bucket in buckets if bucket]
