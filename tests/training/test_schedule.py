"""Rates over a run, at the points that matter."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from smolvlm.training.schedule import rate_factor
from smolvlm.training.stages import Schedule


def factors(schedule: Schedule, steps: int) -> list[float]:
    return [rate_factor(schedule, step=step) for step in range(steps)]


def test_warm_up_rises_to_one_and_the_end_is_the_floor() -> None:
    seen = factors(Schedule("cosine", steps=100, warm_up=10, floor=0.1), 101)
    assert seen[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert seen[10] == 1.0
    assert seen[55] == pytest.approx(0.1 + 0.9 * 0.5)
    assert seen[100] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(seen[10:]))


def test_a_schedule_longer_than_the_run_as_published() -> None:
    schedule = Schedule("linear", steps=25_750, length=500_000, warm_up=2000)
    assert rate_factor(schedule, step=25_750) == pytest.approx(1 - 23_750 / 498_000)
    assert rate_factor(schedule, step=0) == 1 / 2000


def test_constant_and_shares() -> None:
    assert factors(Schedule("constant", steps=5), 5) == [1.0] * 5
    seen = factors(Schedule("linear", steps=200, warm_up=1, warm_up_share=0.03), 200)
    assert seen.index(1.0) == 5
    assert rate_factor(Schedule("cosine", steps=3, warm_up=5), step=7) == 1.0


def test_by_time_alone() -> None:
    schedule = Schedule("cosine", time_budget=100.0, warm_up_share=0.1, floor=0.1)
    seen = [rate_factor(schedule, step=7, elapsed=t) for t in (0, 5, 10, 55, 100, 130)]
    wanted = [0.01, 0.5, 1.0, 0.1 + 0.45 * (1 + math.cos(math.pi / 2)), 0.1, 0.1]
    assert seen == pytest.approx(wanted)
