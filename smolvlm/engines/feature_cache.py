"""Visual features kept for as long as there is room, so that a tile is encoded once.

The tower is most of the cost of a picture, and the same tiles come again and again: the second
question about a clip, a scene that does not move, the white margins of a page. `CachingEngine` puts
a `FeatureCache` before any engine; it answers exactly as that engine does. Keys and values of the
language model are `generation/memory.py`'s business.

Letters: N tiles, S tile side, T visual tokens per tile, H text width.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, EngineInfo, KVState, Step

Features = NDArray[np.float32]
MIB = 2**20


def tile_key(tile: NDArray[np.uint8]) -> bytes:
    """32 bytes that stand for the pixels of one tile uint8 (S, S, 3).

    SHA-256: processors compute it in hardware, and nobody can make two pictures that share a key.
    """
    return hashlib.sha256(np.ascontiguousarray(tile).data).digest()


class TileCache(Protocol):
    """Features float32 (T, H) by `tile_key`, wherever they are kept."""

    def get(self, key: bytes) -> Features | None:
        """The features of a tile; None when they are not here."""
        ...

    def put(self, key: bytes, features: Features) -> None:
        """Keep the features of a tile, if there is room."""
        ...


class FeatureCache:
    """Features float32 (T, H) by `tile_key`; beyond `max_bytes` the longest unused ones go."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0  # bytes of all features held
        self._held: OrderedDict[bytes, Features] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes) -> Features | None:
        """The features of a tile, read-only; None when they are not here."""
        features = self._held.get(key)
        if features is not None:
            self._held.move_to_end(key)
        return features

    def put(self, key: bytes, features: Features) -> None:
        """Keep a copy of the features of a tile, unless they alone are larger than the cache."""
        if key in self._held or features.nbytes > self.max_bytes:
            return
        kept = features.copy()  # a view would keep the whole batch it was cut from
        kept.setflags(write=False)
        self._held[key] = kept
        self.size += kept.nbytes
        while self.size > self.max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.size -= oldest.nbytes


class CachingEngine:
    """An engine that encodes a tile only if its features are not in the cache.

    Everything else is handed on. Results are those of `encode_tiles` of the engine inside, bit for
    bit, as long as that engine's features of a tile do not depend on the tiles beside it. Like
    every engine it serves one thread at a time.
    """

    def __init__(self, engine: Engine, cache: TileCache) -> None:
        self.engine = engine
        self.cache = cache

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's config."""
        return self.engine.config

    def describe(self) -> EngineInfo:
        """Name, device, precision and library version of the engine inside."""
        return self.engine.describe()

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> Features:
        """Tiles uint8 (N, S, S, 3) -> visual tokens float32 (N, T, H)."""
        if not len(tiles):
            return self.engine.encode_tiles(tiles)
        keys = [tile_key(tile) for tile in tiles]
        # Held here meanwhile: what one call needs may be more than the cache has room for.
        found = {key: features for key in keys if (features := self.cache.get(key)) is not None}
        missing = {key: index for index, key in enumerate(keys) if key not in found}
        if missing:
            fresh = self.engine.encode_tiles(tiles[list(missing.values())])  # (n, T, H), n <= N
            for key, features in zip(missing, fresh, strict=True):
                self.cache.put(key, features)
                found[key] = features
        return np.stack([found[key] for key in keys])  # (N, T, H)

    def open_state(self) -> KVState:
        """An empty conversation of the engine inside."""
        return self.engine.open_state()

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Advance each conversation; see `engines/base.py`."""
        return self.engine.step(steps)


def with_feature_cache(engine: Engine, mebibytes: int) -> Engine:
    """The engine behind a cache of so many MiB; itself for 0."""
    return CachingEngine(engine, FeatureCache(mebibytes * MIB)) if mebibytes else engine
