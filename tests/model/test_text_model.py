"""Positions, masks and caches of the language model, compared with plain unpadded passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smolvlm.config import ModelConfig
from smolvlm.model.cache import JoinedCache, KVCache
from smolvlm.model.text import TextModel
from tests.checkpoints import tiny_config


@pytest.fixture(scope="module", params=["SmolVLM2-256M-Video-Instruct", "SmolVLM-Instruct"])
def model(request: pytest.FixtureRequest) -> TextModel:
    torch.manual_seed(0)
    return TextModel(ModelConfig.from_json(tiny_config(request.param)).text).eval()


def embeddings(model: TextModel, *lengths: int) -> list[Tensor]:
    return [torch.randn(1, n, model.config.hidden_size) for n in lengths]


def assert_same(seen: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_left_padding_changes_nothing(model: TextModel) -> None:
    samples = embeddings(model, 9, 4, 1)
    padded = torch.randn(3, 9, model.config.hidden_size)  # padding may hold anything
    mask = torch.zeros(3, 9, dtype=torch.int64)
    for row, x in enumerate(samples):
        padded[row, 9 - x.shape[1] :], mask[row, 9 - x.shape[1] :] = x[0], 1
    seen = model(padded, attention_mask=mask)
    assert not seen.isnan().any()
    for row, x in enumerate(samples):
        assert_same(seen[row, 9 - x.shape[1] :], model(x)[0])


@torch.no_grad()
def test_left_padded_batch_goes_on_with_a_cache(model: TextModel) -> None:
    (long,) = embeddings(model, 8)
    (short,) = embeddings(model, 5)
    padded = torch.cat((torch.nn.functional.pad(short, (0, 0, 3, 0)), long))  # (2, 8, H)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [1] * 8])
    cache = KVCache(model.config, batch=2)
    seen = [
        model(padded[:, start:stop], attention_mask=mask[:, :stop], cache=cache)
        for start, stop in ((0, 4), (4, 7), (7, 8))
    ]
    whole = torch.cat(seen, dim=1)
    assert_same(whole[0, 3:], model(short)[0])
    assert_same(whole[1], model(long)[0])


@pytest.mark.parametrize("new", [1, 3])
@torch.no_grad()
def test_samples_of_different_lengths_share_a_batch(model: TextModel, new: int) -> None:
    samples = embeddings(model, 2 + new, 7 + new, 4 + new)
    caches = [KVCache(model.config, capacity=1) for _ in samples]
    for x, cache in zip(samples, caches, strict=True):
        model(x[:, :-new], cache=cache)
    seen = model(torch.cat([x[:, -new:] for x in samples]), cache=JoinedCache(caches))
    for row, x in enumerate(samples):
        assert_same(seen[row], model(x)[0, -new:])
        assert caches[row].lengths == (x.shape[1],)


@torch.no_grad()
def test_a_batch_cache_with_one_sample_truncated(model: TextModel) -> None:
    (x,) = embeddings(model, 6)
    cache = KVCache(model.config, batch=2)
    model(x[:, :5].expand(2, -1, -1), cache=cache)
    cache.truncate(2, sample=0)
    new = torch.stack((x[0, 2], x[0, 5]))[:, None]  # (2, 1, H)
    seen = model(new, cache=cache)
    wanted = model(x)
    assert_same(seen[:, 0], torch.stack((wanted[0, 2], wanted[0, 5])))


@torch.no_grad()
def test_nothing_depends_on_later_tokens(model: TextModel) -> None:
    (x,) = embeddings(model, 8)
    changed = x.clone()
    changed[:, 5] += 1.0
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(-1).all()


def test_padding_with_samples_of_different_lengths_is_refused(model: TextModel) -> None:
    cache = KVCache(model.config, batch=2)
    model(torch.cat(embeddings(model, 3, 3)), cache=cache)
    cache.truncate(1, sample=0)
    with pytest.raises(AssertionError, match="pick one"):
        model(
            torch.cat(embeddings(model, 1, 1)),
            attention_mask=torch.ones(2, 4),
            cache=cache,
        )
