"""The kernels as Python calls them: the structs of `csrc/` and the functions of `kernels.cpp`.

Memory belongs to the caller throughout: whoever hands an array in keeps it until the call, or the
object made from it, is done with. `pointer` gives an address; nothing here copies.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_double, c_float, c_int, c_size_t, c_void_p
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import EngineError
from smolvlm.native.build import library_path

# As in `amx.h`: outputs and inputs of a packed matrix are multiples of these.
PANEL, GROUP, TILE_N, TILE_K = 32, 64, 16, 32
LINE = 64  # bytes of a line of the processor's cache


class Matrix(Structure):
    """`Matrix` of `amx.h`: packed weights, wide or in codes."""

    _fields_ = [
        ("n", c_int),
        ("k", c_int),
        ("wide", c_void_p),
        ("codes", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
    ]


class TowerLayer(Structure):
    """`TowerLayer` of `tower.h`."""

    _fields_ = [
        *((name, c_void_p) for name in ("norm1", "norm1_bias", "norm2", "norm2_bias")),
        *((name, Matrix) for name in ("qkv", "out", "up", "down")),
    ]


class TowerShape(Structure):
    """`TowerShape` of `tower.h`."""

    _fields_ = [
        *(
            (name, c_int)
            for name in (
                "side", "patch", "grid", "width", "heads", "layers", "inner", "shuffle",
                "tokens_width",
            )
        ),
        ("eps", c_float),
    ]  # fmt: skip


class DecoderLayer(Structure):
    """`DecoderLayer` of `decoder.h`."""

    _fields_ = [
        ("norm1", c_void_p),
        ("norm2", c_void_p),
        *((name, Matrix) for name in ("qkv", "out", "gate_up", "down")),
    ]


class DecoderShape(Structure):
    """`DecoderShape` of `decoder.h`."""

    _fields_ = [
        *(
            (name, c_int)
            for name in (
                "width", "heads", "kv_heads", "head_width", "layers", "inner", "vocabulary",
            )
        ),
        ("eps", c_float),
    ]  # fmt: skip


class Segment(Structure):
    """`Segment` of `decoder.h`: the new tokens of one conversation."""

    _fields_ = [
        ("keys", c_void_p),
        ("values", c_void_p),
        *((name, c_int) for name in ("capacity", "past", "count", "first_wanted")),
    ]


def pointer(array: NDArray[Any] | None) -> int | None:
    """The address of an array's first number; None for None."""
    if array is None:
        return None
    assert array.flags.c_contiguous, "the kernels read arrays row by row"
    return array.ctypes.data


def aligned(shape: Sequence[int], kind: Any) -> NDArray[Any]:
    """Zeros that begin at a line of the cache: tiles across two lines load three times as long."""
    size = prod(shape) * np.dtype(kind).itemsize
    held = np.zeros(size + LINE, dtype=np.uint8)
    start = -held.ctypes.data % LINE
    array: NDArray[Any] = held[start : start + size].view(kind).reshape(shape)
    return array


def padded(count: int, to: int) -> int:
    """The count rounded up to a multiple."""
    return -(-count // to) * to


@cache
def library() -> ctypes.CDLL:
    """The library, loaded, and allowed to use the processor's tiles; `EngineError` when not."""
    try:
        found = ctypes.CDLL(str(library_path()))
    except OSError as error:
        raise EngineError(f"the compiled kernels cannot be loaded: {error}") from None
    for name, kinds in (
        ("smolvlm_pack", (c_void_p, c_int, c_int, c_void_p)),
        ("smolvlm_pack_codes", (c_void_p, c_int, c_int, c_void_p, c_void_p)),
        ("smolvlm_encode", (c_void_p, c_void_p, c_int, c_void_p, c_int)),
        ("smolvlm_decode", (c_void_p, POINTER(Segment), c_int, c_void_p, c_void_p, c_int)),
        ("smolvlm_gelu", (c_void_p, c_void_p, c_size_t, c_int)),
        ("smolvlm_gelu_gradient", (c_void_p,) * 3 + (c_size_t, c_int)),
        ("smolvlm_gated", (c_void_p,) * 3 + (c_size_t, c_int)),
        ("smolvlm_gated_gradients", (c_void_p,) * 5 + (c_size_t, c_int)),
        ("smolvlm_attend", (c_void_p,) * 5 + (c_int,) * 5),
        ("smolvlm_attend_gradients", (c_void_p,) * 9 + (c_int,) * 5),
        ("smolvlm_close_tower", (c_void_p,)),
        ("smolvlm_close_decoder", (c_void_p,)),
    ):
        function = getattr(found, name)
        function.argtypes, function.restype = kinds, None
    found.smolvlm_tower.restype = found.smolvlm_decoder.restype = c_void_p
    found.smolvlm_tile_rate.restype, found.smolvlm_tile_rate.argtypes = c_double, (c_int,)
    found.smolvlm_tower.argtypes = (
        POINTER(TowerShape), c_void_p, c_void_p, POINTER(Matrix), POINTER(TowerLayer), c_void_p,
        c_void_p, POINTER(Matrix),
    )  # fmt: skip
    found.smolvlm_decoder.argtypes = (
        POINTER(DecoderShape), c_void_p, c_void_p, POINTER(DecoderLayer), c_void_p, POINTER(Matrix),
    )  # fmt: skip
    if found.smolvlm_start():
        raise EngineError("the system does not let this process use the CPU's matrix tiles")
    return found


def pack(weight: NDArray[np.float32]) -> NDArray[np.uint16]:
    """A matrix (N, K) in the order of the tiles, as the bits of bfloat16."""
    rows, columns = weight.shape
    to = aligned((padded(rows, PANEL) * padded(columns, GROUP),), np.uint16)
    weight = np.ascontiguousarray(weight)
    library().smolvlm_pack(pointer(weight), rows, columns, pointer(to))
    return to


def pack_codes(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """A matrix (N, K) rounded to 8 bits, in the order of the tiles; a scale for 64 inputs."""
    rows, columns = weight.shape
    count = padded(rows, PANEL) * padded(columns, GROUP)
    codes, scales = aligned((count,), np.int8), aligned((count // GROUP,), np.float16)
    weight = np.ascontiguousarray(weight)
    library().smolvlm_pack_codes(pointer(weight), rows, columns, pointer(codes), pointer(scales))
    return codes, scales


def tile_rate(threads: int) -> float:
    """Multiplications and additions a second that the processor's tiles make at best."""
    return float(library().smolvlm_tile_rate(threads))
