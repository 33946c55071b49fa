"""Slow, obvious twins of the fast paths: loops in place of reshapes, full passes in place of a
cache.

They are written from the definitions and not from the code they pin; speed is no concern.
"""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor

from smolvlm.model.smolvlm import SmolVLM


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Patches (N, g*g, D) -> tokens (N, (g/f)^2, f*f*D): copy each patch to its place."""
    tiles, patches, width = x.shape
    side = math.isqrt(patches)
    out = side // factor
    tokens = torch.zeros(tiles, out * out, factor * factor * width)
    for row in range(side):
        for col in range(side):
            token = (row // factor) * out + col // factor
            place = (row % factor) * factor + col % factor  # row of the block slowest
            span = slice(place * width, (place + 1) * width)
            tokens[:, token, span] = x[:, row * side + col]
    return tokens


def attention(queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """Grouped-query attention of one sample, query by query, in float64.

    queries (A, L, W), keys and values (G, T, W), visible bool (L, T) -> (L, A*W).
    """
    heads, length, width = queries.shape
    group = heads // len(keys)
    mixed = torch.zeros(length, heads * width, dtype=torch.float64)
    for head in range(heads):
        k, v = keys[head // group].double(), values[head // group].double()
        for i in range(length):
            seen = [t for t in range(len(k)) if visible[i, t]]
            scores = [float(queries[head, i].double() @ k[t]) / math.sqrt(width) for t in seen]
            exponentials = [math.exp(score - max(scores)) for score in scores]
            for t, e in zip(seen, exponentials, strict=True):
                mixed[i, head * width : (head + 1) * width] += e / sum(exponentials) * v[t]
    return mixed


def rotate(x: Tensor, position: int, theta: float) -> Tensor:
    """One head vector (W,) turned by its position: each (j, j + W/2) as a complex number."""
    half = len(x) // 2
    turned = torch.zeros(len(x), dtype=torch.float64)
    for j in range(half):
        number = complex(float(x[j]), float(x[j + half]))
        number *= cmath.exp(1j * position * theta ** (-j / half))
        turned[j], turned[j + half] = number.real, number.imag
    return turned


def position_ids(patch_mask: Tensor) -> Tensor:
    """Table positions (g*g,) of one tile's patches, bool (g, g), as stated in the literature.

    Fractional coordinates of the valid patches, put into buckets of width 1/g; hidden patches take
    0.
    """
    grid = len(patch_mask)
    boundaries = torch.arange(1, grid, dtype=torch.float64) / grid
    heights, widths = int(patch_mask[:, 0].sum()), int(patch_mask[0].sum())
    positions = torch.zeros(grid, grid, dtype=torch.int64)
    for row in range(grid):
        for col in range(grid):
            if patch_mask[row, col]:
                # The small shift keeps 1/3 of 27 rows on the right side of its boundary.
                place = torch.tensor([row / heights, col / widths], dtype=torch.float64) + 1e-9
                y, x = torch.bucketize(place, boundaries, right=True).tolist()
                positions[row, col] = y * grid + x
    return positions.flatten()  # (g*g,)


@torch.no_grad()
def greedy(model: SmolVLM, ids: Tensor, features: Tensor | None, count: int) -> list[int]:
    """The next `count` tokens after ids (L,): the whole sequence through the network for each."""
    for _ in range(count):
        logits = model(ids[None], features=features)  # (1, L, V)
        ids = torch.cat((ids, logits[0, -1].argmax()[None]))  # (L + 1,)
    return ids[-count:].tolist()
