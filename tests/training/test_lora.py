"""Adapters and trained rows against their definitions written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.lora import LowRank, RowHead, adapt, adapters, linear_names, train_rows
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny


@pytest.fixture
def model(tmp_path: Path) -> SmolVLM:
    folder = make_tiny("SmolVLM-256M-Instruct", tmp_path)
    return SmolVLM.from_checkpoint(open_checkpoint(folder)).requires_grad_(False)


def written_out(layer: LowRank, x: Tensor) -> Tensor:
    """The definition, with the updated matrix made whole and PyTorch's own norm."""
    weight = layer.base.weight + layer.scale * layer.lora_b @ layer.lora_a
    if layer.magnitude is not None:
        weight = layer.magnitude[:, None] * weight / weight.norm(dim=1, keepdim=True).detach()
    return F.linear(x, weight, layer.base.bias)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_an_adapter_computes_its_definition_forwards_and_backwards(dora: bool, bias: bool) -> None:
    torch.manual_seed(0)
    layer = LowRank(nn.Linear(20, 30, bias=bias), 4, 0.7, dora=dora)
    x = torch.randn(5, 20)
    torch.testing.assert_close(layer(x), layer.base(x), rtol=1e-5, atol=1e-6)  # nothing learned yet
    layer.lora_b.data.normal_()
    if layer.magnitude is not None:
        layer.magnitude.data *= torch.rand(30) + 0.5
    torch.testing.assert_close(layer(x), written_out(layer, x), rtol=1e-5, atol=1e-5)
    trained = [layer.lora_a, layer.lora_b, *([layer.magnitude] if dora else [])]
    seen = torch.autograd.grad(layer(x).square().sum(), trained)
    wanted = torch.autograd.grad(written_out(layer, x).square().sum(), trained)
    for mine, theirs in zip(seen, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_dropout_touches_the_update_only_and_only_in_training() -> None:
    layer = LowRank(nn.Linear(20, 30), 4, 1.0, dropout=0.5)
    layer.lora_b.data.normal_()
    x = torch.randn(5, 20)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_adapters_go_where_they_are_told(model: SmolVLM) -> None:
    count = adapt(model, ["q_proj", "fc1"], prefixes=["vision_model"], rank=2, alpha=4.0)
    assert count == 4
    names = [name for name, _ in adapters(model)]
    assert names[0] == "vision_model.encoder.layers.0.self_attn.q_proj.weight"
    assert all(a.scale == 2.0 for _, a in adapters(model))
    assert set(linear_names(model, ["text_model", "lm_head"])) >= {"gate_proj", "o_proj", "lm_head"}


@pytest.mark.parametrize(
    ("where", "words"),
    [("qproj", "named 'qproj'; did you mean 'q_proj'"), ("fc1", "no linear layer")],
)
def test_a_layer_that_is_not_there_is_named(model: SmolVLM, where: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        adapt(model, [where], prefixes=["text_model"], rank=2, alpha=2)
    with pytest.raises(InputError, match="rank of an adapter is 0"):
        adapt(model, ["q_proj"], prefixes=["text_model"], rank=0, alpha=2)


@pytest.mark.parametrize("tied", [False, True])
def test_trained_rows_count_in_the_table_and_in_the_head(tmp_path: Path, tied: bool) -> None:
    folder = make_tiny("SmolVLM-256M-Instruct", tmp_path, tied=tied)
    plain = SmolVLM.from_checkpoint(open_checkpoint(folder)).requires_grad_(False)
    changed = SmolVLM.from_checkpoint(open_checkpoint(folder)).requires_grad_(False)
    ids = [49189, 49152, 7]
    train_rows(changed, ids)
    tokens = torch.tensor([[5, 7, 49152, 9]])
    torch.testing.assert_close(changed(tokens), plain(tokens), rtol=1e-4, atol=1e-4)
    new = torch.randn(3, plain.config.text.hidden_size)
    changed.text_model.embed_tokens.rows.data.copy_(new)  # type: ignore[operator, union-attr]
    plain.text_model.embed_tokens.weight.data[ids] = new
    head = changed.lm_head
    assert isinstance(head, RowHead)
    if not tied:
        head.rows.data.mul_(2)
        assert plain.lm_head is not None
        plain.lm_head.weight.data[ids] *= 2
    torch.testing.assert_close(changed(tokens), plain(tokens), rtol=1e-4, atol=1e-4)


def test_rows_learn_from_both_sides_of_a_tied_model(tmp_path: Path) -> None:
    folder = make_tiny("SmolVLM-256M-Instruct", tmp_path, tied=True)
    plain = SmolVLM.from_checkpoint(open_checkpoint(folder))
    changed = SmolVLM.from_checkpoint(open_checkpoint(folder)).requires_grad_(False)
    train_rows(changed, [7, 9])
    tokens = torch.tensor([[5, 7, 11, 9]])
    for model in (plain, changed):
        F.cross_entropy(model(tokens)[0], torch.tensor([7, 3, 9, 4])).backward()
    grads = [p.grad for p in changed.parameters() if p.requires_grad]
    whole = plain.text_model.embed_tokens.weight.grad
    assert len(grads) == 1 and grads[0] is not None and whole is not None
    torch.testing.assert_close(grads[0], whole[[7, 9]], rtol=1e-4, atol=1e-6)
