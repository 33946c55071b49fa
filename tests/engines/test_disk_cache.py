"""Entries on the disk: whole or absent, of one origin, bounded, and nothing of others touched."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from smolvlm.engines.disk_cache import DiskCache, StoredFeatures, prepare_folder
from smolvlm.engines.feature_cache import CachingEngine, tile_key
from smolvlm.errors import CacheError
from tests.mock_engine import MockEngine, mock_config

KIB = 1024


def cache(folder: Path, identity: str = "model 1", *, kib: int = 1024) -> DiskCache:
    return DiskCache(folder, identity, max_bytes=kib * KIB)


def floats(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("smolvlm-*.safetensors"))


def test_an_entry_comes_back_bit_for_bit(tmp_path: Path) -> None:
    arrays = {"0.keys": floats(2, 3), "1.values": floats(4, 5, 6), "zeros": np.zeros(3, np.float32)}
    cache(tmp_path).put("a", arrays)
    found = cache(tmp_path).get("a")
    assert found is not None and found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)
    assert cache(tmp_path).has("a") and not cache(tmp_path).has("b")
    assert cache(tmp_path).get("b") is None


def test_values_of_bfloat16_take_half_the_disk(tmp_path: Path) -> None:
    wide = floats(64, 64)
    coarse = (wide.view(np.uint32) & 0xFFFF0000).view(np.float32)
    for name, array in (("wide", wide), ("coarse", coarse)):
        cache(tmp_path).put(name, {"x": array})
        found = cache(tmp_path).get(name)
        assert found is not None
        np.testing.assert_array_equal(found["x"], array)
    sizes = sorted(path.stat().st_size for path in entries(tmp_path))
    assert sizes[1] - sizes[0] == wide.nbytes // 2


def test_arrays_of_any_layout(tmp_path: Path) -> None:
    array = floats(6, 8)[::2].T
    cache(tmp_path).put("a", {"x": array})
    found = cache(tmp_path).get("a")
    assert found is not None
    np.testing.assert_array_equal(found["x"], array)


def test_another_origin_is_not_seen(tmp_path: Path) -> None:
    cache(tmp_path, "model 1, version 1").put("a", {"x": floats(2)})
    other = cache(tmp_path, "model 1, version 2")
    assert other.get("a") is None and not other.has("a")
    other.put("a", {"x": floats(2, seed=1)})
    assert len(entries(tmp_path)) == 2


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_another(path: Path) -> None:
    save_file({"x": floats(2, seed=9)}, path)


def retype(path: Path) -> None:
    """The same words about it, and other values than this package writes."""
    entry = cache(path.parent)
    save_file({"x": np.arange(3)}, path, metadata=entry._metadata("a"))


@pytest.mark.parametrize("damage", [shorten, empty, replace_by_another, retype])
def test_what_is_damaged_or_foreign_is_passed_over_and_replaced(
    tmp_path: Path, damage: Any
) -> None:
    made = cache(tmp_path)
    made.put("a", {"x": floats(4)})
    [path] = entries(tmp_path)
    damage(path)
    assert made.get("a") is None
    made.put("a", {"x": floats(4)})
    found = made.get("a")
    assert found is not None
    np.testing.assert_array_equal(found["x"], floats(4))


def test_the_entries_unused_for_longest_go(tmp_path: Path) -> None:
    made = cache(tmp_path, kib=10)
    for age, key in enumerate("abc"):
        made.put(key, {"x": floats(3 * KIB // 4)})  # 3 KiB each
        os.utime(made._path(key), (age, age))
    assert made.get("a") is not None  # used just now
    made.put("d", {"x": floats(3 * KIB // 4)})
    assert [made.has(key) for key in "abcd"] == [True, False, True, True]
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 10 * KIB


def test_an_entry_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    made = cache(tmp_path, kib=1)
    made.put("a", {"x": floats(KIB)})
    assert entries(tmp_path) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    mine = tmp_path / "holiday.safetensors"
    save_file({"x": floats(64 * KIB)}, mine)
    (tmp_path / "smolvlm-notes.txt").write_text("mine")
    made = cache(tmp_path, kib=4)
    for key in "abc":
        made.put(key, {"x": floats(KIB // 2)})
    assert mine.exists() and (tmp_path / "smolvlm-notes.txt").exists()
    assert load_file(mine)["x"].shape == (64 * KIB,)


def test_what_was_abandoned_while_written_goes(tmp_path: Path) -> None:
    made = cache(tmp_path)
    old, new = (Path(f"{made._path('a')}.{number}.new") for number in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    made.put("b", {"x": floats(2)})
    assert not old.exists() and new.exists()


def test_a_full_disk_ends_the_keeping_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    made = cache(tmp_path)
    monkeypatch.setattr("smolvlm.engines.disk_cache.save_file", full)
    with caplog.at_level(logging.WARNING):
        for key in "ab":
            made.put(key, {"x": floats(2)})
    assert [record.getMessage() for record in caplog.records] == [
        f"nothing more is kept in {tmp_path}: [Errno 28] No space left on device"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path / "new")
    assert folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700
    assert prepare_folder(str(folder)) == folder


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CacheError, match=r"cannot be made .*; give another disk_cache"):
        prepare_folder(tmp_path / name)


def test_features_outlive_the_process(tmp_path: Path) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    wanted = MockEngine(mock_config()).encode_tiles(tiles)
    for counted in (3, 0):
        inner = MockEngine(mock_config())
        engine = CachingEngine(inner, StoredFeatures(cache(tmp_path)))
        np.testing.assert_array_equal(engine.encode_tiles(tiles), wanted)
        assert sum(count for name, count in inner.calls if name == "encode_tiles") == counted
    assert StoredFeatures(cache(tmp_path, "another model")).get(tile_key(tiles[0])) is None
