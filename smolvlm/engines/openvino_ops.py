"""The building blocks both OpenVINO graphs share: constants, linear layers, attention heads.

Each is written in the form that OpenVINO's CPU plugin recognises and replaces by one fast kernel.
What the blocks are put together to is the business of `openvino_vision.py` and `openvino_text.py`.

Letters: N samples, L rows of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from smolvlm.quant.schemes import BLOCK_ROWS, Scheme, quantize_blocks
from smolvlm.weights.packed import Packed, pack_nibbles
from smolvlm.weights.quantized import InputRange
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

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        narrow: bool = False,
        schemes: Mapping[str, Scheme] | None = None,
        wide: str | None = None,
    ) -> None:
        """narrow: matrices become bfloat16 here, for a graph that computes in it anyway.

        schemes: matrices to quantise here, by name; those a folder has quantised stay as they are.
        wide: how the names of matrices end that become bfloat16 even where a folder or a scheme
        has them in codes.
        """
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.kept: list[NDArray[Any]] = []
        self._narrow = narrow
        self._wide = wide
        self._schemes = schemes or {}
        self._limited: tuple[Node, InputRange, Node] | None = None

    def stored(self, name: str) -> Node:
        """A tensor as float32; without a copy, in the checkpoint's memory map, unless narrowed.

        Of a quantised matrix the codes become the constant, and the plugin keeps them so.
        """
        wide = self._wide is not None and name.endswith(self._wide)
        packed = None if wide else self._packed(name)
        if packed is not None:
            return self._codes(packed)
        raw, dtype = self._values(name)
        constant = self._constant(raw, raw.shape, _TYPES[dtype])
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
        limits = self.checkpoint.input_range(f"{name}.weight")
        if limits is not None:
            x = self._limit(x, limits)
        y = op.matmul(x, self.stored(f"{name}.weight"), False, True)  # (N, L, out)
        return op.add(y, self.stored(f"{name}.bias")) if bias else y

    def _values(self, name: str) -> tuple[NDArray[Any], str]:
        """The numbers of a tensor as they become a constant, and their type."""
        if self.checkpoint.bits(name):  # in codes, but wanted wide
            return to_bf16_bits(self.checkpoint.f32(name)), "BF16"
        raw, dtype = self.checkpoint.raw(name), self.checkpoint.dtype(name)
        if self._narrow and dtype == "F32" and raw.ndim > 1:
            return to_bf16_bits(raw), "BF16"
        return raw, dtype

    def _packed(self, name: str) -> Packed | None:
        """A matrix as it is quantised, in its folder or here; None when it is neither."""
        packed = self.checkpoint.packed(name)
        if packed is None and name in self._schemes:
            blocks = self.checkpoint.f32_blocks(name, BLOCK_ROWS)
            return quantize_blocks(blocks, self._schemes[name])
        return packed

    def _codes(self, packed: Packed) -> Node:
        """(code - zero) * scale, in the form that the plugin recognises as stored weights: (R, C).

        4-bit codes without zero points become signed, as the kernels have a shorter way for those.
        """
        (rows, cols), groups = packed.shape, packed.scales.shape[1]
        shape = [rows, cols] if groups == 1 else [rows, groups, packed.group]
        ones = [*shape[:-1], 1]
        codes, kind = packed.codes, ov.Type.i8
        if packed.bits == 4:
            signed = packed.zeros is None
            # Less 8, in two's complement.
            codes, kind = (codes ^ 0x88, ov.Type.i4) if signed else (codes, ov.Type.u4)
        y = op.convert(self._constant(codes, shape, kind), "f32")
        if packed.zeros is not None:
            flat = packed.zeros.reshape(1, -1)  # (R, G) -> (1, R * G)
            nibbles = pack_nibbles(np.pad(flat, ((0, 0), (0, flat.size % 2))))
            y = op.subtract(y, op.convert(self._constant(nibbles, ones, ov.Type.u4), "f32"))
        y = op.multiply(y, floats(packed.scales.reshape(ones)))
        return y if groups == 1 else op.reshape(y, integers([rows, cols]), False)

    def _constant(self, values: NDArray[Any], shape: Sequence[int], kind: ov.Type) -> Node:
        self.kept.append(values)
        return ov.op.Constant(ov.Tensor(values, ov.Shape(list(shape)), kind))

    def _limit(self, x: Node, limits: InputRange) -> Node:
        """Round x to 256 values of a fixed range, which tells the plugin to compute in int8.

        Layers that read the same x in the same range share the node: it is rounded once.
        """
        if self._limited is None or self._limited[0] is not x or self._limited[1] != limits:
            low, high = floats(limits.low), floats(limits.high)
            self._limited = (x, limits, op.fake_quantize(x, low, high, low, high, 256))
        return self._limited[2]


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
