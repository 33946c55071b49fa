"""Whether the scene changed, seen on two tiny pictures; no model.

A picture becomes ROWS x COLS mean colours, so that the noise of a sensor and the blocks of a codec
average out. Colours and not brightness alone: a traffic light changes only those. What a camera
does to its exposure and white balance is taken off; the light going on is more than that. The
difference of two scenes is that of the cells that changed most, and counts from a hundredth of the
picture on: one flickering cell, a clock in a corner, is no change.

Compare with the scene that was looked at last, not with the frame before: then what changes slowly
is seen as soon as it has become different enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROWS, COLS = 24, 32
AREA = 0.01  # share of the cells that must differ
DRIFT = 12.0  # levels of 255 by which a channel of the whole picture may drift

Glance = NDArray[np.float32]


def glance(picture: Image.Image) -> Glance:
    """What is compared of an RGB picture of any size: means 0–255, float32 (ROWS, COLS, 3)."""
    return np.asarray(picture.resize((COLS, ROWS), Image.Resampling.BOX), dtype=np.float32)


def difference(before: Glance, after: Glance) -> float:
    """How different two scenes are: 0 the same, 1 black against white."""
    moved = after - before  # (ROWS, COLS, 3)
    moved = moved - np.clip(np.median(moved, axis=(0, 1)), -DRIFT, DRIFT)
    cells = np.sort(np.abs(moved).max(axis=2), axis=None)  # (ROWS * COLS,)
    return float(cells[-round(AREA * cells.size)]) / 255.0
