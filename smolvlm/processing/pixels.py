"""Pictures to tiles to numbers, bit for bit as the published processor does it through PIL.

Each resize takes uint8 and gives uint8, so the order and number of resizes in the plan is part of
the result: no pass is saved by going to the last size at once. Which sizes and which grid is
decided in `split.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ImageRules
from smolvlm.types import ImagePlan


def cut_all(
    pictures: Sequence[tuple[Image.Image, ImagePlan]], rules: ImageRules
) -> list[NDArray[np.uint8]]:
    """`cut_tiles` of several pictures, on several processors: the library resizes without Python's
    lock.
    """
    if len(pictures) < 2:
        return [cut_tiles(image, plan, rules) for image, plan in pictures]
    with ThreadPoolExecutor(min(len(pictures), os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda one: cut_tiles(one[0], one[1], rules), pictures))


def cut_tiles(image: Image.Image, plan: ImagePlan, rules: ImageRules) -> NDArray[np.uint8]:
    """The tiles of one RGB picture: uint8 (n, S, S, 3), row by row, then the global view.

    n is `plan.num_tiles`, S `plan.tile`. The filter is the checkpoint's `resample` number.
    """
    assert image.mode == "RGB", image.mode
    assert (image.height, image.width) == (plan.height, plan.width), (image.size, plan)
    resample = Image.Resampling(rules.resample)
    side = plan.tile
    for height, width in plan.resizes:
        image = image.resize((width, height), resample)
    tiles = np.empty((plan.num_tiles, side, side, 3), dtype=np.uint8)  # (n, S, S, 3)
    if plan.rows:
        tiles[:-1] = _grid(np.asarray(image), plan)
        image = image.resize((side, side), resample)
    tiles[-1] = np.asarray(image)  # (S, S, 3)
    return tiles


def _grid(pixels: NDArray[np.uint8], plan: ImagePlan) -> NDArray[np.uint8]:
    """Cut uint8 (rows * S, cols * S, 3) into (rows * cols, S, S, 3), row by row."""
    side = plan.tile
    bands = pixels.reshape(plan.rows, side, plan.cols, side, 3)  # (rows, S, cols, S, 3)
    return bands.swapaxes(1, 2).reshape(-1, side, side, 3)  # (rows * cols, S, S, 3)


def normalize(tiles: NDArray[np.uint8], rules: ImageRules) -> NDArray[np.float32]:
    """uint8 (N, S, S, 3) to what the vision tower was trained on: float32 (N, 3, S, S).

    The published order: product with `rescale_factor` in float64, rounded to float32, then (x -
    mean) / std in float32. There are only 256 inputs a channel, so the rule is worked out once for
    each and looked up.
    """
    table = normalization_table(rules)  # (3, 256)
    result = np.empty((len(tiles), 3, *tiles.shape[1:3]), dtype=np.float32)  # (N, 3, S, S)
    for source, target in zip(tiles, result, strict=True):
        for channel in range(3):
            # "clip" only spares a check: no uint8 lies outside the table.
            np.take(table[channel], source[..., channel], out=target[channel], mode="clip")
    return result


def normalization_table(rules: ImageRules) -> NDArray[np.float32]:
    """What each uint8 value of each channel becomes: float32 (3, 256)."""
    rescaled = (np.arange(256, dtype=np.float64) * rules.rescale_factor).astype(
        np.float32
    )  # (256,)
    mean = np.array(rules.image_mean, dtype=np.float32)[:, None]  # (3, 1)
    std = np.array(rules.image_std, dtype=np.float32)[:, None]  # (3, 1)
    table: NDArray[np.float32] = (rescaled[None] - mean) / std  # (3, 256)
    return table
