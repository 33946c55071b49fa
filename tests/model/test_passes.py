"""The passes of training in kernels of our own: values and gradients are PyTorch's, in bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from smolvlm.model import passes
from smolvlm.model.layers import attend, split_heads
from smolvlm.native import build

TOLERANCE = 0.006  # of the norm; rounding to bfloat16 alone costs 0.002, PyTorch's passes 0.004
needs_kernels = pytest.mark.skipif(
    build.obstacle() is not None, reason=f"kernels cannot run: {build.obstacle()}"
)


def narrow(*shape: int, count: int = 1) -> list[Tensor]:
    torch.manual_seed(sum(shape))
    return [torch.randn(*shape).to(torch.bfloat16).requires_grad_() for _ in range(count)]


def agree(
    own: Callable[..., Tensor], reference: Callable[..., Tensor], inputs: list[Tensor]
) -> None:
    """Values and all gradients, against float32."""
    wide = [x.detach().float().requires_grad_() for x in inputs]
    result, wanted = own(*inputs), reference(*wide)
    grad = torch.randn_like(wanted).to(torch.bfloat16)
    result.backward(grad)
    wanted.backward(grad.float())
    pairs = [(result, wanted), *((x.grad, y.grad) for x, y in zip(inputs, wide, strict=True))]
    for one, other in pairs:
        assert one is not None and other is not None
        assert one.dtype == torch.bfloat16
        assert (one.float() - other).norm() <= TOLERANCE * other.norm()


@needs_kernels
@pytest.mark.parametrize("shape", [(20, 1024), (3, 5, 1217)])
def test_gelu(shape: tuple[int, ...]) -> None:
    agree(passes.gelu, lambda x: F.gelu(x, approximate="tanh"), narrow(*shape))


@needs_kernels
@pytest.mark.parametrize("shape", [(20, 1024), (3, 5, 1217)])
def test_gated(shape: tuple[int, ...]) -> None:
    agree(passes.gated, lambda g, u: F.silu(g) * u, narrow(*shape, count=2))


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("count", "rows", "heads", "width"), [(3, 256, 2, 64), (2, 320, 3, 32)])
def test_attention(threads: int, count: int, rows: int, heads: int, width: int) -> None:
    def own(*parts: Tensor) -> Tensor:
        result = passes.attend_to_all(*parts, heads)
        assert result is not None
        return result

    def plain(*parts: Tensor) -> Tensor:
        return attend(*(split_heads(x, heads) for x in parts), mask=None)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        agree(own, plain, narrow(count, rows, heads * width, count=3))
    finally:
        torch.set_num_threads(before)


@needs_kernels
def test_a_gradient_in_another_order_is_read_right() -> None:
    (x,) = narrow(128, 256)
    passes.gelu(x).T.contiguous().sum().backward()
    wide = x.detach().float().requires_grad_()
    F.gelu(wide, approximate="tanh").sum().backward()
    assert x.grad is not None and wide.grad is not None
    assert (x.grad.float() - wide.grad).norm() <= TOLERANCE * wide.grad.norm()


@needs_kernels
def test_products_of_pytorch_stay_right_in_between() -> None:
    """Both use the processor's tiles, in the same threads."""
    (x,) = narrow(2, 256, 128)
    weight = torch.randn(128, 128).to(torch.bfloat16)
    first = x @ weight
    passes.attend_to_all(x, x, x, 2)
    assert torch.equal(x @ weight, first)


def test_what_the_kernels_do_not_take_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = narrow(2, 256, 128)
    (odd,) = narrow(2, 250, 128)
    assert passes.attend_to_all(odd, odd, odd, 2) is None
    assert passes.attend_to_all(x, x, x, 128) is None, "heads of one number"
    with torch.inference_mode():
        assert passes.attend_to_all(x, x, x, 2) is None, "the readable engine"
    monkeypatch.setattr(build, "obstacle", lambda: "no tiles")
    assert passes.attend_to_all(x, x, x, 2) is None
    torch.testing.assert_close(passes.gelu(x), F.gelu(x, approximate="tanh"), rtol=0, atol=0)
    torch.testing.assert_close(passes.gated(x, x), F.silu(x) * x, rtol=0, atol=0)
