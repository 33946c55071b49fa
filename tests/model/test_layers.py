"""The small pieces against loops, complex numbers and float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from smolvlm.model.layers import (
    GatedMLP,
    RMSNorm,
    attend,
    attend_plainly,
    rotary_table,
    rotate,
    split_heads,
)
from tests import naive

THETA = 100000.0


def test_rms_norm_is_the_definition() -> None:
    norm = RMSNorm(24, eps=1e-5)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 5, 24)
    wide = x.double()
    wanted = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight.double()
    torch.testing.assert_close(norm(x).double(), wanted, rtol=1e-6, atol=1e-6)


def test_rms_norm_takes_its_statistics_in_float32() -> None:
    """bfloat16 squares of values near 1000 lose the small ones; the mean must not."""
    x = torch.full((1, 4096), 0.5, dtype=torch.bfloat16)
    x[0, 0] = 1000.0
    norm = RMSNorm(4096, eps=1e-5).to(torch.bfloat16)
    scale = (x.double().pow(2).mean() + 1e-5).sqrt()
    assert norm(x).dtype == torch.bfloat16
    torch.testing.assert_close(norm(x)[0, 1].double(), 0.5 / scale, rtol=4e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rms_norm_has_the_gradients_of_its_definition(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm = RMSNorm(12, eps=1e-5)
    norm.weight.data.normal_()
    x, up = torch.randn(2, 5, 12).to(dtype), torch.randn(2, 5, 12)

    def gradients(compute: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        at = x.clone().requires_grad_()
        return torch.autograd.grad((compute(at) * up).sum(), (at, norm.weight))

    def plain(at: Tensor) -> Tensor:
        wide = at.float()
        return norm.weight * (wide * (wide.square().mean(-1, keepdim=True) + 1e-5) ** -0.5)

    for seen, wanted in zip(gradients(norm), gradients(plain), strict=True):
        assert seen.dtype == wanted.dtype
        loose = dtype == torch.bfloat16
        torch.testing.assert_close(
            seen, wanted, rtol=0.02 if loose else 1e-5, atol=1e-5 + 0.05 * loose
        )


@pytest.mark.parametrize("position", [0, 1, 77, 16383])
def test_rotate_is_a_turn_of_complex_numbers(position: int) -> None:
    x = torch.randn(1, 3, 1, 16)
    seen = rotate(x, rotary_table(torch.tensor([[position]]), 16, THETA))
    for head in range(3):
        wanted = naive.rotate(x[0, head, 0], position, THETA)
        # Angles of thousands of radians in float32: about 1e-3 of a radian is all there is.
        torch.testing.assert_close(seen[0, head, 0].double(), wanted, rtol=0, atol=4e-3)


def test_rotary_angles_stay_float32_for_bfloat16_inputs() -> None:
    table = rotary_table(torch.arange(300)[None], 64, THETA)
    assert table[0].dtype == table[1].dtype == torch.float32
    x = torch.randn(1, 1, 300, 64).bfloat16()
    wanted = rotate(x.float(), table)
    assert rotate(x, table).dtype == torch.bfloat16
    torch.testing.assert_close(rotate(x, table).float(), wanted, rtol=8e-3, atol=1e-6)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (3, 1)])
def test_attend_matches_loops(heads: int, kv_heads: int) -> None:
    queries, keys, values = (torch.randn(2, n, 7, 8) for n in (heads, kv_heads, kv_heads))
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    seen = attend(queries, keys, values, mask=None, causal=True)
    masked = attend(queries, keys, values, mask=causal[None, None])
    for sample in range(2):
        wanted = naive.attention(queries[sample], keys[sample], values[sample], causal)
        torch.testing.assert_close(seen[sample].double(), wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(masked[sample].double(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_attention_under_training_is_the_same_with_the_same_gradients(
    kv_heads: int, masked: bool
) -> None:
    """Training on a CPU takes plain products; values and gradients are those of the fused call."""
    mask = torch.rand(2, 1, 9, 9) < 0.5 if masked else None
    if mask is not None:
        mask |= torch.eye(9, dtype=torch.bool)
    inputs = [torch.randn(2, n, 9, 8, requires_grad=True) for n in (4, kv_heads, kv_heads)]
    seen = attend(*inputs, mask=mask, causal=not masked)
    plain = attend_plainly(*inputs, mask=mask, causal=not masked)
    fused = torch.nn.functional.scaled_dot_product_attention(
        *inputs, attn_mask=mask, is_causal=not masked, enable_gqa=True
    )
    assert torch.equal(seen, plain.transpose(1, 2).flatten(2))
    torch.testing.assert_close(plain, fused)
    weights = torch.randn_like(fused)
    gradients = [torch.autograd.grad((x * weights).sum(), inputs) for x in (plain, fused)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_split_heads_keeps_each_head_together() -> None:
    x = torch.arange(2 * 3 * 8).view(2, 3, 8)
    heads = split_heads(x, 2)  # (2, 2, 3, 4)
    assert torch.equal(heads[1, 1, 2], x[1, 2, 4:])


def test_gated_mlp() -> None:
    mlp = GatedMLP(6, 10)
    x = torch.randn(4, 6)
    gate, up = x @ mlp.gate_proj.weight.T, x @ mlp.up_proj.weight.T
    wanted = (gate / (1 + (-gate).exp()) * up) @ mlp.down_proj.weight.T
    torch.testing.assert_close(mlp(x), wanted)
