"""Samples of different lengths one behind another in a single row, each attending to itself only.

What is done token by token (projections, norms, the MLP) then runs without a token of padding;
attention alone spreads the row out to one sample a line. There the padding stands behind the real
tokens, where a causal mask hides it, so the block-diagonal attention needs no mask of its own and
every attention kernel can compute it.

Letters: S samples, M the longest of them, L tokens of the row (the sum of all lengths).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Where the samples of a row stand.

    lengths: of the samples, in order. positions: int64 (L,), from 0 in each sample. places: int64
    (L,), where each token stands among the S*M of the spread row.
    """

    lengths: tuple[int, ...]
    positions: Tensor
    places: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | str = "cpu") -> Segments:
        """The segments of samples of these lengths; none may be empty."""
        assert lengths and min(lengths) > 0, lengths
        longest = max(lengths)
        positions = torch.cat([torch.arange(n) for n in lengths])  # (L,)
        starts = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))  # (L,)
        places = starts * longest + positions
        return cls(tuple(lengths), positions.to(device), places.to(device))

    def spread(self, x: Tensor) -> Tensor:
        """(1, A, L, W) -> (S, A, M, W), zeros behind each sample's end."""
        _, heads, _, width = x.shape
        rows, longest = len(self.lengths), max(self.lengths)
        tokens = x[0].transpose(0, 1)  # (A, L, W) -> (L, A, W)
        spread = x.new_zeros(rows * longest, heads, width).index_copy(0, self.places, tokens)
        return spread.view(rows, longest, heads, width).transpose(1, 2)  # (S, A, M, W)

    def gather(self, x: Tensor) -> Tensor:
        """(S, M, C) -> (1, L, C): the real tokens again in one row."""
        row: Tensor = _Gather.apply(x.flatten(0, 1), self.places)  # type: ignore[no-untyped-call]
        return row[None]  # (L, C) -> (1, L, C)


class _Gather(torch.autograd.Function):
    """`x[places]` for places that all differ.

    The library's own backward adds up gradients as if places could repeat, which on a CPU costs
    several times what copying them does.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        """(S*M, C), (L,) -> (L, C)."""
        ctx.save_for_backward(places)
        ctx.rows = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """(L, C) -> (S*M, C)."""
        (grad,) = grads
        (places,) = ctx.saved_tensors
        return grad.new_zeros(ctx.rows, grad.shape[1]).index_copy_(0, places, grad), None
