"""Views: the same seed the same tile, the whole drawing on it, in every seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recipes.embedded.views import SMALLEST_SHARE, blank, covered_view, varied_view, view

SIDE = 96
RED, BLUE = (255, 0, 0, 255), (0, 0, 255, 255)  # no background is like either


def two_halves(width: int, height: int) -> Image.Image:
    """Opaque: red on the left, blue on the right."""
    drawing = Image.new("RGBA", (width, height), RED)
    drawing.paste(BLUE, (width // 2, 0, width, height))
    return drawing


def coloured(tile: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the drawing is: no background is that far from grey and dark in green."""
    pixels = tile.astype(int)
    return (pixels[..., 1] < 100) & (pixels[..., 0] + pixels[..., 2] > 230)


def test_a_view_is_a_pure_function_of_drawing_and_seed() -> None:
    drawing = two_halves(60, 40)
    tiles = [view(drawing, side=SIDE, seed=seed) for seed in range(20)]
    again = [view(drawing, side=SIDE, seed=seed) for seed in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(tiles, again, strict=True))
    assert len({tile.tobytes() for tile in tiles}) == 20
    assert all(tile.shape == (SIDE, SIDE, 3) and tile.dtype == np.uint8 for tile in tiles)


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (300, 300), (7, 7)])
def test_the_whole_drawing_is_on_the_tile(size: tuple[int, int]) -> None:
    for seed in range(60):
        mask = coloured(view(two_halves(*size), side=SIDE, seed=seed))
        ys, xs = np.nonzero(mask)
        width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
        longest = max(width, height)
        assert SMALLEST_SHARE * SIDE - 1 <= longest <= SIDE
        # A drawing that was cut off would have another shape than its own.
        assert abs(width - longest * size[0] / max(size)) <= 1
        assert abs(height - longest * size[1] / max(size)) <= 1


def test_both_directions_and_every_kind_of_background_occur() -> None:
    tiles = [view(two_halves(60, 20), side=SIDE, seed=seed) for seed in range(80)]
    red_first = [bool(t[coloured(t)][:, 0].max() and _first(t)[0] > 128) for t in tiles]
    assert {True, False} == set(red_first)
    corners = [tile[0, 0] if not coloured(tile)[0, 0] else tile[-1, -1] for tile in tiles]
    assert any((c == 255).all() for c in corners)
    assert any(c.min() >= 170 and (c < 255).any() for c in corners)
    assert any(c.max() <= 110 for c in corners)


def _first(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The leftmost pixel of the drawing."""
    xs = np.nonzero(coloured(tile).any(axis=0))[0]
    column = coloured(tile)[:, xs[0]]
    return tile[np.nonzero(column)[0][0], xs[0]]


def test_the_cover_is_where_the_drawing_is() -> None:
    ring = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    ImageDraw.Draw(ring).ellipse((4, 4, 55, 35), fill=RED)
    for seed in range(20):
        tile, cover = covered_view(ring, side=SIDE, seed=seed)
        assert np.array_equal(tile, varied_view(ring, side=SIDE, seed=seed))
        assert cover.shape == (SIDE, SIDE) and cover.dtype == np.uint8
        background = tile[cover == 0]
        assert (background == background[0]).all()
        assert (tile[cover == 255].astype(int) != background[0]).any(axis=-1).mean() > 0.9


def test_a_blank_tile_has_one_colour() -> None:
    tiles = [blank(side=SIDE, seed=seed) for seed in range(10)]
    assert all((tile == tile[0, 0]).all() and tile.shape == (SIDE, SIDE, 3) for tile in tiles)
    assert len({tile.tobytes() for tile in tiles}) == 10
    assert np.array_equal(tiles[3], blank(side=SIDE, seed=3))
