"""Model folders as written by us, by transformers, by other tools, and broken in every way."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from tiny_folders import header_of, random_tensors, write_config, write_folder, write_raw
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.weights.names import EMBEDDING, HEAD, PATCH_WEIGHT, expected_shapes, to_published
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import INDEX_NAME, SINGLE_NAME, to_bf16_bits, write_checkpoint

Header = dict[str, Any]


def save(folder: Path, tensors: dict[str, Any]) -> None:
    """Write tensors under names of the caller's choice, with safetensors' own writer."""
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(contiguous, folder / SINGLE_NAME)


def published(tensors: dict[str, Any]) -> dict[str, Any]:
    return {to_published(name): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("limit", [10**9, 4000])
def test_round_trip(tmp_path: Path, limit: int) -> None:
    tensors = write_folder(tmp_path, max_shard_bytes=limit)
    assert (tmp_path / INDEX_NAME).exists() == (limit == 4000)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.folder == tmp_path
    assert set(checkpoint.names()) == set(tensors)
    for name, tensor in tensors.items():
        assert checkpoint.shape(name) == tensor.shape
        assert checkpoint.dtype(name) == "F32"
        np.testing.assert_array_equal(checkpoint.f32(name), tensor)
        assert np.shares_memory(checkpoint.raw(name), checkpoint.f32(name))
    assert checkpoint.head_name == HEAD


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_types_equal_torch(tmp_path: Path, dtype: str) -> None:
    tensors = random_tensors(write_config(tmp_path))
    stored = {n: torch.from_numpy(t).to(getattr(torch, dtype)) for n, t in tensors.items()}
    safetensors.torch.save_file(
        {to_published(name): tensor for name, tensor in stored.items()}, tmp_path / SINGLE_NAME
    )
    checkpoint = open_checkpoint(tmp_path)
    for name, tensor in stored.items():
        np.testing.assert_array_equal(checkpoint.f32(name), tensor.float().numpy())
        assert checkpoint.f32(name).dtype == np.float32
        raw = checkpoint.raw(name)
        assert raw.dtype == (np.uint16 if dtype == "bfloat16" else np.float16)
        assert not raw.flags.owndata
        assert checkpoint.dtype(name) == ("BF16" if dtype == "bfloat16" else "F16")


@pytest.mark.parametrize("shards", ["5GB", "20KB"])
def test_what_transformers_saves(tmp_path: Path, shards: str) -> None:
    write_config(tmp_path)
    config = SmolVLMConfig.from_dict(json.loads((tmp_path / "config.json").read_text()))
    model = SmolVLMForConditionalGeneration(config).float()
    model.save_pretrained(tmp_path / "saved", max_shard_size=shards)
    checkpoint = open_checkpoint(tmp_path / "saved")
    theirs = model.state_dict()
    assert {to_published(name) for name in checkpoint.names()} == set(theirs)
    for name in checkpoint.names():
        np.testing.assert_array_equal(checkpoint.f32(name), theirs[to_published(name)].numpy())


def test_what_we_save_opens_in_transformers(tmp_path: Path) -> None:
    tensors = write_folder(tmp_path, max_shard_bytes=4000)
    model, report = SmolVLMForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True, dtype=torch.float32
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = model.state_dict()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(theirs[to_published(name)].numpy(), tensor)


def test_original_training_names(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path))
    stored = {
        name.replace("text_model.", "model.")
        .replace("connector.", "model.")
        .replace("vision_model.", "model.vision_model."): tensor
        for name, tensor in tensors.items()
    }
    for base, added in (
        ("model.embed_tokens.weight", "model.embed_tokens.additional_embedding.weight"),
        ("lm_head.weight", "additional_fc.weight"),
    ):
        stored[base], stored[added] = stored[base][:19], stored[base][19:]
    stored["model.vision_model.head.probe"] = np.zeros((1, 1, 8), np.float32)
    save(tmp_path, stored)
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.names()) == set(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(checkpoint.f32(name), tensor)
        assert checkpoint.shape(name) == tensor.shape


def test_mlx_names_and_channels_last(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path))
    stored = {
        name.replace("text_model.", "language_model.model."): t for name, t in tensors.items()
    }
    stored[PATCH_WEIGHT] = tensors[PATCH_WEIGHT].transpose(0, 2, 3, 1)
    save(tmp_path, stored)
    checkpoint = open_checkpoint(tmp_path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(checkpoint.f32(name), tensor)
        assert checkpoint.raw(name).shape == checkpoint.shape(name) == tensor.shape
        assert checkpoint.raw(name).flags.c_contiguous


def test_added_rows_of_another_type_are_refused(tmp_path: Path) -> None:
    tensors = published(random_tensors(write_config(tmp_path)))
    head = tensors["lm_head.weight"]
    tensors["lm_head.weight"], tensors["additional_fc.weight"] = head[:19], np.float16(head[19:])
    save(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has parts of types F32 and F16"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_that_is_tied_or_absent_is_the_embedding(tmp_path: Path, tied: bool) -> None:
    tensors = random_tensors(write_config(tmp_path, tied=tied))
    tensors.pop(HEAD, None)
    write_checkpoint(tmp_path, tensors)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.head_name == EMBEDDING
    assert HEAD not in checkpoint.names()
    np.testing.assert_array_equal(checkpoint.f32(HEAD), tensors[EMBEDDING])
    assert checkpoint.shape(HEAD) == tensors[EMBEDDING].shape
    assert checkpoint.dtype(HEAD) == "F32"


def test_a_tied_head_that_is_stored_must_be_the_embedding(tmp_path: Path) -> None:
    tensors = random_tensors(write_config(tmp_path, tied=True))
    write_checkpoint(tmp_path, tensors | {HEAD: tensors[EMBEDDING]})
    assert open_checkpoint(tmp_path).head_name == EMBEDDING
    for head in (tensors[EMBEDDING] + 1, to_bf16_bits(tensors[EMBEDDING])):
        write_checkpoint(tmp_path, tensors | {HEAD: head})
        with pytest.raises(CheckpointError, match=r"lm_head\.weight differs from .*; set it to f"):
            open_checkpoint(tmp_path)


def test_the_fingerprint_follows_config_and_weights(tmp_path: Path) -> None:
    write_folder(tmp_path / "a")
    first = open_checkpoint(tmp_path / "a").fingerprint
    assert open_checkpoint(tmp_path / "a").fingerprint == first
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_checkpoint(tmp_path / "b").fingerprint == first
    os.utime(tmp_path / "b" / SINGLE_NAME, ns=(0, 0))
    touched = open_checkpoint(tmp_path / "b").fingerprint
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["text_config"]["rope_theta"] = 5.0
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    assert len({first, touched, open_checkpoint(tmp_path / "a").fingerprint}) == 3


def edit(folder: Path, change: Callable[[Header], None]) -> None:
    header, data = header_of(folder / SINGLE_NAME)
    change(header)
    write_raw(folder / SINGLE_NAME, header, data)


def test_missing_tensors_are_named_and_counted(tmp_path: Path) -> None:
    tensors = write_folder(tmp_path)
    del tensors["text_model.norm.weight"]
    write_checkpoint(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=r"lack 1 of \d+ tensors: text_model\.norm\.weight;"):
        open_checkpoint(tmp_path)
    write_checkpoint(tmp_path, {n: t for n, t in tensors.items() if ".layers.1." not in n})
    message = r"lack 10 of \d+ tensors: text_model\.layers\.1\.[^,]*, [^,]*, [^,]*, …;"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_unexpected_tensors_are_named(tmp_path: Path) -> None:
    tensors = write_folder(tmp_path)
    extra = np.zeros(1, np.float32)
    save(tmp_path, published(tensors) | {"visual.x": extra, "model.text_model.layers.9.y": extra})
    message = r"hold 2 tensors .*: text_model\.layers\.9\.y, visual\.x;"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("shape", [(12, 20), (20, 12, 1), (240,), (21, 12)])
def test_wrong_shape_is_shown_with_the_wanted_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = write_folder(tmp_path)
    name = "text_model.layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path, tensors | {name: np.zeros(shape, np.float32)})
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    assert f"{name} has shape {shape}, config.json asks for (20, 12)" in str(caught.value)


def test_wrong_dtype_is_named_with_those_allowed(tmp_path: Path) -> None:
    tensors = published(write_folder(tmp_path))
    save(tmp_path, tensors | {"lm_head.weight": np.zeros((22, 12), np.int8)})
    message = r"tensor lm_head\.weight has dtype 'I8'; only F32, BF16, F16 can be read"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_truncated_and_huge_headers(tmp_path: Path) -> None:
    write_folder(tmp_path)
    content = (tmp_path / SINGLE_NAME).read_bytes()
    (tmp_path / SINGLE_NAME).write_bytes(content[:100])
    with pytest.raises(CheckpointError, match="cut short inside its header"):
        open_checkpoint(tmp_path)
    (tmp_path / SINGLE_NAME).write_bytes(b"\xff" * 8 + content[8:])
    with pytest.raises(CheckpointError, match="declares a header of 18446744073709551615 bytes"):
        open_checkpoint(tmp_path)


def test_overlapping_tensors(tmp_path: Path) -> None:
    write_folder(tmp_path)

    def overlap(header: Header) -> None:
        norms = [f"model.text_model.layers.{i}.input_layernorm.weight" for i in (0, 1)]
        header[norms[1]]["data_offsets"] = header[norms[0]]["data_offsets"]

    edit(tmp_path, overlap)
    with pytest.raises(CheckpointError, match="overlap; it is damaged"):
        open_checkpoint(tmp_path)


def test_missing_shards_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, max_shard_bytes=4000)
    shards = sorted(tmp_path.glob("*.safetensors"))
    shards[1].unlink()
    message = f"lacks 1 of {len(shards)} weight files: {shards[1].name};"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    write_folder(tmp_path, max_shard_bytes=4000)
    first, *_, last = sorted(tmp_path.glob("*.safetensors"))
    shutil.copy(first, last)
    with pytest.raises(CheckpointError, match=f"is both in {first.name} and in {last.name}"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "is not valid JSON"),
        ("{}", "has no weight_map"),
        ('{"weight_map": {}}', "has no weight_map"),
        ('{"weight_map": ["a"]}', "has no weight_map"),
        ('{"weight_map": {"a": "pytorch_model-1.bin"}}', "names 'pytorch_model-1.bin'; wanted"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "of the same folder"),
        ('{"weight_map": {"a": null}}', "names 'None'; wanted safetensors files"),
    ],
)
def test_broken_index(tmp_path: Path, index: str, message: str) -> None:
    write_config(tmp_path)
    (tmp_path / INDEX_NAME).write_text(index)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickled_weights_are_refused_unopened(tmp_path: Path, name: str) -> None:
    write_config(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(CheckpointError, match=rf"pickled weights \({name}\).*to safetensors"):
        open_checkpoint(tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SmolVLM-Q8_0.gguf", r"only GGUF weights \(SmolVLM-Q8_0\.gguf\)"),
        ("adapter_model.safetensors", r"has adapter_model\.safetensors; wanted model\.safetensors"),
        ("readme.md", r"has no weights; wanted model\.safetensors"),
    ],
)
def test_folders_without_our_weights(tmp_path: Path, name: str, message: str) -> None:
    write_config(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_no_folder_and_no_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        open_checkpoint(tmp_path / "missing")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        open_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not valid JSON"):
        open_checkpoint(tmp_path)


def test_opening_reads_no_weights(tmp_path: Path) -> None:
    """A sparse file of the true size opens: 2.2B parameters, no data read."""
    golden = Path(__file__).parent.parent / "golden" / "checkpoints"
    shutil.copy(golden / "SmolVLM2-2.2B-Instruct.config.json", tmp_path / "config.json")
    header, end = {}, 0
    for name, shape in expected_shapes(ModelConfig.from_folder(tmp_path)).items():
        start, end = end, end + 2 * int(np.prod(shape))
        header[to_published(name)] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    write_raw(tmp_path / SINGLE_NAME, header, b"")
    size = (tmp_path / SINGLE_NAME).stat().st_size
    os.truncate(tmp_path / SINGLE_NAME, size + end)
    checkpoint = open_checkpoint(tmp_path)
    assert len(checkpoint.names()) == 657
    assert not checkpoint.raw("text_model.norm.weight").any()
