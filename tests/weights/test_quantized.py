"""Quantised folders: written and read again, opened by transformers, and broken in every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_folders import random_tensors, write_config

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.quant.schemes import Scheme, quantize
from smolvlm.weights.names import EMBEDDING, HEAD
from smolvlm.weights.packed import Packed, to_words
from smolvlm.weights.quantized import SECTION, InputRange, describe, is_quantized
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import write_checkpoint

UP = "text_model.layers.0.mlp.up_proj.weight"
FC1 = "vision_model.encoder.layers.0.mlp.fc1.weight"
SECTION_HERE: dict[str, Any] = {"quant_method": "compressed-tensors"}


def set_section(folder: Path, section: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {SECTION: section}))


def some_matrices(tensors: dict[str, Any]) -> dict[str, Packed]:
    """Three layers of a tiny model in 8 bits, and one in made-up 4-bit groups of 4 columns."""
    int8 = {name: quantize(tensors[name], Scheme(8)) for name in (EMBEDDING, FC1)}
    return int8 | {UP: quantize(tensors[UP], Scheme(4, 4, symmetric=False))}


def write_quantized(folder: Path) -> tuple[dict[str, Any], dict[str, Packed]]:
    """A tiny folder with some quantised matrices; the plain tensors and the others."""
    tensors: dict[str, Any] = random_tensors(write_config(folder))
    matrices = some_matrices(tensors)
    plain = {name: values for name, values in tensors.items() if name not in matrices}
    parts = {name + end: part for name, m in matrices.items() for end, part in to_words(m).items()}
    scale, zero = np.array([0.5], np.float32), np.array([-3], np.int8)
    inputs = {
        FC1.replace("weight", "input_scale"): scale,
        FC1.replace("weight", "input_zero_point"): zero,
    }
    write_checkpoint(folder, plain | parts | inputs)
    set_section(folder, describe(matrices, {FC1: InputRange(0.5, -3)}))
    return plain, matrices


def test_what_was_written_is_read(tmp_path: Path) -> None:
    plain, matrices = write_quantized(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.is_quantized
    assert set(checkpoint.names()) == {*plain, *matrices}
    for name, values in plain.items():
        assert checkpoint.packed(name) is None and checkpoint.bits(name) is None
        np.testing.assert_array_equal(checkpoint.f32(name), values)
    for name, wanted in matrices.items():
        packed = checkpoint.packed(name)
        assert packed is not None and checkpoint.bits(name) == packed.bits == wanted.bits
        assert checkpoint.shape(name) == packed.shape
        np.testing.assert_array_equal(checkpoint.f32(name), wanted.f32())
    assert checkpoint.input_range(FC1) == InputRange(0.5, -3)
    assert checkpoint.input_range(UP) is None
    assert (InputRange(0.5, -3).low, InputRange(0.5, -3).high) == (-62.5, 65.0)


def test_a_quantised_matrix_has_no_stored_values(tmp_path: Path) -> None:
    write_quantized(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    for call in (checkpoint.raw, checkpoint.dtype):
        with pytest.raises(CheckpointError, match="is quantised, which is good for answering only"):
            call(UP)
    with pytest.raises(CheckpointError, match="use the checkpoint it was made from"):
        checkpoint.require_values()


def test_a_tied_quantised_table_is_the_head_too(tmp_path: Path) -> None:
    tensors: dict[str, Any] = random_tensors(write_config(tmp_path, tied=True))
    packed = quantize(tensors.pop(EMBEDDING), Scheme(8))
    parts = {EMBEDDING + end: part for end, part in to_words(packed).items()}
    write_checkpoint(tmp_path, tensors | parts)
    set_section(tmp_path, SECTION_HERE)
    checkpoint = open_checkpoint(tmp_path)
    head = checkpoint.packed(HEAD)
    assert checkpoint.head_name == EMBEDDING and head is not None
    assert np.shares_memory(head.codes, checkpoint.packed(EMBEDDING).codes)


def test_scales_may_be_stored_in_16_bits(tmp_path: Path) -> None:
    _, matrices = write_quantized(tmp_path)
    tensors: dict[str, Any] = dict(random_tensors(ModelConfig.from_folder(tmp_path)))
    for name, m in matrices.items():
        del tensors[name]
        parts = to_words(m)
        parts["_scale"] = (m.scales.view(np.uint32) >> 16).astype(np.uint16)  # bits of bfloat16
        tensors |= {name + end: part for end, part in parts.items()}
    write_checkpoint(tmp_path, tensors)
    checkpoint = open_checkpoint(tmp_path)
    for name, wanted in matrices.items():
        np.testing.assert_array_equal(checkpoint.f32(name), wanted.f32())


def test_the_section_names_every_matrix_once(tmp_path: Path) -> None:
    _, matrices = write_quantized(tmp_path)
    section = json.loads((tmp_path / "config.json").read_text())[SECTION]
    groups = section["config_groups"].values()
    targets = [target for group in groups for target in group["targets"]]
    assert sorted(targets) == sorted(f"model.{name.removesuffix('.weight')}" for name in matrices)
    told = {
        (g["weights"]["num_bits"], g["weights"]["group_size"], bool(g["input_activations"]))
        for g in groups
    }
    assert told == {(8, None, False), (8, None, True), (4, 4, False)}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "quantised by 'bitsandbytes'"),
        ({"bits": 4}, "quantised by None; only 'compressed-tensors' is read"),
        ("gptq", "quantised by 'gptq'"),
        (SECTION_HERE | {"transform_config": {"config_groups": {"u": {}}}}, "a transform_config"),
        (SECTION_HERE | {"sparsity_config": {"format": "sparse-24"}}, "a sparsity_config"),
    ],
)
def test_formats_that_are_not_read(tmp_path: Path, section: Any, words: str) -> None:
    write_quantized(tmp_path)
    set_section(tmp_path, section)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path)


def test_what_says_nothing_is_not_quantised() -> None:
    assert not is_quantized({}, "config.json") and not is_quantized({SECTION: None}, "")
    assert is_quantized({SECTION: SECTION_HERE | {"transform_config": {}}}, "config.json")


def rewrite(folder: Path, change: dict[str, Any]) -> None:
    """Write the quantised folder again with some tensors changed; None leaves one out."""
    plain, matrices = write_quantized(folder)
    tensors: dict[str, Any] = plain | {
        name + end: part for name, m in matrices.items() for end, part in to_words(m).items()
    }
    tensors |= change
    write_checkpoint(folder, {name: t for name, t in tensors.items() if t is not None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({f"{UP}_scale": None}, r"up_proj\.weight has scales none"),
        ({f"{UP}_packed": None}, r"up_proj\.weight has codes none"),
        ({f"{UP}_packed": np.zeros((20, 3), np.int32)}, r"has codes I32 \(20, 3\)"),
        ({FC1: np.zeros((16, 8), np.float32)}, r"fc1\.weight has codes F32 \(16, 8\)"),
        ({f"{FC1}_scale": None}, r"fc1\.weight has dtype 'I8'; only F32, BF16, F16 can be read"),
        ({f"{UP}_g_idx": np.zeros(12, np.int32)}, r"does not ask for: .*weight_g_idx"),
        (
            {FC1.replace("weight", "input_scale"): np.ones(8, np.float32)},
            r"inputs of .*fc1\.weight have more than one scale",
        ),
        (
            {HEAD.replace("weight", "input_scale"): np.ones(1, np.float32)},
            r"does not ask for: lm_head\.weight \(input range\)",
        ),
    ],
)
def test_broken_folders(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path)


def test_codes_without_a_section_are_refused(tmp_path: Path) -> None:
    write_quantized(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config[SECTION]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="the weights lack"):
        open_checkpoint(tmp_path)
