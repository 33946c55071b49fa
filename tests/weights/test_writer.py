"""The writer against safetensors' own reader, and bfloat16 rounding against torch."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import safe_open
from tiny_folders import header_of, random_tensors, write_config

from smolvlm.errors import CheckpointError
from smolvlm.weights.names import to_published
from smolvlm.weights.writer import INDEX_NAME, to_bf16_bits, write_checkpoint


def test_bf16_rounding_equals_torch() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    ties = np.arange(0, 2**32, 2**15, dtype=np.uint64).astype(np.uint32)
    values = np.concatenate([bits, ties, ties + 1, ties - 1]).view(np.float32)
    theirs = torch.from_numpy(values).bfloat16().float().numpy()
    ours = (to_bf16_bits(values).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(ours, theirs)  # NaN equals NaN


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_bf16_keeps_the_shape(shape: tuple[int, ...]) -> None:
    bits = to_bf16_bits(np.ones(shape, np.float32))
    assert bits.shape == shape and bits.dtype == np.uint16
    assert (bits == 0x3F80).all()


def test_bf16_of_a_strided_view() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4).T
    np.testing.assert_array_equal(to_bf16_bits(values), to_bf16_bits(values.copy()))


def test_single_file_reads_back(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path))
    write_checkpoint(tmp_path, tensors)
    read = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert set(read) == {to_published(name) for name in tensors}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[to_published(name)], tensor)
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    assert not (tmp_path / INDEX_NAME).exists()


def test_all_three_types_in_one_file(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5)
    tensors: dict[str, Any] = {
        "vision_model.a.weight": to_bf16_bits(values),
        "text_model.norm.weight": values.astype(np.float16),
        "lm_head.weight": values.T,  # not contiguous
    }
    write_checkpoint(tmp_path, tensors)
    read = safetensors.torch.load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(
        read["model.vision_model.a.weight"], torch.from_numpy(values).bfloat16(), rtol=0, atol=0
    )
    assert read["model.text_model.norm.weight"].dtype == torch.float16
    np.testing.assert_array_equal(read["lm_head.weight"].numpy(), values.T)


def test_shards_and_their_index(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path))
    write_checkpoint(tmp_path, tensors, max_shard_bytes=4000)
    index = json.loads((tmp_path / INDEX_NAME).read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"model-{i:05d}-of-{len(files):05d}.safetensors" for i in range(1, len(files) + 1)
    ]
    assert len(files) > 2
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    seen = {}
    for file in files:
        read = safetensors.numpy.load_file(file)
        assert len(read) == 1 or sum(t.nbytes for t in read.values()) <= 4000
        assert all(index["weight_map"][name] == file.name for name in read)
        seen |= read
    assert len(seen) == len(index["weight_map"]) == len(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(seen[to_published(name)], tensor)


def test_a_tensor_above_the_limit_has_its_own_shard(tmp_path: Path) -> None:
    write_checkpoint(
        tmp_path,
        {"lm_head.weight": np.zeros(9, np.float32), "text_model.a": np.zeros(1, np.float32)},
        max_shard_bytes=8,
    )
    headers = [header_of(path)[0].keys() for path in sorted(tmp_path.glob("*.safetensors"))]
    assert [sorted(h - {"__metadata__"}) for h in headers] == [
        ["lm_head.weight"],
        ["model.text_model.a"],
    ]


def test_writing_again_leaves_nothing_of_the_former(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path))
    write_checkpoint(tmp_path, tensors, max_shard_bytes=2000)
    write_checkpoint(tmp_path, tensors, max_shard_bytes=6000)
    total = len(list(tmp_path.glob("model-*.safetensors")))
    assert len(list(tmp_path.glob(f"model-*-of-{total:05d}.safetensors"))) == total
    write_checkpoint(tmp_path, tensors)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    write_checkpoint(tmp_path, tensors, max_shard_bytes=6000)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_failed_write_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    write_checkpoint(tmp_path, random_tensors(config))
    fresh = random_tensors(config, seed=1)
    before = (tmp_path / "model.safetensors").read_bytes()
    opened = Path.open

    class FullDisk:
        """A file on a disk that has room for the header only."""

        def __init__(self, file: BinaryIO) -> None:
            self.file, self.writes = file, 0

        def write(self, data: bytes) -> int:
            self.writes += 1
            if self.writes > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def __enter__(self) -> FullDisk:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

    def full(path: Path, *args: Any, **kwargs: Any) -> Any:
        return FullDisk(opened(path, *args, **kwargs))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CheckpointError, match=r"cannot be written \(No space left on device\)"):
        write_checkpoint(tmp_path, fresh)
    monkeypatch.undo()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_checkpoint(tmp_path / "file", {"lm_head.weight": np.zeros(1, np.float32)})


def test_wrong_types_and_names_are_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_checkpoint(tmp_path, {"lm_head.weight": np.zeros(1, np.float64)})
    with pytest.raises(AssertionError):
        write_checkpoint(tmp_path, {"model.text_model.a": np.zeros(1, np.float32)})
