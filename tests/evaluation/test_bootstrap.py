"""Bootstrap intervals against the normal approximation, which holds for many items."""

from __future__ import annotations

import math

import pytest

from smolvlm.evaluation import bootstrap
from smolvlm.evaluation.bootstrap import estimate


@pytest.mark.parametrize(("share", "count"), [(0.5, 400), (0.1, 900), (0.85, 861)])
def test_the_interval_is_that_of_a_share(share: float, count: int) -> None:
    right = round(share * count)
    found = estimate([1.0] * right + [0.0] * (count - right))
    spread = 1.96 * math.sqrt(share * (1 - share) / count)
    assert found.value == pytest.approx(right / count)
    assert found.low == pytest.approx(share - spread, abs=0.15 * spread + 1 / count)
    assert found.high == pytest.approx(share + spread, abs=0.15 * spread + 1 / count)
    assert found.n == count


def test_no_variation_no_interval() -> None:
    found = estimate([0.3] * 7)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_the_same_values_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 1.0, 0.5, 0.25] * 5
    whole = estimate(values)
    assert estimate(values) == whole
    monkeypatch.setattr(bootstrap, "_CHUNK", 7 * len(values))  # drawn in small pieces
    assert estimate(values) == whole
