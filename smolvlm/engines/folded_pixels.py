"""Normalising pixels, folded into the patch weights, so that a network takes pixels as they are.

Rule: `processing/pixels.py`, which says what a normalised pixel is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ImageRules

EMBEDDINGS = "vision_model.embeddings"


def fold_pixels(
    weight: NDArray[np.float32], rules: ImageRules
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Fold the normalisation of pixels into the patch weights (D, 3, p, p).

    Returns `centre` (3,), `folded` (D, 3, p, p) and `shift` (D,), such that for a patch
    sum(weight * normalised) = sum(folded * (pixel - centre)) + shift. The centres are whole
    numbers: bfloat16 holds a pixel less a whole number exactly, but not a normalised one.
    """
    mean, std = np.array(rules.image_mean), np.array(rules.image_std)
    centre = np.rint(mean / rules.rescale_factor)
    offset = (centre * rules.rescale_factor - mean) / std
    wide = weight.astype(np.float64)
    shift = np.einsum("dcij,c->d", wide, offset)  # (D, 3, p, p) -> (D,)
    folded = wide * (rules.rescale_factor / std)[:, None, None]
    return centre.astype(np.float32), folded.astype(np.float32), shift.astype(np.float32)
