"""The language model: a plain Llama decoder over embeddings, with an optional cache.

It takes embeddings and not ids, because visual tokens have none; the head is applied by
`smolvlm.py`. Attention is causal over the whole sequence, visual tokens included. A sample may be
padded on the left (`attention_mask`): its positions then count only real tokens, as the published
`generate` does. Or samples of different lengths stand in one row (`segments`), as training packs
them.

Letters: B samples, L new tokens, T tokens held and new, H width, A heads, G key/value heads, W
width of one head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smolvlm.config import TextConfig
from smolvlm.model.cache import Cache
from smolvlm.model.layers import GatedMLP, RMSNorm, attend, rotary_table, rotate, split_heads
from smolvlm.model.segments import Segments


@dataclass(frozen=True)
class Reach:
    """What one forward pass may look at, and where its tokens stand; the same for every layer."""

    rotary: tuple[Tensor, Tensor]
    mask: Tensor | None  # bool (B, 1, L, T), or None where `causal` or everything says it all
    causal: bool
    segments: Segments | None = None


class TextAttention(nn.Module):
    """Grouped-query attention with rotary positions, no biases."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        wide, narrow = self.heads * config.head_dim, self.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, wide, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias=False)

    def forward(self, x: Tensor, reach: Reach, cache: Cache | None) -> Tensor:
        """(B, L, H) -> (B, L, H)."""
        queries = rotate(split_heads(self.q_proj(x), self.heads), reach.rotary)  # (B, A, L, W)
        keys = rotate(split_heads(self.k_proj(x), self.kv_heads), reach.rotary)  # (B, G, L, W)
        values = split_heads(self.v_proj(x), self.kv_heads)  # (B, G, L, W)
        if cache is not None:
            keys, values = cache.append(self.layer, keys, values)  # (B, G, T, W)
        if reach.segments is not None:
            queries, keys, values = map(reach.segments.spread, (queries, keys, values))
            apart = attend(queries, keys, values, mask=None, causal=True)  # (S, M, A*W)
            within: Tensor = self.o_proj(reach.segments.gather(apart))
            return within
        mixed: Tensor = self.o_proj(
            attend(queries, keys, values, mask=reach.mask, causal=reach.causal)
        )
        return mixed


class TextLayer(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = TextAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)

    def forward(self, x: Tensor, reach: Reach, cache: Cache | None) -> Tensor:
        """(B, L, H) -> (B, L, H)."""
        x = x + self.self_attn(self.input_layernorm(x), reach, cache)
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


class TextModel(nn.Module):
    """Embedding table, blocks and final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            TextLayer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        *,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        segments: Segments | None = None,
    ) -> Tensor:
        """Embeddings (B, L, H) -> last hidden states (B, L, H); keys and values go into `cache`.

        attention_mask: (B, past + L), 0 on padding; with a cache only for equal lengths.
        segments: the row (B = 1) holds several samples that cannot see each other; no mask, cache.
        """
        if segments is None:
            reach = self._reach(x, attention_mask, cache)
        else:
            assert attention_mask is None and cache is None, "packed rows are for training only"
            assert x.shape[:2] == (1, sum(segments.lengths)), (x.shape, segments.lengths)
            reach = Reach(self._rotary(segments.positions[None]), None, True, segments)
        for layer in self.layers:
            x = layer(x, reach, cache)
        if cache is not None:
            cache.advance(x.shape[1])
        hidden: Tensor = self.norm(x)
        return hidden

    def _reach(self, x: Tensor, attention_mask: Tensor | None, cache: Cache | None) -> Reach:
        """Positions and mask of the new tokens."""
        batch, new = x.shape[:2]
        past = cache.lengths if cache is not None else (0,) * batch
        assert len(past) == batch, (past, x.shape)
        starts = torch.tensor(past, device=x.device)  # (B,)
        columns = starts[:, None] + torch.arange(new, device=x.device)  # (B, L)
        if attention_mask is None:
            mask = None if _sees_all(past, new) else _visible(columns, max(past) + new)
            return Reach(self._rotary(columns), mask, causal=mask is None and new > 1)
        assert len(set(past)) == 1, f"padding and samples of different lengths {past}: pick one"
        assert attention_mask.shape == (batch, past[0] + new), (attention_mask.shape, past, new)
        # Padding comes before the first token, where the count is -1: any position will do there.
        positions = (attention_mask.cumsum(1) - 1).clamp_min(0)[:, past[0] :]  # (B, L)
        mask = _visible(columns, past[0] + new) & attention_mask.bool()[:, None, None, :]
        # A padding row would see nothing, and a softmax over nothing is NaN: let it see itself.
        own = columns[:, None, :, None] == torch.arange(past[0] + new, device=x.device)
        return Reach(self._rotary(positions), mask | own, causal=False)

    def _rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_table(positions, self.config.head_dim, self.config.rope_theta)


def _sees_all(past: tuple[int, ...], new: int) -> bool:
    """Whether no mask is needed: a fresh pass (plain causal), or one token for equal samples."""
    return max(past) == 0 or (new == 1 and len(set(past)) == 1)


def _visible(columns: Tensor, total: int) -> Tensor:
    """New tokens at columns (B, L) see column t where t <= their own: bool (B, 1, L, T)."""
    return torch.arange(total, device=columns.device) <= columns[:, None, :, None]  # (B, 1, L, T)
