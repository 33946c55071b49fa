"""How a picture becomes a grid of tiles: integers only, no pixels.

Two policies. `ReferencePolicy` is what the published processors do: enlarge (or shrink) every
picture to the published longest edge and cut it, at most 17 tiles; the order of its float64 steps
is part of the rule. `BudgetPolicy`, the default, spends tiles only on pixels the picture really
has. Cutting and resizing is left to `pixels.py`, the words around the tiles to `prompt.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from smolvlm.config import ImageRules
from smolvlm.errors import CheckpointError, InputError
from smolvlm.types import ImagePlan

# The published vocabularies name tiles <row_1_col_1> .. <row_6_col_6>.
MAX_GRID = 6
# The published processors cap the first resize here, whatever longest_edge says.
REFERENCE_MAX_SIDE = 4096
# A grid with more tiles is chosen only if the smaller one keeps less than this share of the
# resolution.
ENOUGH = Fraction(9, 10)


@dataclass(frozen=True)
class ReferencePolicy:
    """The published rule, bit for bit. `split` overrides the checkpoint's `do_image_splitting`."""

    split: bool | None = None


@dataclass(frozen=True)
class BudgetPolicy:
    """At most so many tiles (or visual tokens) a picture, never more than its own pixels fill.

    `max_tiles` counts the global view: 1 means one view of 64 or 81 tokens, 5 a 2x2 grid and the
    global view. None means no limit of this kind; the 6x6 grid of the vocabulary always holds.
    `max_visual_tokens` is per picture too.

    The default of 5 is the smallest budget that sees both sides of a picture at twice the
    resolution of a single view (2x2 tiles, about 1000 pixels a side). Each tile costs a pass of the
    vision tower and 64 or 81 tokens of prompt: the next grids, 2x3 and 3x3, take 7 and 10 of them,
    the reference rule 13 to 17 for nearly every photograph.
    """

    max_tiles: int | None = 5
    max_visual_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_tiles", "max_visual_tokens"):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or value < 1
            ):
                raise InputError(
                    f"{name} is {value!r}; wanted a whole number of at least 1, or None"
                )

    def in_tiles(self, tokens_per_tile: int) -> BudgetPolicy:
        """The same budget with `max_visual_tokens` as tiles of a model; at least one must fit."""
        if self.max_visual_tokens is None:
            return self
        tiles = self.max_visual_tokens // tokens_per_tile
        if tiles < 1:
            raise InputError(
                f"max_visual_tokens is {self.max_visual_tokens}, but one tile of this model has"
                f" {tokens_per_tile}; give at least that many"
            )
        limit = tiles if self.max_tiles is None else min(tiles, self.max_tiles)
        return replace(self, max_tiles=limit, max_visual_tokens=None)


SplitPolicy = ReferencePolicy | BudgetPolicy


def plan_split(height: int, width: int, rules: ImageRules, policy: SplitPolicy) -> ImagePlan:
    """Resizes and grid for a picture of height x width pixels.

    A `BudgetPolicy` with `max_visual_tokens` must have gone through `in_tiles` first.
    `CheckpointError` when the checkpoint's own numbers lead to a grid the vocabulary cannot name.
    """
    assert height >= 1 and width >= 1, (height, width)
    if isinstance(policy, ReferencePolicy):
        return _reference(height, width, rules, policy)
    assert policy.max_visual_tokens is None, "BudgetPolicy.in_tiles was not called"
    return _budget(height, width, rules, policy)


def _reference(height: int, width: int, rules: ImageRules, policy: ReferencePolicy) -> ImagePlan:
    first = _cap(_to_longest_edge(height, width, rules.longest_edge))
    split = rules.split if policy.split is None else policy.split
    if not split:
        return _one_view(height, width, rules.tile, first)
    second = _to_multiples(*first, rules.tile)
    rows, cols = second[0] // rules.tile, second[1] // rules.tile
    if rows == cols == 1:
        return _one_view(height, width, rules.tile, first)
    if max(rows, cols) > MAX_GRID:
        raise CheckpointError(
            f"preprocessor_config.json cuts edges of {rules.longest_edge} into tiles of"
            f" {rules.tile}: a grid of {rows}x{cols}, but the vocabulary names at most"
            f" {MAX_GRID}x{MAX_GRID} tiles"
        )
    return ImagePlan(height, width, (first, second), rows, cols, rules.tile)


