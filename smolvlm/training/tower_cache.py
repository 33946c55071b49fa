"""What a frozen tower made of a tile, kept for the next time the tile is seen.

Training on the same pictures for several epochs asks a frozen tower the same again and again; for a
tile it has seen, the answer is looked up by the tile's bytes. Pictures that are drawn anew each
time, as generators do, gain nothing. Least recently used tiles go first. Kept outputs were computed
beside other tiles than the ones they stand beside now, so in bfloat16 they may differ in the last
bit: a run that goes on then follows its uninterrupted twin closely, not to the bit.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

PIXELS_AT_ONCE = 16 * 224 * 224  # through a frozen tower; more leave the processor's cache

Tower = Callable[[Tensor], Tensor]


class TowerCache:
    """Outputs of a frozen tower by tile, at most `max_bytes` of them (in main memory)."""

    def __init__(self, max_bytes: int = 0) -> None:
        self.max_bytes = max_bytes
        self.hits, self.misses = 0, 0
        self._held: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0

    def __call__(self, tiles: Tensor, tower: Tower) -> Tensor:
        """Tiles uint8 (N, S, S, 3), and what makes (N, P, D) of them -> (N, P, D)."""
        if not self.max_bytes:
            return _in_pieces(tiles, tower)
        keys = [hashlib.blake2b(tile.cpu().numpy().tobytes()).digest() for tile in tiles]
        found = {key: self._held[key] for key in keys if key in self._held}
        for key in found:
            self._held.move_to_end(key)
        places = {key: i for i, key in enumerate(keys) if key not in found}  # equal tiles once
        self.hits, self.misses = self.hits + len(keys) - len(places), self.misses + len(places)
        if places:
            made = _in_pieces(tiles[list(places.values())], tower)  # (M, P, D)
            found |= dict(zip(places, made, strict=True))
            for key, patches in zip(places, made, strict=True):
                self._keep(key, patches.to("cpu", copy=True))
        return torch.stack([found[key].to(tiles.device) for key in keys])  # (N, P, D)

    def _keep(self, key: bytes, patches: Tensor) -> None:
        self._held[key] = patches
        self._bytes += patches.nbytes
        while self._bytes > self.max_bytes:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.nbytes


@torch.no_grad()
def _in_pieces(tiles: Tensor, tower: Tower) -> Tensor:
    count = max(1, PIXELS_AT_ONCE // (tiles.shape[1] * tiles.shape[2]))
    return torch.cat([tower(piece) for piece in torch.split(tiles, count)])  # (N, P, D)
