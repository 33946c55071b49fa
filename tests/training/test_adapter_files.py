"""Merged models against adapted ones, and adapter folders there and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from smolvlm.config import read_json
from smolvlm.errors import CheckpointError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.adapter_files import (
    load_adapter,
    merge,
    read_adapter,
    save_adapter,
    save_merged,
    trained_tensors,
)
from smolvlm.training.lora import adapt, train_rows
from smolvlm.weights.embedded import apply_trained
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests.checkpoints import make_tiny

TOKENS = torch.tensor([[5, 7, 49152, 9, 200]])


def prepared(checkpoint: Checkpoint, *, dora: bool = True, learned: bool = True) -> SmolVLM:
    """Adapters of both kinds, rows, and a whole tensor; filled with noise as if it had learned."""
    torch.manual_seed(0)
    model = SmolVLM.from_checkpoint(checkpoint).requires_grad_(False)
    adapt(model, ["q_proj", "lm_head"] if model.lm_head else ["q_proj"], rank=3, alpha=5.0,
          prefixes=["text_model", "lm_head"], dora=dora)  # fmt: skip
    adapt(model, ["fc1"], rank=2, alpha=1.0, prefixes=["vision_model"])
    train_rows(model, [49152, 7])
    model.connector.requires_grad_(True)
    model.text_model.norm.weight.requires_grad_(True)
    if learned:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def answers(model: SmolVLM) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.linspace(-1, 1, 3 * 512 * 512).view(1, 3, 512, 512)
    return model(TOKENS), model.encode_tiles(pixels)


@pytest.mark.parametrize("tied", [False, True])
def test_a_merged_model_answers_as_the_adapted_one(tmp_path: Path, tied: bool) -> None:
    base = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path / "base", tied=tied)
    checkpoint = open_checkpoint(base)
    model = prepared(checkpoint)
    save_merged(tmp_path / "out", checkpoint, trained_tensors(model))
    merged = SmolVLM.from_checkpoint(open_checkpoint(tmp_path / "out"))
    for seen, wanted in zip(answers(merged), answers(model), strict=True):
        torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-4)
    assert read_json(tmp_path / "out" / "config.json") == read_json(base / "config.json")


def test_what_nobody_trained_keeps_its_bits(tmp_path: Path) -> None:
    base = make_tiny("SmolVLM-256M-Instruct", tmp_path / "base")  # stored as bfloat16
    checkpoint = open_checkpoint(base)
    save_merged(
        tmp_path / "out", checkpoint, trained_tensors(prepared(checkpoint)), max_shard_bytes=10**6
    )
    made = open_checkpoint(tmp_path / "out")
    same = [n for n in checkpoint.names() if np.array_equal(checkpoint.raw(n), made.raw(n))]
    assert "text_model.layers.1.mlp.up_proj.weight" in same
    assert "text_model.layers.1.self_attn.q_proj.weight" not in same
    assert all(made.dtype(name) == "BF16" for name in made.names())


def test_an_adapter_folder_comes_back_the_same(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path / "base"))
    model = prepared(checkpoint)
    save_adapter(tmp_path / "adapter", trained_tensors(model), {"base": "tiny"})
    again = prepared(checkpoint, learned=False)
    load_adapter(again, read_adapter(tmp_path / "adapter"))
    for seen, wanted in zip(answers(again), answers(model), strict=True):
        torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-5)
    assert read_json(tmp_path / "adapter" / "trained.json")["base"] == "tiny"


def test_the_embedded_model_reads_the_same_keys(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path, tied=True))
    trained = trained_tensors(prepared(checkpoint, dora=False))
    base = {name: checkpoint.f32(name) for name in checkpoint.names()}
    theirs = apply_trained(base, trained, 1.0)
    for name, tensor in merge(checkpoint, trained).items():
        np.testing.assert_allclose(tensor, theirs[name], rtol=1e-6, atol=1e-7)


def test_an_adapter_of_another_stage_or_a_broken_one_is_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path / "base"))
    trained = trained_tensors(prepared(checkpoint))
    with pytest.raises(CheckpointError, match=r"does not fit the stage: 3 tensors"):
        load_adapter(prepared(checkpoint, dora=False), trained)
    save_adapter(tmp_path / "adapter", trained, {})
    (tmp_path / "adapter" / "trained.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match=r"trained.safetensors cannot be read"):
        read_adapter(tmp_path / "adapter")
    shutil.rmtree(tmp_path / "adapter")
    with pytest.raises(CheckpointError, match=r"trained.safetensors cannot be read"):
        read_adapter(tmp_path / "adapter")
