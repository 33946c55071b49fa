"""Groups of samples: whole, not too large, few."""

from __future__ import annotations

import random
from itertools import pairwise

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


def test_a_packed_group_is_closed_only_when_the_next_sample_does_not_fit() -> None:
    rng = random.Random(1)
    lengths = [rng.randint(20, 200) for _ in range(300)]
    groups = group(lengths, "packed", max_tokens=1024)
    for members, following in pairwise(groups):
        assert sum(lengths[i] for i in members) + lengths[following[0]] > 1024
    # At most the longest sample is missing from each.
    assert len(groups) <= sum(lengths) / (1024 - 200) + 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_neighbours_in_length_share_a_group(layout: Layout) -> None:
    """Attention is as wide as the longest of a group: no other order wastes less of it."""
    assert group([9, 100, 10, 99], layout, max_tokens=200) == [[1, 3], [2, 0]]
    rng = random.Random(2)
    lengths = [rng.randint(20, 200) for _ in range(100)]
    groups = group(lengths, layout, max_tokens=600)
    ordered = [lengths[i] for members in groups for i in members]
    assert ordered == sorted(lengths, reverse=True)


def test_edges() -> None:
    assert group([], "packed", max_tokens=10) == group([], "right", max_tokens=None) == []
    assert group([5, 50, 4], "packed", max_tokens=10) == [[1], [0, 2]]
    assert group([5, 50, 4], "left", max_tokens=None) == [[1, 0, 2]]
