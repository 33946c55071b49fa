"""One safetensors file: read like safetensors does, and every way of being broken named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from tiny_folders import write_raw

from smolvlm.errors import CheckpointError
from smolvlm.weights.shard import Shard

TENSORS = {
    "a": torch.randn(3, 4),
    "b": torch.randn(2, 2, 2).bfloat16(),
    "c": torch.randn(5).half(),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    safetensors.torch.save_file(TENSORS, tmp_path / "x.safetensors", {"note": "any"})
    return tmp_path / "x.safetensors"


def test_values_equal_those_saved(path: Path) -> None:
    shard = Shard(path)
    assert set(shard.entries) == set(TENSORS)
    for name, tensor in TENSORS.items():
        raw, entry = shard.raw(name), shard.entries[name]
        assert raw.shape == entry.shape == tuple(tensor.shape)
        theirs = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
        np.testing.assert_array_equal(raw, theirs.numpy())
        assert raw.dtype == theirs.numpy().dtype
    assert [shard.entries[name].dtype for name in "abc"] == ["F32", "BF16", "F16"]


def test_nothing_is_copied_and_nothing_can_be_changed(path: Path) -> None:
    shard = Shard(path)
    first, again = shard.raw("a"), shard.raw("a")
    assert np.shares_memory(first, again)
    assert not first.flags.owndata and not first.flags.writeable


def test_arrays_outlive_the_shard_and_the_file(path: Path) -> None:
    array = Shard(path).raw("a")
    path.unlink()
    np.testing.assert_array_equal(array, TENSORS["a"].numpy())


def test_unaligned_data_is_copied(tmp_path: Path) -> None:
    values = np.arange(3, dtype=np.float32)
    header = json.dumps({"t": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    header += b" " * (-len(header) % 4 + 1)
    write_raw(tmp_path / "x", header, values.tobytes())
    raw = Shard(tmp_path / "x").raw("t")
    assert raw.flags.aligned
    np.testing.assert_array_equal(raw, values)


def tensor(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    def listed(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return {"dtype": dtype, "shape": listed(shape), "data_offsets": listed(offsets)}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "broken safetensors header"),
        (b"[]", "not a JSON object"),
        (b"\xff{}", "broken safetensors header"),
        (b"[" * 100_000, "broken safetensors header"),
        (b'{"t": 1, "t": 2}', "'t' is there twice"),
        ({"t": 5}, "tensor t has no dtype, shape and data_offsets"),
        ({"t": {}}, "tensor t has dtype None; only F32, BF16, F16, I8, I32, I64 can be read"),
        (
            {"t": tensor("I16")},
            "tensor t has dtype 'I16'; only F32, BF16, F16, I8, I32, I64 can be read",
        ),
        ({"t": tensor("F8_E4M3", (8,))}, "dtype 'F8_E4M3'"),
        ({"t": tensor(["F32"])}, "dtype ['F32']"),
        ({"t": tensor(shape=None)}, "shape None; wanted a list of whole numbers"),
        ({"t": tensor(shape=(-2,))}, "shape [-2]; wanted a list of whole numbers"),
        ({"t": tensor(shape=(2.0,))}, "shape [2.0]; wanted a list of whole numbers"),
        ({"t": tensor(shape=(True, 2))}, "shape [True, 2]; wanted a list of whole numbers"),
        ({"t": tensor(offsets=(0,))}, "data_offsets [0]; wanted [start, end]"),
        ({"t": tensor(offsets=(-8, 0))}, "data_offsets [-8, 0]; wanted [start, end]"),
        ({"t": tensor(offsets=(8, 0))}, "tensor t spans -8 bytes; F32 (2,) takes 8"),
        ({"t": tensor(shape=(3,))}, "tensor t spans 8 bytes; F32 (3,) takes 12"),
        ({"t": tensor(shape=(10**30,))}, "tensor t spans 8 bytes"),
        (
            {"t": tensor(offsets=(12, 20))},
            "tensor t ends at byte 20 of the data, the file has only",
        ),
        ({"t": tensor(), "u": tensor(offsets=(4, 12))}, "tensors t and u overlap"),
        ({"t": tensor(), "u": tensor()}, "tensors t and u overlap"),
    ],
)
def test_broken_headers_are_named(tmp_path: Path, header: Any, message: str) -> None:
    write_raw(tmp_path / "x.safetensors", header, bytes(16))
    with pytest.raises(CheckpointError) as caught:
        Shard(tmp_path / "x.safetensors")
    assert message in str(caught.value)
    assert str(tmp_path / "x.safetensors") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes, too few"),
        (b"\x00" * 7, "has 7 bytes, too few"),
        (struct.pack("<Q", 100) + b"{}", r"cut short inside its header \(100 bytes declared, 2"),
        (struct.pack("<Q", 2**60) + b"{}", r"declares a header of \d+ bytes; the limit is"),
        (b"version https://git-lfs", r"declares a header of \d+ bytes; the limit is"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Shard(tmp_path / "x.safetensors")


def test_a_cut_file_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="it is cut short, download it again"):
        Shard(path)


def test_a_folder_or_nothing_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        Shard(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Shard(tmp_path / "missing")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_we_accept_safetensors_reads_the_same(path: Path, seed: int) -> None:
    """Random damage to the header is refused, or read as safetensors reads it."""
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    for position in rng.integers(8, 8 + length, 2):
        content[position] = rng.integers(32, 127)
    path.write_bytes(content)
    try:
        shard = Shard(path)
    except CheckpointError:
        return
    theirs = safetensors.torch.load_file(path)
    assert set(theirs) == set(shard.entries)
    for name, value in theirs.items():
        raw = shard.raw(name)
        assert raw.shape == tuple(value.shape)
        assert raw.tobytes() == value.contiguous().view(torch.uint8).numpy().tobytes()
