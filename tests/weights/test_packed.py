"""Codes in few bits: to values and back, against a slow twin and the library of the format."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.weights.packed import (
    Packed,
    check_parts,
    from_words,
    pack_nibbles,
    to_words,
    unpack_nibbles,
)


def example(bits: int, *, rows: int = 13, cols: int = 36, groups: int = 3, zeros: bool) -> Packed:
    rng = np.random.default_rng(bits)
    scales = rng.uniform(0.1, 2, (rows, groups)).astype(np.float32)
    scales = (scales.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    if bits == 8:
        codes = rng.integers(-128, 128, (rows, cols), dtype=np.int8)
        return Packed(codes, scales)
    nibbles = rng.integers(0, 16, (rows, cols), dtype=np.uint8)
    middle = rng.integers(0, 16, (rows, groups), dtype=np.uint8)
    return Packed(pack_nibbles(nibbles), scales, middle if zeros else None)


EXAMPLES = {
    "int8": example(8, groups=1, zeros=False),
    "int8 in groups": example(8, zeros=False),
    "int4": example(4, zeros=False),
    "int4 with zero points": example(4, zeros=True),
    "int4, whole words": example(4, rows=16, cols=64, groups=2, zeros=True),
}


def slow_values(packed: Packed) -> NDArray[np.float32]:
    """Each value from the bits of its byte."""
    rows, cols = packed.shape
    values = np.empty((rows, cols), dtype=np.float32)
    for r in range(rows):
        for c in range(cols):
            g = c // packed.group
            if packed.bits == 8:
                code, zero = int(packed.codes[r, c]), 0
            else:
                code = (int(packed.codes[r, c // 2]) >> (4 * (c % 2))) % 16
                zero = 8 if packed.zeros is None else int(packed.zeros[r, g])
            values[r, c] = (code - zero) * packed.scales[r, g]
    return values


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_are_those_of_the_slow_twin(name: str) -> None:
    packed = EXAMPLES[name]
    np.testing.assert_array_equal(packed.f32(), slow_values(packed))
    ids = np.array([4, 0, 4, 12])
    np.testing.assert_array_equal(packed.rows(ids), packed.f32()[ids])


def test_nibbles_come_back() -> None:
    codes = np.random.default_rng(0).integers(0, 16, (5, 8), dtype=np.uint8)
    packed = pack_nibbles(codes)
    assert packed.shape == (5, 4) and packed[0, 0] == codes[0, 0] + 16 * codes[0, 1]
    np.testing.assert_array_equal(unpack_nibbles(packed), codes)


def stored(parts: dict[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...]]]:
    kinds = {"int8": "I8", "int32": "I32", "int64": "I64", "float32": "F32"}
    return {end: (kinds[part.dtype.name], part.shape) for end, part in parts.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_parts_of_a_file_come_back(name: str) -> None:
    packed = EXAMPLES[name]
    parts = to_words(packed)
    check_parts(stored(parts), packed.shape)
    again = from_words(parts, packed.shape)
    assert (again.bits, again.group, again.shape) == (packed.bits, packed.group, packed.shape)
    np.testing.assert_array_equal(again.codes, packed.codes)
    np.testing.assert_array_equal(again.f32(), packed.f32())
    if packed.bits == 8 or packed.shape[1] % 8 == 0:
        assert np.shares_memory(again.codes, next(iter(parts.values())))


def test_one_scale_a_row_may_be_a_vector() -> None:
    packed = EXAMPLES["int8"]
    parts = to_words(packed) | {"_scale": packed.scales[:, 0]}
    check_parts(stored(parts), packed.shape)
    np.testing.assert_array_equal(from_words(parts, packed.shape).f32(), packed.f32())


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("int8", {"": ("I8", (13, 35))}, r"codes I8 \(13, 35\); wanted I8 \(13, 36\)"),
        ("int8", {"": ("F32", (13, 36))}, "codes F32"),
        ("int8", {"_scale": ("F32", (12, 1))}, "13 rows of them"),
        ("int8", {"_scale": ("I8", (13, 1))}, "in F32 or BF16 or F16"),
        ("int8", {"_scale": ("F32", (13, 5))}, "as divide 36"),
        ("int8", {"_scale": ("F32", (13, 0))}, "has scales"),
        ("int8", {"_scale": None}, "scales none"),
        ("int8", {"_shape": ("I64", (2,))}, "mean nothing here: _shape"),
        ("int4", {"_packed": ("I32", (13, 4))}, r"wanted I32 \(13, 5\)"),
        ("int4", {"_packed": None}, "codes none"),
        ("int4", {"_zero_point": ("I32", (13, 3))}, r"zero points.*wanted I32 \(2, 3\)"),
        ("int4", {"_g_idx": ("I32", (36,))}, "mean nothing here: _g_idx"),
    ],
)
def test_parts_that_do_not_fit(name: str, change: dict[str, Any], words: str) -> None:
    packed = EXAMPLES[name]
    parts = stored(to_words(packed)) | change
    with pytest.raises(ValueError, match=words):
        check_parts({end: part for end, part in parts.items() if part}, packed.shape)


def test_only_matrices_are_quantised() -> None:
    with pytest.raises(ValueError, match="3 axes"):
        check_parts({"": ("I8", (2, 2, 2))}, (2, 2, 2))


@pytest.mark.parametrize("name", EXAMPLES)
def test_bytes_on_the_disk(name: str) -> None:
    packed = EXAMPLES[name]
    rows, cols = packed.shape
    groups = packed.scales.shape[1]
    zeros = 0 if packed.zeros is None else rows * groups // 2
    assert packed.nbytes == rows * cols * packed.bits // 8 + rows * groups * 2 + zeros


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_library_of_the_format_reads_the_same_values(name: str) -> None:
    """`compressed-tensors` is where vLLM and transformers have their reading from."""
    pytest.importorskip("compressed_tensors")
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    from smolvlm.weights.quantized import describe

    packed = EXAMPLES[name]
    told = describe({"text_model.norm.weight": packed}, {})["config_groups"]["group_0"]
    compressor = BaseCompressor.get_value_from_registry(told["format"])
    state = {f"weight{end}": torch.from_numpy(part) for end, part in to_words(packed).items()}
    seen = compressor.decompress(state, QuantizationScheme(**told))["weight"]
    np.testing.assert_array_equal(seen.numpy(), packed.f32())