def _to_longest_edge(height: int, width: int, edge: int) -> tuple[int, int]:
    """Step 1: the longer side becomes `edge`; the other follows in float64, cut, made even."""
    aspect = width / height
    if width >= height:
        short = int(edge / aspect)
        return max(short + short % 2, 1), edge
    short = int(edge * aspect)
    return edge, max(short + short % 2, 1)


def _cap(size: tuple[int, int]) -> tuple[int, int]:
    """The cap after step 1; it never bites with published numbers."""
    height, width = size
    aspect = width / height
    if width >= height and width > REFERENCE_MAX_SIDE:
        return max(int(REFERENCE_MAX_SIDE / aspect), 1), REFERENCE_MAX_SIDE
    if height > width and height > REFERENCE_MAX_SIDE:
        return REFERENCE_MAX_SIDE, max(int(REFERENCE_MAX_SIDE * aspect), 1)
    return size


def _to_multiples(height: int, width: int, tile: int) -> tuple[int, int]:
    """Step 2: both sides up to multiples of the tile; the longer one first, the other after."""
    aspect = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        return math.ceil(int(width / aspect) / tile) * tile, width
    height = math.ceil(height / tile) * tile
    return height, math.ceil(int(height * aspect) / tile) * tile


def _one_view(
    height: int, width: int, tile: int, first: tuple[int, int] | None = None
) -> ImagePlan:
    """Not split: the global view is the only tile."""
    resizes = (first, (tile, tile)) if first else ((tile, tile),)
    return ImagePlan(height, width, resizes, rows=0, cols=0, tile=tile)


def _budget(height: int, width: int, rules: ImageRules, policy: BudgetPolicy) -> ImagePlan:
    """The smallest affordable grid that keeps nearly as much resolution as the best affordable one.

    Resolution kept is the scale of the worse side, 1 when no side shrinks: reading small print
    fails where either side is too coarse, so a grid of the picture's own shape wins by itself.
    Among grids of equally many tiles the one that keeps more on the worse side, then on both, then
    with fewer rows. A grid has at most ceil(side / tile) tiles along a side: one row or column
    fewer would shrink the picture, so none is made of invented pixels. All comparisons are exact
    fractions. With a larger budget the number of tiles and the resolution kept never fall.
    """
    if not rules.split:
        return _one_view(height, width, rules.tile)
    grids = list(_grids(height, width, rules.tile, policy.max_tiles))
    kept = {grid: _kept(height, width, rules.tile, grid) for grid in grids}
    wanted = ENOUGH * max(min(sides) for sides in kept.values())
    rows, cols = min(
        (grid for grid in grids if min(kept[grid]) >= wanted),
        key=lambda grid: (
            math.prod(grid),
            -min(kept[grid]),
            -math.prod(kept[grid]),
            grid[0],
        ),
    )
    if rows == cols == 1:
        return _one_view(height, width, rules.tile)
    size = (rows * rules.tile, cols * rules.tile)
    return ImagePlan(height, width, (size,), rows, cols, rules.tile)


def _grids(height: int, width: int, tile: int, max_tiles: int | None) -> Iterator[tuple[int, int]]:
    """Every (rows, cols) the picture fills and the budget pays; (1, 1) is the single view."""
    yield 1, 1
    for rows in range(1, min(math.ceil(height / tile), MAX_GRID) + 1):
        for cols in range(1, min(math.ceil(width / tile), MAX_GRID) + 1):
            if rows * cols > 1 and (max_tiles is None or rows * cols + 1 <= max_tiles):
                yield rows, cols


def _kept(height: int, width: int, tile: int, grid: tuple[int, int]) -> tuple[Fraction, Fraction]:
    """The scale of each side in this grid, at most 1: (height, width)."""
    whole = Fraction(1)
    return (
        min(whole, Fraction(grid[0] * tile, height)),
        min(whole, Fraction(grid[1] * tile, width)),
    )
