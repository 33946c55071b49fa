"""What an engine already holds of a conversation, and which part of a new prompt is left to do.

A chat sends its whole history with every turn. Keys and values of the common beginning need not be
computed again, but equal ids are not enough: every picture has the same `<image>` ids. So positions
are compared by *keys*: the id itself, or, for a visual token, a negative digest of its tile.
Running the rest is `generate.py`'s business; which memory is kept for whom is `prefixes.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, KVState
from smolvlm.engines.feature_cache import tile_key

Ids = NDArray[np.int64]
Tiles = NDArray[np.uint8]


@dataclass(eq=False)
class Memory:
    """A conversation's KV state and the keys of the positions it holds.

    prompt: how many of the positions were a prompt; what follows them was answered.
    """

    state: KVState
    keys: list[int] = field(default_factory=list)
    prompt: int = 0

    def keep_common(self, keys: Sequence[int]) -> int:
        """Forget what differs from a prompt with these keys; returns how many positions stay."""
        common = self.common(keys)
        self.forget(common)
        self.prompt = len(keys)
        return common

    def common(self, keys: Sequence[int]) -> int:
        """How many positions a prompt with these keys could take over.

        At least the prompt's last position is always left to do, since its logits are wanted.
        """
        pairs = zip(self.keys, keys[:-1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def forget(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.state.truncate(length)
        del self.keys[length:]

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
    keys: list[int] = token_ids.tolist()  # (L,)
    # 256 bits: nobody can draw a picture that is taken for another one.
    digests = [-1 - int.from_bytes(tile_key(tile), "little") for tile in tiles]
    shown = np.repeat(np.arange(len(tiles)), config.tokens_per_tile)  # (n * T,)
    places = np.flatnonzero(token_ids == config.image_token_id)  # (n * T,)
    for place, tile in zip(places.tolist(), shown.tolist(), strict=True):
        keys[place] = digests[tile]
    return keys


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
