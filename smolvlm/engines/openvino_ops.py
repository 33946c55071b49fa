"""The building blocks both OpenVINO graphs share: constants, linear layers, attention heads.

Each is written in the form that OpenVINO's CPU plugin recognises and replaces by one fast kernel.
What the blocks are put together to is the business of `openvino_vision.py` and `openvino_text.py`.

Letters: N samples, L rows of a sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from smolvlm.weights.reader import Checkpoint
from smolvlm.weights.writer import to_bf16_bits

# An operation or one output of it. OpenVINO's own class says nothing more to a type checker.
Node = Any

_TYPES = {"F32": ov.Type.f32, "F16": ov.Type.f16, "BF16": ov.Type.bf16}
# Under this key the plugin looks up whether a conversion unpacks stored weights. Weights so marked
# keep their stored type until a kernel packs them; others become float32 constants first (measured
# on the 256M: 560 MB more). A plugin that knows no such key only takes the longer way.
_UNPACKS = "decompression_0"


class Weights:
    """The tensors of a checkpoint as graph constants.

    The constants point into `kept`, and OpenVINO does not hold on to it: a graph, and whatever was
    compiled from it, may be used as long as its `Weights` live.
    """

    def __init__(self, checkpoint: Checkpoint, *, narrow: bool = False) -> None:
        """narrow: matrices become bfloat16 here, for a graph that computes in it anyway."""
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.kept: list[NDArray[Any]] = []
        self._narrow = narrow

    def stored(self, name: str) -> Node:
        """A tensor as float32; without a copy, in the checkpoint's memory map, unless narrowed."""
        raw, dtype = self.checkpoint.raw(name), self.checkpoint.dtype(name)
        if self._narrow and dtype == "F32" and raw.ndim > 1:
            raw, dtype = to_bf16_bits(raw), "BF16"
        self.kept.append(raw)
        constant = ov.op.Constant(ov.Tensor(raw, ov.Shape(raw.shape), _TYPES[dtype]))
        if dtype == "F32":
            return constant
        unpacked = op.convert(constant, "f32")
        unpacked.get_rt_info()[_UNPACKS] = ""
        return unpacked

    def f32(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32 values, to compute other constants from."""
        return self.checkpoint.f32(name)

    def linear(self, x: Node, name: str, *, bias: bool = False) -> Node:
        """Multiply x (N, L, in) by `name`.weight (out, in), add `name`.bias -> (N, L, out)."""
        y = op.matmul(x, self.stored(f"{name}.weight"), False, True)  # (N, L, out)
        return op.add(y, self.stored(f"{name}.bias")) if bias else y


def floats(values: Any) -> Node:
    """A float32 constant."""
    return op.constant(np.asarray(values, dtype=np.float32))


def integers(values: Any) -> Node:
    """An int64 constant: shapes, axes, indices."""
    return op.constant(np.asarray(values, dtype=np.int64))


def parameter(name: str, shape: list[int], dtype: Any) -> Node:
    """A named graph input; -1 is a size known only when the graph runs."""
    node = op.parameter(shape, dtype, name=name)
    node.output(0).set_names({name})
    return node


def result(x: Node, name: str) -> Node:
    """A named graph output."""
    x.output(0).set_names({name})
    return op.result(x)


def split_heads(x: Node, heads: int, width: int) -> Node:
    """(N, L, heads * width) -> (N, heads, L, width)."""
    x = op.reshape(x, integers([0, 0, heads, width]), True)  # (N, L, heads, width)
    return op.transpose(x, integers([0, 2, 1, 3]))  # (N, heads, L, width)


def merge_heads(x: Node, size: int) -> Node:
    """(N, heads, L, width) -> (N, L, size), where size = heads * width."""
    x = op.transpose(x, integers([0, 2, 1, 3]))  # (N, L, heads, width)
    return op.reshape(x, integers([0, 0, size]), True)  # (N, L, size)
