"""A quantised folder is there whole or not at all, and keeps what is not quantised as it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from smolvlm.errors import CheckpointError, InputError
from smolvlm.quant.folder import Quantized, building, check_free, folder_bytes, write_quantized
from smolvlm.quant.schemes import Scheme, quantize
from smolvlm.weights.quantized import InputRange
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny

UP = "text_model.layers.0.mlp.up_proj.weight"
FC1 = "vision_model.encoder.layers.0.mlp.fc1.weight"
NORM = "vision_model.encoder.layers.0.layer_norm2.weight"


def test_everything_comes_back(tmp_path: Path) -> None:
    source = open_checkpoint(make_tiny("SmolVLM-256M-Instruct", tmp_path / "plain"))
    (tmp_path / "plain" / "receipt.json").write_text("{}")  # of something else
    matrices = {
        UP: quantize(source.f32(UP), Scheme(4, 32, symmetric=False)),
        FC1: quantize(source.f32(FC1), Scheme(8)),
    }
    norm = source.f32(NORM) * np.float32(1.2345)
    out = tmp_path / "out"
    out.mkdir()
    limits = {FC1: InputRange(0.25, -7)}
    write_quantized(out, source, Quantized(matrices, limits, {NORM: norm}))
    made = open_checkpoint(out)
    for name in source.names():
        if name in matrices:
            packed = made.packed(name)
            assert packed is not None
            np.testing.assert_array_equal(packed.f32(), matrices[name].f32())
        elif name == NORM:  # exactly, though the checkpoint is stored in bfloat16
            np.testing.assert_array_equal(made.f32(name), norm)
        else:
            assert made.dtype(name) == source.dtype(name)
            np.testing.assert_array_equal(made.raw(name), source.raw(name))
    assert made.input_range(FC1) == InputRange(0.25, -7) and made.input_range(UP) is None
    assert made.config == source.config
    small = {path.name for path in source.folder.iterdir()} - {"receipt.json"}
    assert {path.name for path in out.iterdir()} == small
    groups = json.loads((out / "config.json").read_text())["quantization_config"]["config_groups"]
    assert {group["weights"]["num_bits"] for group in groups.values()} == {4, 8}
    assert folder_bytes(out) < folder_bytes(source.folder)


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(RuntimeError, match="half way"), building(out) as part:
        (part / "config.json").write_text("{}")
        raise RuntimeError("half way")
    assert list(out.parent.iterdir()) == []
    with building(out) as part:
        (part / "config.json").write_text("{}")
        assert not out.exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "config.json").exists() and out.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    with building(tmp_path / "out") as part:
        (tmp_path / "out").mkdir()
        (part / "config.json").write_text("{}")
    assert (tmp_path / "out" / "config.json").exists()


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    for name, words in (("file", "is a file"), ("full", "is not empty")):
        with pytest.raises(InputError, match=words):
            check_free(tmp_path / name)
        with pytest.raises(InputError, match=words), building(tmp_path / name):
            raise AssertionError("never begun")
    with pytest.raises(CheckpointError, match="cannot be written"), building(tmp_path / "file/out"):
        raise AssertionError("never begun")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_checkpoint(make_tiny("SmolVLM-256M-Instruct", tmp_path / "plain"))

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(CheckpointError, match="No space left"), building(tmp_path / "out") as part:
        write_quantized(part, source, Quantized({FC1: quantize(source.f32(FC1), Scheme(8))}))
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]
