"""From a batch to the loss of each learned token: the forward pass of training.

The tower runs without a graph where it is frozen, logits are made for learned positions only, and
long batches make them piece by piece, so that memory follows the answers and not the prompt times
the vocabulary. Sums and means over samples, tasks and processes are `trainer.py`'s business.

Letters: B samples, L tokens, n learned ones, N tiles, K visual tokens, H text width, V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from smolvlm.config import ImageRules
from smolvlm.model.segments import Segments
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.model.vision import VisionTower
from smolvlm.processing.pixels import normalization_table
from smolvlm.training.collate import NO_LOSS, Batch
from smolvlm.training.lora import adapters
from smolvlm.training.tower_cache import TowerCache

LOGITS_AT_ONCE = 1024  # rows of the vocabulary's width, float32: 200 MB


def token_losses(
    model: SmolVLM,
    batch: Batch,
    rules: ImageRules,
    *,
    neftune: float = 0.0,
    cache: TowerCache | None = None,
) -> Tensor:
    """The cross-entropy of every learned token, in reading order: float32 (n,).

    cache: where outputs of a frozen tower are kept.
    """
    tiles = batch.tiles
    features = visual_tokens(model, tiles, rules, cache) if len(tiles) else None  # (K, H)
    x = model.embed(batch.ids, features)  # (B, L, H)
    if neftune:
        x = _with_noise(x, batch, neftune)
    segments = Segments.of(batch.lengths, x.device) if batch.packed else None
    hidden = model.text_model(x, attention_mask=batch.attention_mask, segments=segments)
    learned = batch.targets != NO_LOSS  # (B, L)
    return _cross_entropy(model, hidden[learned], batch.targets[learned])  # (n, H), (n,)


def visual_tokens(
    model: SmolVLM, tiles: Tensor, rules: ImageRules, cache: TowerCache | None = None
) -> Tensor:
    """Tiles uint8 (N, S, S, 3) -> the rows that take the place of `<image>` tokens, (K, H)."""
    table = torch.from_numpy(normalization_table(rules)).to(tiles.device)  # (3, 256)
    if any(parameter.requires_grad for parameter in model.vision_model.parameters()):
        patches = _trained_tower(model.vision_model, _pixels(tiles, table))  # (N, P, D)
    else:
        patches = (cache or TowerCache())(
            tiles, lambda piece: _frozen_tower(model.vision_model, _pixels(piece, table))
        )  # (N, P, D)
    tokens: Tensor = model.connector(patches)  # (N, T, H)
    return tokens.flatten(0, 1)  # (K, H)


def _frozen_tower(tower: VisionTower, pixels: Tensor) -> Tensor:
    """The tower on float32 (N, 3, S, S), without gradients: (N, P, D).

    Held in bfloat16, all of it is computed in that, as autocast would not.
    """
    device = pixels.device.type
    wide = next(tower.parameters()).dtype == torch.float32
    with torch.autocast(device, enabled=wide and torch.is_autocast_enabled(device)):
        return cast("Tensor", tower(pixels))


def _trained_tower(tower: VisionTower, pixels: Tensor) -> Tensor:
    """The tower on float32 (N, 3, S, S), with gradients: (N, P, D).

    Autocast would keep norms and residual sums in float32; with every weight cast once, they are
    computed in the narrow type as well, 2.5 times as fast on a CPU. Gradients reach the float32
    weights through the cast. Adapters cast what they are made of themselves, where it does no harm.
    """
    device = pixels.device.type
    if not torch.is_autocast_enabled(device):
        return cast("Tensor", tower(pixels))
    narrow = torch.get_autocast_dtype(device)
    own = {weight for _, adapter in adapters(tower) for weight in adapter.parameters(recurse=False)}
    weights = {
        name: weight if weight in own else weight.to(narrow)
        for name, weight in tower.named_parameters()
    }
    with torch.autocast(device, enabled=False):
        return cast("Tensor", functional_call(tower, weights, (pixels.to(narrow),)))


def sample_sums(losses: Tensor, batch: Batch) -> Tensor:
    """Summed loss of each sample: float32 (B,), detached."""
    sums = torch.zeros(len(batch.lengths), device=losses.device)  # (B,)
    return sums.index_add(0, batch.owners, losses.detach())


def _pixels(tiles: Tensor, table: Tensor) -> Tensor:
    """The rule of `processing/pixels.py` by its own table: float32 (N, 3, S, S)."""
    channels = [table[c][tiles[..., c].long()] for c in range(3)]  # 3 x (N, S, S)
    return torch.stack(channels, dim=1)  # (N, 3, S, S)


def _with_noise(x: Tensor, batch: Batch, alpha: float) -> Tensor:
    """NEFTune: uniform noise of alpha / sqrt(L * H) on every embedding of a sample."""
    width = x.shape[-1]
    if batch.packed:
        lengths = torch.tensor(batch.lengths, device=x.device)
        own = lengths.repeat_interleave(lengths)[None]  # (1, L)
    else:
        own = torch.tensor(batch.lengths, device=x.device)[:, None]  # (B, 1)
    size = alpha / (own * width).float().sqrt()  # (B, L) or (B, 1)
    return x + (torch.empty_like(x).uniform_(-1, 1) * size[..., None]).to(x.dtype)


def _cross_entropy(model: SmolVLM, hidden: Tensor, targets: Tensor) -> Tensor:
    """Hidden states (n, H) and the tokens they should say (n,) -> float32 (n,)."""

    def piece(rows: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(model.head(rows).float(), wanted, reduction="none")

    if len(hidden) <= LOGITS_AT_ONCE:
        return piece(hidden, targets)
    # The logits of a piece are made again for the backward pass instead of being kept.
    pairs = zip(*(torch.split(x, LOGITS_AT_ONCE) for x in (hidden, targets)), strict=True)
    return torch.cat([checkpoint(piece, *pair, use_reentrant=False) for pair in pairs])
