"""Compiled graphs on the disk: taken instead of built, rebuilt when they do not fit, few."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines import openvino_compile
from smolvlm.engines.base import Step
from smolvlm.engines.openvino import OpenVINOEngine
from smolvlm.errors import CacheError
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny

F32_STORED = "SmolVLM2-256M-Video-Instruct"
BF16_STORED = "SmolVLM-256M-Instruct"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny(F32_STORED, tmp_path / "model")


def open_engine(folder: Path, precision: str = "f32") -> OpenVINOEngine:
    rules = ImageRules.from_folder(folder)
    return OpenVINOEngine(open_checkpoint(folder), rules, precision=precision)


def answer(engine: OpenVINOEngine) -> NDArray[np.float32]:
    """A row of logits that both graphs had a part in."""
    side = engine.config.vision.image_size
    tile = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    features = engine.encode_tiles(tile)[0]  # (T, H)
    ids = np.array([20, *[engine.config.image_token_id] * len(features), 21])
    (row,) = engine.step([Step(engine.open_state(), ids, features)])
    return row


def entries(cache: Path) -> dict[str, Path]:
    """The cache's entries by graph and precision."""
    return {"-".join(path.name.split("-")[:2]): path for path in cache.glob("*/*.blob")}


def forbid_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> NoReturn:
        raise AssertionError("a graph was built")

    monkeypatch.setattr(openvino_compile, "build_vision_graph", build)
    monkeypatch.setattr(openvino_compile, "build_text_graph", build)


def test_a_second_engine_builds_nothing(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = answer(open_engine(folder))
    assert sorted(entries(cache)) == ["text-f32", "vision-f32"]
    assert not [path for path in cache.rglob("*") if path.name.endswith(".new")]
    forbid_building(monkeypatch)
    warm = open_engine(folder)
    np.testing.assert_allclose(answer(warm), wanted, rtol=1e-5, atol=1e-5)
    # The pages given back after the first run come back from the file.
    np.testing.assert_allclose(answer(warm), wanted, rtol=1e-5, atol=1e-5)


def test_bfloat16_of_a_bfloat16_checkpoint_is_kept_too(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny(BF16_STORED, tmp_path / "model")
    wanted = answer(open_engine(folder, "bf16"))
    forbid_building(monkeypatch)
    np.testing.assert_allclose(answer(open_engine(folder, "bf16")), wanted, rtol=1e-2, atol=1e-2)


def test_graphs_that_would_lose_by_it_are_not_kept(
    tmp_path: Path, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(make_tiny(BF16_STORED, tmp_path / "small"))
    assert sorted(entries(cache)) == ["vision-f32"]
    monkeypatch.setattr(openvino_compile, "MAX_CACHED_BYTES", 1000)
    open_engine(folder)
    assert sorted(entries(cache)) == ["vision-f32"]


def flip(place: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[place] ^= 1
        return bytes(changed)

    return change


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "shorter than its footer": lambda data: data[:7],
    "cut short": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "header changed": flip(40),
    "graph changed": flip(-1000),
    "something else": lambda data: b"<html>not found</html>" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_built_anew(
    folder: Path, cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = answer(open_engine(folder))
    sound = {name: path.stat().st_size for name, path in entries(cache).items()}
    for path in entries(cache).values():
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    np.testing.assert_allclose(answer(open_engine(folder)), wanted, rtol=1e-5, atol=1e-5)
    assert caplog.text.count("compiling anew") == 2
    # The library numbers its nodes on and on: the names in a second build may have a digit more.
    rebuilt = {name: path.stat().st_size for name, path in entries(cache).items()}
    assert rebuilt == {name: pytest.approx(size, rel=0.05) for name, size in sound.items()}


def test_an_entry_of_another_library_is_built_anew(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole by our footer, but the library refuses it."""
    open_engine(folder)

    def refuse(*_: Any) -> NoReturn:
        raise RuntimeError("made by another version")

    with monkeypatch.context() as patch:
        patch.setattr(openvino_compile.ov.Core, "import_model", refuse)
        open_engine(folder)
    assert caplog.text.count("made by another version") == 2


def test_a_new_version_replaces_the_old_one(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(open_engine(folder))
    first = entries(cache)
    open_engine(folder, "bf16")
    assert sorted(entries(cache)) == ["text-bf16", "text-f32", "vision-bf16", "vision-f32"]
    make_tiny(F32_STORED, folder, seed=1)
    after = answer(open_engine(folder))
    assert not np.allclose(before, after, rtol=1e-2, atol=1e-2)
    second = entries(cache)
    # What computes in bfloat16 is stored in it.
    sizes = {name: path.stat().st_size for name, path in second.items()}
    assert sizes["text-bf16"] < 0.6 * sizes["text-f32"]
    assert len(second) == 4 and second["text-f32"] != first["text-f32"]
    assert not first["text-f32"].exists() and not first["vision-f32"].exists()
    monkeypatch.setattr(openvino_compile, "GRAPH_VERSION", 1000)
    open_engine(folder)
    assert not second["text-f32"].exists() and len(entries(cache)) == 4


def test_other_image_rules_are_another_version(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(open_engine(folder))
    rules = folder / "preprocessor_config.json"
    rules.write_text(rules.read_text().replace("0.5", "0.25"))
    assert not np.allclose(before, answer(open_engine(folder)), rtol=1e-2, atol=1e-2)


def test_entries_go_with_their_checkpoint(tmp_path: Path, folder: Path, cache: Path) -> None:
    other = make_tiny(BF16_STORED, tmp_path / "other")
    open_engine(folder)
    open_engine(other)
    assert len(list(cache.iterdir())) == 2
    shutil.rmtree(other)
    open_engine(folder, "bf16")
    assert len(list(cache.iterdir())) == 1
    assert sorted(entries(cache)) == ["text-bf16", "text-f32", "vision-bf16", "vision-f32"]


def test_a_full_disk(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CacheError, match=r"No space left on device.*SMOLVLM_CACHE"):
        open_engine(folder)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_cache_that_is_no_folder(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="SMOLVLM_CACHE"):
        open_engine(folder)
