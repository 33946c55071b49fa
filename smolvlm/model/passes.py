"""What training on a CPU spends its time on besides products: activations, a tower's attention.

With bfloat16 on a CPU that has matrix tiles these run in kernels of our own, `passes.h` and
`attention_back.h` of `native/csrc`: PyTorch's tanh-GELU takes twice their time there, and its
attention, which copies every array it reads, three times (`benchmarks/training_passes.py`).
Everywhere else PyTorch computes the same. The kernels are exact to 1e-4 before they round to
bfloat16, which costs forty times that. In inference mode, as the PyTorch engine runs, they are left
out: that engine is the readable one.

Letters: B samples, L tokens, A heads, W width of one head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from smolvlm.native import build

LEAST = 1 << 14  # values from which a kernel of our own is worth its call
ROWS, WIDTHS = 32, range(32, 257, 32)  # what `attention_back.h` asks of L, as a factor, and of W


def gelu(x: Tensor) -> Tensor:
    """The tanh form of GELU of (...)."""
    if _in_kernels(x):
        result: Tensor = _Gelu.apply(x.contiguous())  # type: ignore[no-untyped-call]
        return result
    return F.gelu(x, approximate="tanh")


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, of two tensors of one shape."""
    if _in_kernels(gate):
        parts = gate.contiguous(), up.contiguous()
        result: Tensor = _Gated.apply(*parts)  # type: ignore[no-untyped-call]
        return result
    return F.silu(gate) * up


def attend_to_all(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor | None:
    """Attention in which all see all, three times (B, L, A*W) -> (B, L, A*W).

    None where it is not for the kernels: the caller then computes it as always.
    """
    rows, width = queries.shape[1], queries.shape[2] // heads
    if not _in_kernels(queries) or rows % ROWS or width not in WIDTHS:
        return None
    parts = (x.contiguous() for x in (queries, keys, values))
    result: Tensor = _Attend.apply(*parts, heads)  # type: ignore[no-untyped-call]
    return result


def _in_kernels(x: Tensor) -> bool:
    return (
        not torch.is_inference_mode_enabled()
        and x.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and x.numel() >= LEAST
        and not torch.compiler.is_compiling()
        and build.obstacle() is None
    )


def _call(name: str, tensors: tuple[Tensor, ...], *sizes: int) -> None:
    from smolvlm.native.library import library  # compiles the kernels where they are not yet

    pointers = (tensor.data_ptr() for tensor in tensors)
    getattr(library(), name)(*pointers, *sizes, torch.get_num_threads())


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        ctx.save_for_backward(x)
        result = torch.empty_like(x)
        _call("smolvlm_gelu", (x, result), x.numel())
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient of x."""
        (x,) = ctx.saved_tensors
        result = torch.empty_like(x)
        _call("smolvlm_gelu_gradient", (x, grads[0].contiguous(), result), x.numel())
        return result


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """Two (...) -> (...)."""
        ctx.save_for_backward(gate, up)
        result = torch.empty_like(gate)
        _call("smolvlm_gated", (gate, up, result), gate.numel())
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of gate and up."""
        gate, up = ctx.saved_tensors
        result = torch.empty_like(gate), torch.empty_like(up)
        _call("smolvlm_gated_gradients", (gate, up, grads[0].contiguous(), *result), gate.numel())
        return result


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
        """Three (B, L, A*W) -> (B, L, A*W)."""
        count, rows, width = queries.shape
        mixed = torch.empty_like(queries)
        logs = torch.empty(count, heads, rows)  # float32: of each query's sum of shares
        ctx.sizes = (count, rows, heads, width // heads)
        _call("smolvlm_attend", (queries, keys, values, mixed, logs), *ctx.sizes)
        ctx.save_for_backward(queries, keys, values, mixed, logs)
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradients of queries, keys and values."""
        queries, keys, values, mixed, logs = ctx.saved_tensors
        results = torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)
        arrays = (queries, keys, values, mixed, grads[0].contiguous(), logs, *results)
        _call("smolvlm_attend_gradients", arrays, *ctx.sizes)
        return *results, None
