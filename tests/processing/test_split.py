"""The reference rule against observed outputs; the budget rule against its promises."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from smolvlm.config import ImageRules
from smolvlm.errors import CheckpointError, InputError
from smolvlm.processing.split import MAX_GRID, BudgetPolicy, ReferencePolicy, plan_split


def rules(tile: int, *, split: bool = True, longest_edge: int | None = None) -> ImageRules:
    return ImageRules(
        longest_edge=longest_edge or 4 * tile,
        tile=tile,
        split=split,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        rescale_factor=1 / 255,
        resample=1,
    )


def sizes(count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Picture sizes from 1 to 20000 pixels a side, spread evenly over the magnitudes."""
    rng = np.random.default_rng(seed)
    drawn = np.exp(rng.uniform(0, math.log(20000), (count, 2))).astype(int)
    edges = [(1, 1), (1, 20000), (20000, 1), (512, 512), (513, 512), (512, 513), (3000, 3000)]
    return [*edges, *((int(h), int(w)) for h, w in drawn)]


def test_reference_equals_every_observed_size(golden):
    cases = json.loads((golden / "fixtures.json").read_text())["sizes"]
    assert len(cases) == 72
    for case in cases:
        plan = plan_split(case["h"], case["w"], rules(case["tile"]), ReferencePolicy())
        steps = tuple((h, w) for w, h in (case["step1"], case["step2"]))
        assert plan.resizes == steps, case
        assert (plan.rows, plan.cols, plan.num_tiles) == (
            case["rows"],
            case["cols"],
            case["frames"],
        )


@pytest.mark.parametrize(
    ("tile", "width", "height", "short"), [(512, 2048, 93, 92), (384, 512, 75, 224)]
)
def test_reference_keeps_the_float_order(tile, width, height, short):
    """Sizes where exact integer arithmetic would give two pixels more or less."""
    assert plan_split(height, width, rules(tile), ReferencePolicy()).resizes[0][0] == short


def test_reference_without_splitting_goes_through_the_longest_edge():
    by_rules = plan_split(480, 640, rules(512, split=False), ReferencePolicy())
    by_policy = plan_split(480, 640, rules(512), ReferencePolicy(split=False))
    assert by_rules == by_policy
    assert by_rules.resizes == ((1536, 2048), (512, 512))
    assert (by_rules.rows, by_rules.cols, by_rules.num_tiles) == (0, 0, 1)


def test_reference_of_a_single_tile_edge_is_one_view():
    plan = plan_split(480, 640, rules(512, longest_edge=512), ReferencePolicy())
    assert (plan.rows, plan.cols, plan.resizes[-1]) == (0, 0, (512, 512))


def test_reference_refuses_a_grid_the_vocabulary_cannot_name():
    with pytest.raises(CheckpointError, match=r"grid of 7x7.*6x6"):
        plan_split(100, 100, rules(512, longest_edge=7 * 512), ReferencePolicy())


@pytest.mark.parametrize("tile", [384, 448, 512])
@pytest.mark.parametrize("max_tiles", [1, 2, 3, 5, 9, 17, None])
def test_budget_keeps_its_promises(tile, max_tiles):
    for height, width in sizes(300):
        plan = plan_split(height, width, rules(tile), BudgetPolicy(max_tiles))
        assert max_tiles is None or plan.num_tiles <= max_tiles
        assert max(plan.rows, plan.cols) <= MAX_GRID
        if plan.rows == 0:
            assert plan.resizes == ((tile, tile),)
            assert plan.cols == 0
            continue
        assert plan.num_tiles > 2, "one tile and a global view would show the same pixels twice"
        assert plan.resizes == ((plan.rows * tile, plan.cols * tile),)
        # Never enlarged: one row or column fewer would be smaller than the picture.
        assert (plan.rows - 1) * tile < height
        assert (plan.cols - 1) * tile < width


def kept(height: int, width: int, plan) -> float:
    rows, cols = max(plan.rows, 1), max(plan.cols, 1)
    return min(1.0, rows * plan.tile / height, cols * plan.tile / width)


def test_a_larger_budget_never_keeps_less():
    for height, width in sizes(100, seed=1):
        plans = [
            plan_split(height, width, rules(512), BudgetPolicy(limit))
            for limit in (*range(1, 38), None)
        ]
        for smaller, larger in pairwise(plans):
            assert smaller.num_tiles <= larger.num_tiles
            assert kept(height, width, smaller) <= kept(height, width, larger)


def test_budget_is_near_the_best_affordable_grid():
    """Against the obvious slow twin: try every grid."""
    for height, width in sizes(60, seed=2):
        for limit in (1, 5, 13):
            plan = plan_split(height, width, rules(512), BudgetPolicy(limit))
            best = max(
                min(1.0, rows * 512 / height, cols * 512 / width)
                for rows in range(1, min(MAX_GRID, math.ceil(height / 512)) + 1)
                for cols in range(1, min(MAX_GRID, math.ceil(width / 512)) + 1)
                if rows * cols == 1 or rows * cols + 1 <= limit
            )
            assert kept(height, width, plan) >= 0.9 * best - 1e-12


def test_budget_turns_with_the_picture():
    for height, width in sizes(100, seed=3):
        upright = plan_split(height, width, rules(512), BudgetPolicy(13))
        turned = plan_split(width, height, rules(512), BudgetPolicy(13))
        assert upright.num_tiles == turned.num_tiles
        assert kept(height, width, upright) == kept(width, height, turned)


@pytest.mark.parametrize(
    ("height", "width", "max_tiles", "grid"),
    [
        (64, 64, 5, (0, 0)),
        (512, 512, None, (0, 0)),
        (560, 560, None, (0, 0)),  # a second tile would win less than a tenth
        (480, 640, 5, (1, 2)),
        (480, 640, 1, (0, 0)),
        (480, 640, 2, (0, 0)),
        (768, 1024, 5, (2, 2)),
        (1080, 1920, 5, (2, 2)),
        (1080, 1920, None, (2, 4)),
        (1080, 1920, 17, (2, 4)),
        (3000, 200, 5, (4, 1)),
        (200, 3000, 5, (1, 4)),
        (1, 20000, 5, (1, 4)),
        (1, 20000, None, (1, 6)),
        (9000, 9000, None, (6, 6)),
    ],
)
def test_budget_examples(height, width, max_tiles, grid):
    plan = plan_split(height, width, rules(512), BudgetPolicy(max_tiles))
    assert (plan.rows, plan.cols) == grid


def test_budget_respects_a_checkpoint_that_never_splits():
    assert plan_split(2000, 2000, rules(512, split=False), BudgetPolicy()).num_tiles == 1


@pytest.mark.parametrize(
    ("policy", "per_tile", "tiles"),
    [
        (BudgetPolicy(None, 64), 64, 1),
        (BudgetPolicy(None, 320), 64, 5),
        (BudgetPolicy(None, 320), 81, 3),
        (BudgetPolicy(3, 1000), 64, 3),
        (BudgetPolicy(3, 130), 64, 2),
        (BudgetPolicy(7), 64, 7),
    ],
)
def test_visual_tokens_become_tiles(policy, per_tile, tiles):
    assert policy.in_tiles(per_tile) == BudgetPolicy(tiles)


def test_a_budget_below_one_tile_is_refused():
    with pytest.raises(InputError, match="one tile of this model has 64"):
        BudgetPolicy(max_visual_tokens=63).in_tiles(64)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "5"])
@pytest.mark.parametrize("name", ["max_tiles", "max_visual_tokens"])
def test_impossible_budgets_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        BudgetPolicy(**{name: value})
