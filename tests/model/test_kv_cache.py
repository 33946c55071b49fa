"""The cache as storage: what was appended comes back, whatever grew, was truncated or joined."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smolvlm.config import ModelConfig, TextConfig
from smolvlm.model.cache import JoinedCache, KVCache
from tests.checkpoints import tiny_config


@pytest.fixture
def config() -> TextConfig:
    return ModelConfig.from_json(tiny_config("SmolVLM2-256M-Video-Instruct")).text


def new_pair(config: TextConfig, batch: int, tokens: int) -> tuple[Tensor, Tensor]:
    shape = (batch, config.num_key_value_heads, tokens, config.head_dim)
    return torch.randn(shape), torch.randn(shape)


def test_growing_keeps_what_was_there(config: TextConfig) -> None:
    cache = KVCache(config, batch=2, capacity=4)
    pairs = [new_pair(config, 2, n) for n in (3, 1, 1, 9)]
    for pair in pairs:
        keys, values = cache.append(0, *pair)
        cache.advance(pair[0].shape[2])
    assert cache.lengths == (14, 14) and cache.capacity >= 14
    assert torch.equal(keys, torch.cat([k for k, _ in pairs], dim=2))
    assert torch.equal(values, torch.cat([v for _, v in pairs], dim=2))


def test_room_from_the_start_is_not_moved(config: TextConfig) -> None:
    cache = KVCache(config, capacity=8)
    first, _ = cache.append(0, *new_pair(config, 1, 3))
    cache.advance(3)
    second, _ = cache.append(0, *new_pair(config, 1, 5))
    assert cache.capacity == 8
    assert first.data_ptr() == second.data_ptr()


def test_layers_are_apart(config: TextConfig) -> None:
    cache = KVCache(config)
    one, two = new_pair(config, 1, 2), new_pair(config, 1, 2)
    first, second = cache.append(0, *one), cache.append(1, *two)
    assert torch.equal(first[0], one[0]) and torch.equal(second[0], two[0])


def test_truncated_samples_are_written_where_they_end(config: TextConfig) -> None:
    cache = KVCache(config, batch=2)
    old, new = new_pair(config, 2, 5), new_pair(config, 2, 2)
    cache.append(0, *old)
    cache.advance(5)
    cache.truncate(1, sample=1)
    assert cache.lengths == (5, 1)
    keys, _ = cache.append(0, *new)  # (2, G, 7, W)
    assert torch.equal(keys[0], torch.cat((old[0][0], new[0][0]), dim=1))
    assert torch.equal(keys[1, :, :3], torch.cat((old[0][1, :, :1], new[0][1]), dim=1))


def test_truncate_beyond_the_end_is_refused(config: TextConfig) -> None:
    with pytest.raises(AssertionError):
        KVCache(config).truncate(1)


def test_joined_caches_read_as_a_padded_batch_and_stay_apart(config: TextConfig) -> None:
    caches = [KVCache(config, capacity=2) for _ in range(3)]
    old = [new_pair(config, 1, n) for n in (4, 1, 2)]
    for cache, pair in zip(caches, old, strict=True):
        for layer in range(config.num_hidden_layers):
            cache.append(layer, *pair)
        cache.advance(pair[0].shape[2])
    joined = JoinedCache(caches)
    new = new_pair(config, 3, 1)
    _, values = joined.append(0, *new)  # (3, G, 5, W)
    joined.advance(1)
    assert values.shape[2] == 5 and joined.lengths == (5, 2, 3)
    for b, length in enumerate(joined.lengths):
        own = torch.cat((old[b][1][0], new[1][b]), dim=1)  # (G, length, W)
        assert torch.equal(values[b, :, :length], own)
        assert not values[b, :, length:].any()
        assert torch.equal(caches[b].append(0, *new_pair(config, 1, 1))[1][0, :, :length], own)


def test_only_single_conversations_can_be_joined(config: TextConfig) -> None:
    with pytest.raises(AssertionError):
        JoinedCache([KVCache(config, batch=2)])
