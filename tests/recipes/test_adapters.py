"""Adapters: nothing changes until they are trained, and merging them changes nothing either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recipes.embedded.adapters import (
    ADAPTED,
    LowRankLinear,
    RowEmbedding,
    adapt,
    restore_trained,
    trained_tensors,
)
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.weights.embedded import apply_trained
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests.checkpoints import make_tiny

NEW_ROWS = (49189, 49152, 49279)
SCALE = 0.5


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder: Path = tmp_path_factory.mktemp("adapters") / "tiny"
    return open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", folder, tied=True))


def prompt(model: SmolVLM) -> tuple[Tensor, Tensor]:
    """Ids (2, 9) with new tokens and three visual tokens each, patch features (6, C)."""
    torch.manual_seed(1)
    ids = torch.randint(0, 49000, (2, 9))
    ids[:, 1], ids[:, -1] = NEW_ROWS[0], NEW_ROWS[2]
    ids[:, 2:5] = model.config.image_token_id
    return ids, torch.randn(6, model.config.connector_width)


def adapted_logits(model: SmolVLM, embedding: RowEmbedding, ids: Tensor, patches: Tensor) -> Tensor:
    """Logits (B, L, V) of an adapted model, put together by hand."""
    x = embedding(ids)  # (B, L, H)
    x[ids == model.config.image_token_id] = model.connector.modality_projection(patches)
    hidden = model.text_model(x)  # (B, L, H)
    return embedding.logits(hidden.flatten(0, 1)).unflatten(0, ids.shape)


def plain_logits(model: SmolVLM, ids: Tensor, patches: Tensor) -> Tensor:
    logits: Tensor = model(ids, features=model.connector.modality_projection(patches))
    return logits


def randomise(model: SmolVLM, embedding: RowEmbedding) -> None:
    """As if it had been trained for long."""
    torch.manual_seed(2)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LowRankLinear):
                module.lora_b.normal_(std=0.1)
        embedding.rows.normal_()
        model.connector.modality_projection.proj.weight.normal_(std=0.05)


@torch.no_grad()
def test_untrained_adapters_change_nothing(checkpoint: Checkpoint) -> None:
    base = SmolVLM.from_checkpoint(checkpoint)
    ids, patches = prompt(base)
    wanted = plain_logits(base, ids, patches)
    embedding = adapt(base, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    torch.testing.assert_close(
        adapted_logits(base, embedding, ids, patches), wanted, rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_merged_weights_are_the_adapted_model(checkpoint: Checkpoint) -> None:
    model = SmolVLM.from_checkpoint(checkpoint)
    ids, patches = prompt(model)
    untrained = plain_logits(model, ids, patches)
    embedding = adapt(model, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    randomise(model, embedding)
    wanted = adapted_logits(model, embedding, ids, patches)
    trained = {key: value.numpy() for key, value in trained_tensors(model).items()}
    tensors = {name: checkpoint.f32(name) for name in checkpoint.names()}
    merged = apply_trained(tensors, trained, SCALE)
    plain = SmolVLM(checkpoint.config).eval()
    plain.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in merged.items()})
    found = plain_logits(plain, ids, patches)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
    assert float((found - untrained).norm() / wanted.norm()) > 0.1, "the training must be seen"


def test_row_embedding_is_a_table_with_some_rows_replaced() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(20, 8)
    embedding = RowEmbedding(table, (3, 17, 5))
    ids, hidden = torch.randint(0, 20, (4, 30)), torch.randn(6, 8)
    torch.testing.assert_close(embedding(ids), table(ids))
    with torch.no_grad():
        embedding.rows.normal_()
    replaced = table.weight.detach().clone()
    replaced[[3, 17, 5]] = embedding.rows.detach()
    torch.testing.assert_close(embedding(ids), replaced[ids])
    torch.testing.assert_close(embedding.logits(hidden), hidden @ replaced.T)


def test_only_connector_adapters_and_rows_learn(checkpoint: Checkpoint) -> None:
    model = SmolVLM.from_checkpoint(checkpoint)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids, patches = prompt(model)
    embedding = adapt(model, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    randomise(model, embedding)
    loss = adapted_logits(model, embedding, ids, patches).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    layers = checkpoint.config.text.num_hidden_layers
    adapters = {name for name in learning if ".lora_" in name}
    assert len(adapters) == 2 * layers * len(ADAPTED)
    assert learning - adapters == {
        "text_model.embed_tokens.rows",
        "connector.modality_projection.proj.weight",
    }
    assert learning == {name for name, p in model.named_parameters() if p.requires_grad}
    frozen = {n.replace(".base.", "."): p for n, p in model.named_parameters() if n not in learning}
    assert all(torch.equal(before[name], p) for name, p in frozen.items())


def test_what_is_trained_is_kept_in_float32(checkpoint: Checkpoint) -> None:
    model = SmolVLM.from_checkpoint(checkpoint, dtype=torch.bfloat16)
    embedding = adapt(model, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    assert embedding(torch.tensor([[1, NEW_ROWS[0]]])).dtype == torch.bfloat16
    kinds = {key.partition(":")[0]: t.dtype for key, t in trained_tensors(model).items()}
    assert kinds.pop("rows_index") == torch.int32
    assert set(kinds) == {"lora_a", "lora_b", "rows", "set"}
    assert set(kinds.values()) == {torch.float32}


@torch.no_grad()
def test_what_was_trained_can_be_put_back(checkpoint: Checkpoint) -> None:
    first, second = (SmolVLM.from_checkpoint(checkpoint) for _ in range(2))
    ids, patches = prompt(first)
    embedding = adapt(first, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    randomise(first, embedding)
    other = adapt(second, rank=4, scale=SCALE, new_rows=NEW_ROWS)
    restore_trained(second, trained_tensors(first))
    wanted = adapted_logits(first, embedding, ids, patches)
    assert torch.equal(adapted_logits(second, other, ids, patches), wanted)
