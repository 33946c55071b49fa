"""The whole network: tiles to visual tokens, ids and visual tokens to logits.

The readable statement of what every engine computes, for all members of the family: the Idefics3
and SmolVLM layouts hold the same tensors. It never chooses a token and knows no text; pixels arrive
normalised. Built from scratch it has PyTorch's initial weights, `from_checkpoint` fills it from a
folder.

Letters: B samples, L new tokens, N tiles, S tile side, T visual tokens per tile, K visual tokens of
the batch, H text width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from smolvlm.config import ModelConfig
from smolvlm.model.cache import Cache
from smolvlm.model.connector import Connector
from smolvlm.model.text import TextModel
from smolvlm.model.vision import VisionTower

if TYPE_CHECKING:
    from smolvlm.weights.reader import Checkpoint


class SmolVLM(nn.Module):
    """A SmolVLM; the keys of its `state_dict` are our tensor names (`weights/names.py`).

    With a tied head there is no `lm_head`: the embedding matrix is used, and trained, twice.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionTower(config.vision)
        self.connector = Connector(config)
        self.text_model = TextModel(config.text)
        self.lm_head = (
            None
            if config.tie_word_embeddings
            else nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        )

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        dtype: torch.dtype | Callable[[str], torch.dtype] = torch.float32,
    ) -> SmolVLM:
        """The network with a checkpoint's weights, copied into `dtype`, in evaluation mode.

        dtype: of all weights, or a function from the name of each.
        """
        of = dtype if callable(dtype) else lambda _: dtype
        with torch.device("meta"):
            model = cls(checkpoint.config)
        weights = {name: _tensor(checkpoint, name, of(name)) for name in model.state_dict()}
        model.load_state_dict(weights, assign=True)
        return model.eval()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, and of everything between embeddings and logits."""
        return self.text_model.embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.text_model.embed_tokens.weight.device

    def encode_tiles(self, pixel_values: Tensor, patch_mask: Tensor | None = None) -> Tensor:
        """Normalised pixels (N, 3, S, S) -> visual tokens (N, T, H).

        patch_mask: bool (N, g, g) for tiles that are only partly picture; None, as for all of ours,
        when they are full.
        """
        visual: Tensor = self.connector(self.vision_model(pixel_values, patch_mask))
        return visual

    def embed(self, input_ids: Tensor, features: Tensor | None = None) -> Tensor:
        """Ids (B, L) -> embeddings (B, L, H), with the rows of `features` (K, H) at the `<image>`
        ids.

        Places are filled sample by sample, left to right. ValueError when there are not exactly K
        of them.
        """
        embeddings: Tensor = self.text_model.embed_tokens(input_ids)  # (B, L, H)
        places = input_ids == self.config.image_token_id  # (B, L)
        wanted, given = int(places.sum()), 0 if features is None else len(features)
        if wanted != given:
            raise ValueError(
                f"the prompt has {wanted} <image> tokens but {given} visual tokens were given"
            )
        if features is None or given == 0:
            return embeddings
        return embeddings.masked_scatter(places[..., None], features.to(embeddings.dtype))

    def forward(
        self,
        input_ids: Tensor,
        *,
        features: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Ids int64 (B, L) -> logits (B, L, V), or (B, 1, V) of the last token.

        features: (K, H), the output of `encode_tiles` with tiles and tokens in one axis;
        differentiable.
        attention_mask: (B, past + L), 0 on the padding, which stands on the left.
        cache: what the samples read before; the new tokens are added to it.
        """
        x = self.embed(input_ids, features)  # (B, L, H)
        x = self.text_model(x, attention_mask=attention_mask, cache=cache)
        if last_only:
            x = x[:, -1:]  # (B, 1, H)
        return self.head(x)

    def head(self, hidden: Tensor) -> Tensor:
        """Last hidden states (..., H) -> logits (..., V)."""
        if self.lm_head is None:
            return nn.functional.linear(hidden, self.text_model.embed_tokens.weight)
        logits: Tensor = self.lm_head(hidden)
        return logits


def _tensor(checkpoint: Checkpoint, name: str, dtype: torch.dtype) -> Tensor:
    """A copy of one tensor of a checkpoint: the file's memory map may not be written to."""
    if checkpoint.packed(name) is not None:
        return torch.from_numpy(checkpoint.f32(name)).to(dtype)
    raw = torch.tensor(checkpoint.raw(name))
    stored = raw.view(torch.bfloat16) if checkpoint.dtype(name) == "BF16" else raw
    return stored.to(dtype)
