"""Rounding to codes: against a slow twin, the limits of each scheme, and what rounding cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smolvlm.errors import CheckpointError, UnknownNameError
from smolvlm.quant import schemes
from smolvlm.quant.schemes import INT8, Scheme, output_error, quantize, weight_error
from tests.quant.slow_rounding import round_matrix

NAMES = ("int8", "int8-inputs", "int4-32", "int4-64", "int4-96-asym", "int4-128", "int4-32-asym")


def matrix(rows: int = 24, cols: int = 384, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, cols), dtype=np.float32) * rng.uniform(0.01, 3, (rows, 1))


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back(name: str) -> None:
    assert str(Scheme.parse(name)) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_matrix_tells_its_scheme(name: str) -> None:
    scheme = Scheme.parse(name)
    packed = quantize(matrix().astype(np.float32), scheme)
    assert schemes.scheme_of(packed, inputs=scheme.inputs) == scheme


@pytest.mark.parametrize("name", ["int3", "int4", "int4-16", "int4-64-sym", "int8-64", "", "keep"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownNameError, match="int8, int8-inputs, and int4-G"):
        Scheme.parse(name)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_slow_twin(name: str) -> None:
    scheme = Scheme.parse(name)
    values = matrix().astype(np.float32)
    values[3] += 2.0  # a row far from zero: without a zero point half of the codes go unused
    values[5] = np.abs(values[5])
    values[7] = 0.0
    values[9, 40] = 90.0  # an outlier
    packed = quantize(values, scheme)
    wanted = round_matrix(values, scheme.bits, scheme.group, scheme.symmetric)
    np.testing.assert_allclose(packed.f32(), wanted, rtol=1e-6, atol=0)
    assert packed.shape == values.shape and packed.group == (scheme.group or 384)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = matrix().astype(np.float32)
    for name in NAMES:
        whole = quantize(values, Scheme.parse(name))
        with monkeypatch.context() as patch:
            patch.setattr(schemes, "BLOCK_ROWS", 7)
            parts = quantize(values, Scheme.parse(name))
        assert np.array_equal(whole.codes, parts.codes)
        assert np.array_equal(whole.f32(), parts.f32())


@pytest.mark.parametrize("name", NAMES)
def test_no_value_moves_by_more_than_half_a_step(name: str) -> None:
    scheme = Scheme.parse(name)
    values = matrix(seed=1).astype(np.float32)
    packed = quantize(values, scheme)
    moved = np.abs(packed.f32() - values).reshape(*packed.scales.shape, -1)
    # A zero point is itself rounded, so that the ends of a range may be cut by half a step more.
    steps = 0.5 if scheme.symmetric else 1.0
    assert (moved <= packed.scales[..., None] * steps * 1.0001).all()


def test_scales_are_bfloat16_and_reach_every_value() -> None:
    values = matrix(seed=2).astype(np.float32)
    for name in NAMES:
        scales = quantize(values, Scheme.parse(name)).scales
        assert not (scales.view(np.uint32) & 0xFFFF).any()
    packed = quantize(values, INT8)
    assert (np.abs(packed.codes).max(1) >= 126).all()


def test_tiny_and_huge_weights_keep_their_values() -> None:
    values = np.array([[1e-30, -1e-30] * 16, [1e30, -5e29] * 16], dtype=np.float32)
    for name in ("int8", "int4-32", "int4-32-asym"):
        np.testing.assert_allclose(quantize(values, Scheme.parse(name)).f32(), values, rtol=0.16)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    values = matrix().astype(np.float32)
    values[2, 2] = bad
    with pytest.raises(CheckpointError, match="not finite"):
        quantize(values, INT8)


def test_groups_have_to_fit() -> None:
    assert Scheme.parse("int4-64").fits((3, 128)) and not Scheme.parse("int4-64").fits((3, 96))
    assert INT8.fits((3, 97)) and not INT8.fits((3, 3, 3, 3))
    with pytest.raises(AssertionError):
        quantize(np.zeros((3, 96), np.float32), Scheme.parse("int4-64"))


def test_bits_per_value() -> None:
    told = [Scheme.parse(n).bits_per_value() for n in ("int8", "int4-32", "int4-128-asym")]
    assert told == [8, 4.5, 4 + 20 / 128]


def test_errors_are_shares_of_what_was_there() -> None:
    values = matrix(64).astype(np.float32)
    errors = [weight_error(values, quantize(values, Scheme.parse(n))) for n in NAMES]
    int8, _, int4, coarser, *_ = errors
    assert 0.001 < int8 < 0.02 < int4 < coarser < 0.2
    assert weight_error(np.zeros((2, 32), np.float32), quantize(np.zeros((2, 32)), INT8)) == 0.0


def test_the_error_of_outputs_is_that_of_the_layer() -> None:
    """The slow way: send many inputs through the layer before and after."""
    rng = np.random.default_rng(3)
    values = matrix(16, 64).astype(np.float32)
    inputs = rng.standard_normal((500, 64)) * rng.uniform(0.1, 5, 64)
    moments = inputs.T @ inputs / len(inputs)
    packed = quantize(values, Scheme.parse("int4-32"))
    outputs, seen = inputs @ values.T, inputs @ packed.f32().T
    wanted = np.sqrt(np.square(seen - outputs).sum() / np.square(outputs).sum())
    assert output_error(values, packed, moments) == pytest.approx(wanted, rel=1e-6)
