"""Rounding a matrix so that its outputs stay, where the nearest codes only keep its weights.

Two steps, both closed-form. A group's grid may end before its largest weights do, if that makes the
others finer and costs less in all. Then columns are rounded from left to right, and what each lost
is made up for by those still to come, as the inputs' second moments say (GPTQ, Frantar et al.
2023). Plain rounding is `schemes.py`; where the moments come from is `calibrate.py`.

Letters: R rows, C columns, J columns of a group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smolvlm.quant.schemes import Floats, Grid, Scheme, grid_between, split_groups
from smolvlm.weights.packed import Packed

# Share of the mean that is added to the moments' diagonal: inputs that calibration saw together may
# come apart later. The published value.
DAMPING = 0.01
# How much of a group's range its grid may reach.
REACHES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)


class Compensation:
    """How to make up for lost weights, for layers with inputs of these second moments."""

    def __init__(self, moments: NDArray[np.float64]) -> None:
        """moments: E[x x'], float64 (C, C)."""
        damped = moments + DAMPING * max(float(np.diag(moments).mean()), 1e-12) * np.eye(
            len(moments)
        )
        self.importance = np.diag(damped).astype(np.float32)  # (C,)
        # Row j: what a loss in column j asks of column j and all later ones, up to a factor.
        self._shares = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)  # (C, C)

    def round(self, values: Floats, scheme: Scheme) -> Packed:
        """A matrix (R, C) in a scheme that fits it; `CheckpointError` as in `split_groups`."""
        width = split_groups(values, scheme).shape[2]
        work = values.copy()  # (R, C), changed as columns are rounded
        parts = []
        for start in range(0, values.shape[1], width):
            columns = slice(start, start + width)
            grid = fitted_grid(work[:, columns], scheme, self.importance[columns])
            codes, lost = self._round_group(work[:, columns], grid, start)
            work[:, start + width :] -= lost @ self._shares[columns, start + width :]
            parts.append(grid.pack(codes[:, None]))  # (R, J) -> (R, 1, J)
        return _beside(parts)

    def _round_group(self, group: Floats, grid: Grid, start: int) -> tuple[Floats, Floats]:
        """Codes of a group (R, J), and what its columns lost, in units of their shares (R, J)."""
        codes, lost = np.empty_like(group), np.empty_like(group)
        work = group.copy()
        for j in range(group.shape[1]):
            column = work[:, j, None, None]  # (R, 1, 1)
            code = grid.round(column)
            shares = self._shares[start + j, start + j : start + group.shape[1]]  # (J - j,)
            codes[:, j] = code[:, 0, 0]
            lost[:, j] = (column - grid.values(code))[:, 0, 0] / shares[0]
            work[:, j:] -= np.outer(lost[:, j], shares)
        return codes, lost


def fitted_grid(group: Floats, scheme: Scheme, importance: Floats) -> Grid:
    """The grid of a group (R, J), row by row the reach that loses least of it.

    importance: how much a squared error in each column costs, (J,).
    """
    low = np.minimum(group.min(1, keepdims=True), 0)  # (R, 1)
    high = np.maximum(group.max(1, keepdims=True), 0)  # (R, 1)
    best, least = None, np.full(low.shape, np.inf)
    for reach in REACHES:
        grid = grid_between(low * np.float32(reach), high * np.float32(reach), scheme)
        codes = grid.round(group[:, None])  # (R, 1, J)
        lost = np.square(grid.values(codes) - group[:, None]) @ importance  # (R, 1)
        better = lost < least
        if best is None:
            best = grid
        else:
            best.scales[better], best.zeros[better] = grid.scales[better], grid.zeros[better]
        least = np.where(better, lost, least)
    assert best is not None
    return best


def _beside(groups: list[Packed]) -> Packed:
    """Groups of columns of one matrix, as that matrix."""
    zeros = [group.zeros for group in groups if group.zeros is not None]
    return Packed(
        np.concatenate([group.codes for group in groups], axis=1),
        np.concatenate([group.scales for group in groups], axis=1),
        np.concatenate(zeros, axis=1) if zeros else None,
    )
