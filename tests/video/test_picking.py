"""Joining and picking, against a slow search through everything that could be picked."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from smolvlm.video.picking import Run, Scored, join, pick


def segments(*scores: float, every: float = 10.0) -> list[Scored]:
    return [Scored(i * every, (i + 1) * every, score) for i, score in enumerate(scores)]


def ends(runs: list[Run]) -> list[tuple[float, float]]:
    return [(run.start, run.end) for run in runs]


def test_neighbours_are_joined_and_gaps_are_not() -> None:
    runs = join(segments(0.9, 0.5, 0.4, 0.6, 0.1, 0.5), 0.5)
    assert ends(runs) == [(0, 20), (30, 40), (50, 60)]
    assert [run.score for run in runs] == pytest.approx([0.7, 0.6, 0.5])
    apart = [Scored(0, 10, 1.0), Scored(10.5, 20, 1.0)]
    assert ends(join(apart[::-1], 0.5)) == [(0, 10), (10.5, 20)]
    assert join(segments(0.1), 0.5) == join([], 0.5) == []


def test_a_short_last_segment_weighs_less() -> None:
    [run] = join([Scored(0, 10, 0.5), Scored(10, 12, 1.0)], 0.5)
    assert run.score == pytest.approx((10 * 0.5 + 2 * 1.0) / 12)


def test_times_that_rounding_moved_still_meet() -> None:
    thirds = [Scored(i / 3, i / 3 + 1 / 3, 1.0) for i in range(30)]
    assert len(join(thirds, 0.5)) == 1


def test_the_best_come_first_and_stand_in_order() -> None:
    runs = join(segments(0.6, 0, 0.9, 0, 0.7), 0.5)
    assert ends(pick(runs, None)) == [(0, 10), (20, 30), (40, 50)]
    assert ends(pick(runs, 20)) == [(20, 30), (40, 50)]
    assert ends(pick(runs, 29.9)) == [(20, 30), (40, 50)]
    assert pick(runs, 9) == []


def test_a_long_run_is_shortened_to_its_best_part() -> None:
    runs = join(segments(0.6, 0.9, 0.8, 0.6, 0.9), 0.5)
    assert ends(pick(runs, 20)) == [(10, 30)]
    assert ends(pick(runs, 1000)) == [(0, 50)]


def test_of_equals_the_earliest() -> None:
    assert ends(pick(join(segments(0.8, 0, 0.8), 0.5), 10)) == [(0, 10)]
    assert ends(pick(join(segments(0.8, 0.8, 0.8), 0.5), 10)) == [(0, 10)]


@pytest.mark.parametrize("seed", range(30))
def test_the_best_part_is_that_of_a_search_through_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = np.cumsum(rng.uniform(0.5, 3, 13))
    run = Run(tuple(Scored(a, b, rng.random()) for a, b in pairwise(cuts)))
    room = float(rng.uniform(0.4, 20))
    parts = [Run(run.segments[a:b]) for a, b in combinations(range(13), 2)]
    fitting = [part for part in parts if part.length <= room]
    best = run.best_part(room)
    assert (best is None) == (not fitting)
    if best is not None:
        assert best.length <= room
        assert best.worth == pytest.approx(max(part.worth for part in fitting))


@pytest.mark.parametrize("seed", range(30))
def test_what_is_picked_is_good_apart_and_not_too_long(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = segments(*rng.random(40), every=7.5)
    threshold, keep = float(rng.random()), float(rng.uniform(5, 200))
    picked = pick(join(made, threshold), keep)
    assert sum(run.length for run in picked) <= keep
    taken = [segment for run in picked for segment in run.segments]
    assert all(segment.score >= threshold for segment in taken)
    assert taken == sorted(set(taken), key=lambda s: s.start)
    wanted = [s for s in made if s.score >= threshold]
    if sum(s.length for s in wanted) <= keep:
        assert taken == wanted
