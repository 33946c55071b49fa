"""How far a mean can be trusted: percentile bootstrap intervals with a fixed seed.

Items are drawn with replacement; the same values always give the same interval. What the values
are is `metrics.py`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
SEED = 0
CONFIDENCE = 0.95
_CHUNK = 1 << 22  # values resampled at a time, to bound memory


@dataclass(frozen=True)
class Estimate:
    """A mean of n values, and the 95 % interval from low to high."""

    value: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and bootstrap interval; `values` may not be empty."""
    assert len(values), "nothing to average"
    data = np.asarray(values, dtype=np.float64)  # (n,)
    rng = np.random.default_rng(SEED)
    means: list[float] = []
    rows = max(1, _CHUNK // len(data))
    while len(means) < DRAWS:
        count = min(rows, DRAWS - len(means))
        drawn = rng.integers(0, len(data), (count, len(data)))  # (count, n)
        means += data[drawn].mean(axis=1).tolist()  # (count, n) -> (count,)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return Estimate(float(data.mean()), float(low), float(high), len(data))
