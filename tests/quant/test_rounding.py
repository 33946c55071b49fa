"""Rounding with moments: against a slow twin that solves for each column, and that it pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.errors import CheckpointError
from smolvlm.quant.rounding import DAMPING, Compensation, fitted_grid
from smolvlm.quant.schemes import Scheme, output_error, quantize

SCHEMES = ("int4-32", "int4-64", "int4-32-asym")


def example(rows: int = 12, cols: int = 64) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A matrix, and the moments of inputs whose channels go together and differ in size."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, cols), dtype=np.float32)
    inputs = rng.standard_normal((400, 10)) @ rng.standard_normal((10, cols))
    inputs += 0.3 * rng.standard_normal((400, cols))
    inputs *= rng.uniform(0.1, 3, cols)
    return values, inputs.T @ inputs / len(inputs)


def slow_round(values: NDArray[np.float32], moments: NDArray[np.float64], scheme: Scheme) -> Any:
    """Round a column, then solve for the best change of all later ones; again and again."""
    damped = moments + DAMPING * np.diag(moments).mean() * np.eye(len(moments))
    importance = np.diag(damped).astype(np.float32)
    work, done = values.astype(np.float64), np.empty(values.shape)
    width = scheme.group or values.shape[1]
    for j in range(values.shape[1]):
        if j % width == 0:
            group = work[:, j : j + width].astype(np.float32)
            grid = fitted_grid(group, scheme, importance[j : j + width])
        column = work[:, j].astype(np.float32)[:, None, None]
        done[:, j] = grid.values(grid.round(column))[:, 0, 0]
        lost = work[:, j] - done[:, j]
        rest = slice(j + 1, None)
        if j + 1 < values.shape[1]:
            gain = np.linalg.solve(damped[rest, rest], damped[rest, j])  # least squares
            work[:, rest] += np.outer(lost, gain)
    return done


@pytest.mark.parametrize("name", SCHEMES)
def test_columns_are_rounded_as_the_slow_twin_does(name: str) -> None:
    values, moments = example()
    scheme = Scheme.parse(name)
    seen = Compensation(moments).round(values, scheme).f32()
    wanted = slow_round(values, moments, scheme)
    # A value next to the middle between two codes may fall either way.
    assert (np.abs(seen - wanted) < 1e-3).mean() > 0.97


@pytest.mark.parametrize("name", SCHEMES)
def test_outputs_stay_nearer_than_with_plain_rounding(name: str) -> None:
    values, moments = example()
    scheme = Scheme.parse(name)
    better = output_error(values, Compensation(moments).round(values, scheme), moments)
    assert better < 0.6 * output_error(values, quantize(values, scheme), moments)


def test_a_grid_that_need_not_reach_an_unimportant_outlier_is_finer() -> None:
    group = np.full((2, 32), 0.31, dtype=np.float32)
    group[0, 5] = 1.0
    importance = np.ones(32, dtype=np.float32)
    importance[5] = 1e-6
    grid = fitted_grid(group, Scheme.parse("int4-32"), importance)
    plain = quantize(group, Scheme.parse("int4-32"))
    assert grid.scales[0] < plain.scales[0]


def test_inputs_that_never_differ_and_dead_ones_do_no_harm() -> None:
    values, _ = example()
    moments = np.zeros((64, 64))
    moments[:5, :5] = 1.0  # five channels that are always alike, the others always zero
    packed = Compensation(moments).round(values, Scheme.parse("int4-32"))
    assert np.isfinite(packed.f32()).all()
    assert output_error(values, packed, moments) < 0.1
    nothing = Compensation(np.zeros((64, 64))).round(values, Scheme.parse("int4-32"))
    assert np.abs(nothing.f32() - values).max() < 1


def test_values_that_are_not_finite() -> None:
    values, moments = example()
    values[0, 0] = np.nan
    with pytest.raises(CheckpointError, match="not finite"):
        Compensation(moments).round(values, Scheme.parse("int4-32"))
