"""Groups of samples: whole, not too large, few."""

from __future__ import annotations

import random

import pytest

from smolvlm.training.packing import group
from smolvlm.training.stages import Layout

LAYOUTS: tuple[Layout, ...] = ("packed", "right", "left")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_sample_is_in_one_group_and_no_group_is_too_large(layout: Layout) -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 300) for _ in range(200)]
    groups = group(lengths, layout, max_tokens=512)
    assert sorted(index for members in groups for index in members) == list(range(200))
    for members in groups:
        own = [lengths[i] for i in members]
        assert (sum(own) if layout == "packed" else max(own) * len(own)) <= 512


def test_packing_needs_few_more_groups_than_the_tokens_fill() -> None:
    rng = random.Random(1)
    lengths = [rng.randint(20, 200) for _ in range(300)]
    groups = group(lengths, "packed", max_tokens=1024)
    assert len(groups) <= 1.1 * sum(lengths) / 1024 + 1


@pytest.mark.parametrize("layout", ["packed", "right"])
def test_neighbours_in_length_share_a_group(layout: Layout) -> None:
    assert group([9, 100, 10, 99], layout, max_tokens=200) == [[1, 3], [2, 0]]


def test_edges() -> None:
    assert group([], "packed", max_tokens=10) == group([], "right", max_tokens=None) == []
    assert group([5, 50, 4], "packed", max_tokens=10) == [[1], [0, 2]]
    assert group([5, 50, 4], "left", max_tokens=None) == [[1, 0, 2]]
