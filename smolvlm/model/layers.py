"""The small pieces both towers are made of: RMSNorm, rotary positions, attention, gated MLP.

Module and parameter names follow the published tensors, so that a `state_dict` key is a tensor
name. What is computed in float32 whatever the weights' dtype (norm statistics, rotary angles)
follows the published classes: rounding the rotary frequencies to bfloat16 alone costs more than
every other rounding of a small model together.

Letters: B samples, L tokens, H width, A heads, G key/value heads, W width of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smolvlm.model.passes import gated


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis, in float32, then multiply by `weight`."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., H), in the dtype of `x`."""
        normed: Tensor = _Normed.apply(x, self.eps)  # type: ignore[no-untyped-call]
        return self.weight * normed


class _Normed(torch.autograd.Function):
    """x / rms(x), which keeps its narrow input for the backward pass and nothing else of its size.

    Left to autograd, the float32 steps in between are kept, and gone over once more each.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """(..., H) -> (..., H)."""
        wide = x.float()
        inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)  # (..., 1)
        ctx.save_for_backward(x, inverse)
        return (wide * inverse).type_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """d/dx of x r with r = rms(x)^-1: r (g - n mean(g n)), where n = x r."""
        x, inverse = ctx.saved_tensors
        normed, grad = x.float() * inverse, grads[0].float()  # (..., H)
        along = (grad * normed).mean(-1, keepdim=True)  # (..., 1)
        return grad.addcmul(normed, along, value=-1).mul_(inverse).type_as(x), None


class GatedMLP(nn.Module):
    """The SwiGLU feed-forward of the language model, without biases."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        mixed: Tensor = self.down_proj(gated(self.gate_proj(x), self.up_proj(x)))
        return mixed


def rotary_table(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `positions` int64 (B, L): two float32 (B, 1, L, W/2), 1 for the heads.

    Computed from scratch each time: there is no buffer that `module.to(torch.bfloat16)` could
    round.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim  # (W/2,)
    frequencies = 1.0 / theta**exponents
    angles = positions.float()[:, None, :, None] * frequencies  # (B, 1, L, W/2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn (B, A, L, W) by its positions in the rotate-half form: channel j pairs with j + W/2."""
    cos, sin = table
    first, second = x.float().chunk(2, dim=-1)  # 2 x (B, A, L, W/2)
    turned = torch.cat(
        (first * cos - second * sin, second * cos + first * sin), dim=-1
    )  # (B, A, L, W)
    return turned.type_as(x)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, A*W) -> (B, A, L, W)."""
    batch, length, _ = x.shape
    return x.view(batch, length, heads, -1).transpose(1, 2)  # (B, L, A, W) -> (B, A, L, W)


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor | None, causal: bool = False
) -> Tensor:
    """Scaled dot-product attention of every head, joined again: (B, L, A*W).

    queries: (B, A, L, W). keys, values: (B, G, T, W); query head a reads key head a // (A/G).
    mask: bool, broadcast to (B, A, L, T), True where a query may look; None is everywhere.
    causal: query i sees keys 0..i; only with L == T and no mask.
    """
    # On a CPU the backward pass of the fused call costs several times what plain products cost at
    # the lengths that are trained (benchmarks/attention_backward.py).
    if queries.requires_grad and queries.device.type == "cpu":
        mixed = attend_plainly(queries, keys, values, mask=mask, causal=causal)
    else:
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            is_causal=causal,
            enable_gqa=queries.shape[1] != keys.shape[1],
        )  # (B, A, L, W)
    return mixed.transpose(1, 2).flatten(2)  # (B, L, A, W) -> (B, L, A*W)


def attend_plainly(
    queries: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor | None, causal: bool
) -> Tensor:
    """What the fused call computes, in plain products: (B, A, L, W).

    Scores and their softmax are kept in the dtype of the queries, as in the published classes'
    plain form; PyTorch sums the softmax in float32 whatever that is.
    """
    shared = queries.shape[1] // keys.shape[1]
    keys, values = (x.repeat_interleave(shared, dim=1) for x in (keys, values))  # (B, A, T, W)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(2, 3)  # (B, A, L, T)
    if causal:
        rows, cols = scores.shape[2:]
        mask = torch.ones(rows, cols, dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    mixed: Tensor = scores.softmax(-1) @ values
    return mixed
