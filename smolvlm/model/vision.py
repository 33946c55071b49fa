"""The vision tower (SigLIP form): tiles in, one vector per patch out.

Pre-norm blocks with biases and tanh-GELU, bidirectional attention, and `post_layernorm` over the
whole patch sequence: no pooling, no class token. The rule for the position of a patch in a partly
filled tile is the published one (fractional coordinates, bucketised), written in integers. Full
tiles, the only kind our processing makes, take the identity.

Letters: N tiles, S tile side in pixels, g patches along a side, P = g*g patches, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smolvlm.config import VisionConfig
from smolvlm.model.layers import attend, split_heads
from smolvlm.model.passes import attend_to_all, gelu


class PatchEmbeddings(nn.Module):
    """Cut a tile into patches and add to each the vector of its position."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.grid = config.grid
        # No padding: pixels beyond the last whole patch (6 rows and columns of a 384 tile) are
        # never seen.
        self.patch_embedding = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
        )
        self.position_embedding = nn.Embedding(config.num_patches, config.hidden_size)

    def forward(self, pixel_values: Tensor, patch_mask: Tensor | None) -> Tensor:
        """Pixels (N, 3, S, S), mask (N, g, g) -> (N, P, D), patches row by row."""
        pixel_values = pixel_values.to(self.patch_embedding.weight.dtype)
        patches: Tensor = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)  # (N, P, D)
        if patch_mask is None:
            return patches + self.position_embedding.weight
        positions: Tensor = self.position_embedding(position_ids(patch_mask, self.grid))
        return patches + positions


class VisionAttention(nn.Module):
    """Every patch looks at every valid patch of its tile."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, P, D) -> (N, P, D)."""
        projected = self.q_proj(x), self.k_proj(x), self.v_proj(x)  # (N, P, D) each
        mixed = attend_to_all(*projected, self.heads) if mask is None else None
        if mixed is None:
            queries, keys, values = (split_heads(part, self.heads) for part in projected)
            mixed = attend(queries, keys, values, mask=mask)  # of (N, A, P, W)
        result: Tensor = self.out_proj(mixed)
        return result


class VisionMLP(nn.Module):
    """Two layers around a tanh-GELU."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, P, D) -> (N, P, D)."""
        mixed: Tensor = self.fc2(gelu(self.fc1(x)))
        return mixed


class VisionLayer(nn.Module):
    """One pre-norm block."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, P, D) -> (N, P, D)."""
        x = x + self.self_attn(self.layer_norm1(x), mask)
        x = x + self.mlp(self.layer_norm2(x))
        return x


class VisionEncoder(nn.Module):
    """The stack of blocks; a module of its own because the published names have this level."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(N, P, D) -> (N, P, D)."""
        for layer in self.layers:
            x = layer(x, mask)
        return x


class VisionTower(nn.Module):
    """Tiles to patch vectors."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbeddings(config)
        self.encoder = VisionEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor, patch_mask: Tensor | None = None) -> Tensor:
        """Normalised pixels (N, 3, S, S) -> (N, P, D).

        patch_mask: bool (N, g, g), True on patches that hold picture; None when all do. Masked
        patches are hidden as keys and still come out, as in the published classes.
        """
        x = self.embeddings(pixel_values, patch_mask)
        keys = (
            None if patch_mask is None else patch_mask.flatten(1)[:, None, None, :]
        )  # (N, 1, 1, P)
        encoded: Tensor = self.post_layernorm(self.encoder(x, keys))
        return encoded


def to_patch_mask(pixel_mask: Tensor, patch_size: int) -> Tensor:
    """Pixels that hold picture, (N, S, S), to patches in which any does: bool (N, g, g)."""
    any_pixel = F.max_pool2d(pixel_mask[:, None].float(), kernel_size=patch_size)  # (N, 1, g, g)
    return any_pixel[:, 0] > 0  # (N, g, g)


def position_ids(patch_mask: Tensor, grid: int) -> Tensor:
    """Where each patch sits in the position table: int64 (N, P) from a mask bool (N, g, g).

    The valid kh x kw corner is stretched over the whole table: row r of kh takes table row r*g //
    kh, and columns likewise; hidden patches take position 0. A full tile gives 0, 1, 2, ...
    """
    heights = patch_mask[:, :, 0].sum(1, keepdim=True).clamp_min(1)  # (N, 1), counted in column 0
    widths = patch_mask[:, 0, :].sum(1, keepdim=True).clamp_min(1)  # (N, 1), counted in row 0
    steps = torch.arange(grid, device=patch_mask.device) * grid
    rows, cols = steps // heights, steps // widths  # (N, g) each
    positions = rows[:, :, None] * grid + cols[:, None, :]  # (N, g, g)
    return torch.where(patch_mask, positions, 0).flatten(1)  # (N, P)
