"""The cache of features: exactly the engine's own, each tile encoded once, bounded in bytes."""

from __future__ import annotations

import shutil
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import smolvlm
from smolvlm.config import ImageRules
from smolvlm.engines.choose import create_engine
from smolvlm.engines.feature_cache import (
    MIB,
    CachingEngine,
    FeatureCache,
    tile_key,
    with_feature_cache,
)
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.mock_engine import MockEngine, mock_config

NAME = "SmolVLM2-256M-Video-Instruct"
SIDE = 16  # of a tile of the mock engine
ENTRY = 4 * 8 * 4  # bytes of its features: 4 tokens of 8 float32


def tile(value: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def batch(*values: int) -> NDArray[np.uint8]:
    return np.stack([tile(value) for value in values])


class Counting(MockEngine):
    """Notes every tile that it encodes, by its value."""

    def __init__(self) -> None:
        super().__init__(mock_config())
        self.encoded: list[list[int]] = []

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.encoded.append(tiles[:, 0, 0, 0].tolist())
        return super().encode_tiles(tiles)


def caching(entries: int) -> tuple[CachingEngine, Counting]:
    inner = Counting()
    return CachingEngine(inner, FeatureCache(entries * ENTRY)), inner


def test_a_tile_is_encoded_once_within_a_call_and_across_calls() -> None:
    engine, inner = caching(9)
    first = engine.encode_tiles(batch(7, 0, 0, 5, 7))
    second = engine.encode_tiles(batch(5, 6, 0))
    assert inner.encoded == [[7, 0, 5], [6]]
    np.testing.assert_array_equal(first, Counting().encode_tiles(batch(7, 0, 0, 5, 7)))
    np.testing.assert_array_equal(second, Counting().encode_tiles(batch(5, 6, 0)))
    engine.encode_tiles(batch(5, 5))
    assert len(inner.encoded) == 2


def test_one_pixel_makes_another_tile() -> None:
    changed = tile(3)
    changed[-1, -1, -1] += 1
    assert tile_key(changed) != tile_key(tile(3))
    flipped = np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    assert tile_key(flipped[::-1]) != tile_key(flipped)
    assert tile_key(flipped[::-1]) == tile_key(flipped[::-1].copy())  # not how it lies in memory


def test_random_calls_against_a_slow_cache() -> None:
    """The same hits and misses as a list that is searched from the start."""
    rng, entries = np.random.default_rng(0), 5
    engine, inner = caching(entries)
    held: OrderedDict[int, None] = OrderedDict()
    for _ in range(300):
        values = rng.integers(0, 9, rng.integers(1, 8)).tolist()
        before = len(inner.encoded)
        features = engine.encode_tiles(batch(*values))
        np.testing.assert_array_equal(features[:, 0, 0], values)
        missing = list(dict.fromkeys(v for v in values if v not in held))
        assert inner.encoded[before:] == ([missing] if missing else [])
        for value in values:
            if value in held:
                held.move_to_end(value)
        held.update(dict.fromkeys(missing))
        while len(held) > entries:
            held.popitem(last=False)
        assert engine.cache.size == len(held) * ENTRY <= engine.cache.max_bytes
        assert len(engine.cache) == len(held)


def test_a_call_larger_than_the_cache() -> None:
    engine, inner = caching(2)
    values = [1, 2, 3, 4, 1]
    np.testing.assert_array_equal(engine.encode_tiles(batch(*values))[:, 0, 0], values)
    assert engine.cache.size == 2 * ENTRY
    engine.encode_tiles(batch(3, 4))
    assert inner.encoded == [[1, 2, 3, 4]]
    tiny = FeatureCache(ENTRY - 1)
    tiny.put(b"key", np.zeros((4, 8), np.float32))
    assert (len(tiny), tiny.size, tiny.get(b"key")) == (0, 0, None)


def test_a_caller_cannot_spoil_the_cache() -> None:
    engine, _ = caching(2)
    engine.encode_tiles(batch(1))[:] = -1
    engine.encode_tiles(batch(1))[:] = -1
    assert engine.encode_tiles(batch(1))[0, 0, 0] == 1


def test_the_batch_it_was_cut_from_is_not_kept() -> None:
    cache = FeatureCache(MIB)
    whole = np.zeros((64, 4, 8), np.float32)
    cache.put(b"key", whole[3])
    held = cache.get(b"key")
    assert held is not None and held.base is None and held.nbytes == cache.size


def test_no_tiles_and_no_cache() -> None:
    inner = Counting()
    assert with_feature_cache(inner, 0) is inner
    wrapped = with_feature_cache(inner, 1)
    assert isinstance(wrapped, CachingEngine) and wrapped.cache.max_bytes == MIB
    assert wrapped.config is inner.config and wrapped.describe() == inner.describe()
    wrapped.open_state()
    assert len(inner.states) == 1


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_exactly_the_features_of_a_real_engine(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever tiles stand beside a tile when it is encoded, its features are the same bits."""
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    folder = make_tiny(NAME, tmp_path / "tiny")
    real = create_engine(
        open_checkpoint(folder), ImageRules.from_folder(folder), engine=engine, precision="f32"
    )
    side = real.config.vision.image_size
    tiles = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    tiles[1] = tiles[4] = 127
    wanted = real.encode_tiles(tiles)
    cached = with_feature_cache(real, 1)
    for order in ([2], [0, 1, 2, 3, 4], [4, 3], [1, 1, 1]):
        np.testing.assert_array_equal(cached.encode_tiles(tiles[order]), wanted[order])
    empty = real.encode_tiles(tiles[:0])
    assert cached.encode_tiles(tiles[:0]).shape == empty.shape == (0, *wanted.shape[1:])


def test_answers_are_the_same_with_and_without(tmp_path: Path, tokenizer_gen2_folder: Path) -> None:
    folder = make_tiny(NAME, tmp_path / "tiny")
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    picture = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    told = Counter[tuple[int, ...]]()
    for mebibytes in (0, 256):
        assistant = smolvlm.load(folder, engine="torch", feature_cache=mebibytes)
        assert isinstance(assistant.engine, CachingEngine) is bool(mebibytes)
        for _ in range(2):
            told[assistant.ask([picture, picture], "What?", max_new_tokens=6).tokens] += 1
    assert list(told.values()) == [4]
