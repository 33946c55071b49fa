"""Keys and values of tokens that were already read, so that each token is read once.

One buffer per layer and side, as long as the longest sample so far and doubled when it is full;
give `capacity` to have room from the start. Every sample has its own length, so that conversations
at different places can share a batch: what lies beyond a sample's length is leftover that the text
model masks. Which tokens are padding is not known here.

Letters: B samples, G key/value heads, L new tokens, T tokens held, W width of one head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from smolvlm.config import TextConfig

INITIAL_CAPACITY = 64  # tokens; small beside any prompt with a picture, and doubling is cheap


class Cache(Protocol):
    """What the text model asks of a cache."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens held by each sample, before the tokens of the forward pass under way."""
        ...

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new (B, G, L, W) of a layer behind each sample's length; returns (B, G, T, W)."""
        ...

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens for every sample, after all layers appended them."""
        ...


class KVCache:
    """Buffers for `batch` samples that grow together."""

    def __init__(
        self,
        config: TextConfig,
        batch: int = 1,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        capacity: int = INITIAL_CAPACITY,
    ) -> None:
        self._lengths = [0] * batch
        shape = (batch, config.num_key_value_heads, capacity, config.head_dim)
        # Zeros, not whatever memory held: a masked NaN would still spoil the sum, because 0 * NaN
        # is NaN.
        self._buffers = [
            (
                torch.zeros(shape, dtype=dtype, device=device),
                torch.zeros(shape, dtype=dtype, device=device),
            )
            for _ in range(config.num_hidden_layers)
        ]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens held by each sample."""
        return tuple(self._lengths)

    @property
    def capacity(self) -> int:
        """Tokens each sample has room for before the buffers are doubled."""
        return self._buffers[0][0].shape[2]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new (B, G, L, W) behind each sample's length; returns all of it, (B, G, T, W)."""
        total = max(self._lengths) + keys.shape[2]
        pair = tuple(
            self._write(_with_room(buffer, total), new)
            for buffer, new in zip(self._buffers[layer], (keys, values), strict=True)
        )
        self._buffers[layer] = (pair[0], pair[1])
        return pair[0][:, :, :total], pair[1][:, :, :total]  # (B, G, T, W)

    def _write(self, buffer: Tensor, new: Tensor) -> Tensor:
        for sample, start in enumerate(self._lengths):
            buffer[sample, :, start : start + new.shape[2]] = new[sample]
        return buffer

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens for every sample."""
        self._lengths = [length + tokens for length in self._lengths]

    def held(self, length: int) -> list[tuple[Tensor, Tensor]]:
        """The keys and values (B, G, length, W) of every layer; views, not copies."""
        return [(keys[:, :, :length], values[:, :, :length]) for keys, values in self._buffers]

    def truncate(self, length: int, sample: int = 0) -> None:
        """Forget the tokens of one sample from position `length` on."""
        assert 0 <= length <= self._lengths[sample], (length, self._lengths[sample])
        self._lengths[sample] = length


class JoinedCache:
    """Several caches of one sample each, read as one batch; each keeps its own buffers."""

    def __init__(self, caches: Sequence[KVCache]) -> None:
        assert all(len(cache.lengths) == 1 for cache in caches), [c.lengths for c in caches]
        self._caches = caches

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens held by each cache."""
        return tuple(cache.lengths[0] for cache in self._caches)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store row b of (B, G, L, W) in cache b; returns (B, G, T, W), padded with zeros."""
        pairs = [
            cache.append(layer, keys[b : b + 1], values[b : b + 1])  # 2 x (1, G, T_b, W)
            for b, cache in enumerate(self._caches)
        ]
        return _stack([keys for keys, _ in pairs]), _stack([values for _, values in pairs])

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens in every cache."""
        for cache in self._caches:
            cache.advance(tokens)


def _with_room(buffer: Tensor, total: int) -> Tensor:
    """The buffer, or one at least twice as long that starts with it, so that `total` tokens fit."""
    batch, heads, capacity, width = buffer.shape
    if total <= capacity:
        return buffer
    larger = buffer.new_zeros(batch, heads, max(total, 2 * capacity), width)  # (B, G, capacity', W)
    larger[:, :, :capacity] = buffer
    return larger


def _stack(parts: Sequence[Tensor]) -> Tensor:
    """(1, G, T_b, W) each -> (B, G, T, W), padded with zeros."""
    longest = max(part.shape[2] for part in parts)
    padded = [F.pad(p, (0, 0, 0, longest - p.shape[2])) for p in parts]
    return torch.cat(padded)  # (B, G, T, W)
