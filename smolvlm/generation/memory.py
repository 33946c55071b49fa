"""What an engine already holds of a conversation, and which part of a new prompt is left to do.

A chat sends its whole history with every turn. Keys and values of the common beginning need not be
computed again, but equal ids are not enough: every picture has the same `<image>` ids. So positions
are compared by *keys*: the id itself, or, for a visual token, a negative digest of its tile.
Running the rest is `generate.py`'s business; who keeps a `Memory` between turns is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, KVState

Ids = NDArray[np.int64]
Tiles = NDArray[np.uint8]


@dataclass
class Memory:
    """A conversation's KV state and the keys of the positions it holds."""

    state: KVState
    keys: list[int] = field(default_factory=list)

    def keep_common(self, keys: Sequence[int]) -> int:
        """Forget what differs from a prompt with these keys; returns how many positions stay.

        At least the prompt's last position is always left to do, since its logits are wanted.
        """
        pairs = zip(self.keys, keys[:-1], strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self.state.truncate(common)
        del self.keys[common:]
        return common

    def extend(self, keys: Iterable[int]) -> None:
        """Note positions that the engine has just stepped."""
        self.keys.extend(keys)

    def close(self) -> None:
        """Give the engine's memory back."""
        self.state.close()


def position_keys(token_ids: Ids, tiles: Tiles, config: ModelConfig) -> list[int]:
    """One integer per position of a prompt: its id, or a negative digest of the tile it shows.

    token_ids: int64 (L,). tiles: uint8 (n, S, S, 3), whose n * T visual tokens stand in the prompt.
    """
    keys = token_ids.copy()  # (L,)
    digests = [_digest(tile) for tile in tiles]
    keys[token_ids == config.image_token_id] = np.repeat(
        np.array(digests, dtype=np.int64), config.tokens_per_tile
    )  # (n * T,)
    return [int(key) for key in keys]


def _digest(tile: Tiles) -> int:
    """A negative 63-bit number that stands for the pixels of one tile uint8 (S, S, 3)."""
    raw = hashlib.blake2b(np.ascontiguousarray(tile).tobytes(), digest_size=8).digest()
    return -1 - (int.from_bytes(raw, "little") >> 1)


def missing_tiles(token_ids: Ids, tiles: Tiles, held: int, config: ModelConfig) -> Tiles:
    """The tiles with a visual token at position `held` or later: uint8 (m, S, S, 3), m <= n."""
    return tiles[_visual_before(token_ids, held, config) // config.tokens_per_tile :]


def missing_features(
    features: NDArray[np.float32], token_ids: Ids, held: int, config: ModelConfig
) -> NDArray[np.float32] | None:
    """Rows for the `<image>` ids from position `held` on: float32 (K, H), None when there are none.

    features: float32 (m, T, H), those of `missing_tiles`; the first tile may be half held already.
    """
    if not len(features):
        return None
    rows = features.reshape(-1, features.shape[-1])  # (m * T, H)
    return rows[_visual_before(token_ids, held, config) % config.tokens_per_tile :]  # (K, H)


def _visual_before(token_ids: Ids, held: int, config: ModelConfig) -> int:
    return int(np.count_nonzero(token_ids[:held] == config.image_token_id))


def encode(engine: Engine, groups: Sequence[Tiles]) -> list[NDArray[np.float32]]:
    """Visual tokens float32 (m_i, T, H) of each group of tiles, in one call of the engine."""
    counts = [len(tiles) for tiles in groups]
    config = engine.config
    if not sum(counts):
        empty = np.zeros((0, config.tokens_per_tile, config.text.hidden_size), np.float32)
        return [empty for _ in groups]
    features = engine.encode_tiles(np.concatenate([t for t in groups if len(t)]))  # (sum m, T, H)
    return np.split(features, np.cumsum(counts)[:-1])  # each (m_i, T, H)
