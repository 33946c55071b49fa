"""Names of drawings as directions in the language model's space.

The embeddings of names overlap: a few directions are common to all. Whitened (by their covariance,
with a ridge), different names are nearly orthogonal, so that pointing at one means not pointing at
the others. But the language model reads embeddings as they are: plain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.embedded.materials import Drawings
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer

PEOPLE = ("people-body", "smileys-emotion")  # groups that are no things
RIDGE = 0.1  # relative to the mean variance of the names' embeddings


class Names:
    """All names of some rows of the pack; `ids` says which are right for a row, the best first."""

    def __init__(self, pack: Drawings, rows: Sequence[int]) -> None:
        self.names = sorted({name for row in rows if (name := pack.row(row)["label"])})
        place = {name: id_ for id_, name in enumerate(self.names)}
        self.ids = {
            row: [place[name] for name in (said["label"], *said["answers"]) if name in place]
            for row, said in ((row, pack.row(row)) for row in rows)
        }

    def right(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The name of each row, int64 (B,), and which others would be right too, bool (B, N)."""
        labels = torch.tensor([self.ids[row][0] for row in rows])  # (B,)
        others = torch.zeros(len(rows), len(self.names), dtype=torch.bool)  # (B, N)
        for line, row in zip(others, rows, strict=True):
            line[self.ids[row][1:]] = True
        others[torch.arange(len(rows)), labels] = False
        return labels, others

    @torch.no_grad()
    def words(self, model: SmolVLM, tokenizer: Tokenizer) -> Tensor:
        """The mean of the embeddings of each name's tokens: float32 (N, H)."""
        table = model.text_model.embed_tokens.weight.float()  # (V, H)
        return torch.stack(
            [table[torch.tensor(tokenizer.encode(f" {name}"))].mean(0) for name in self.names]
        )


class Plain(nn.Module):
    """Scores of names by the cosine of their centred embeddings, as the language model has them.

    scale: what a cosine is first multiplied by.
    """

    def __init__(self, words: Tensor, *, scale: float) -> None:
        super().__init__()
        self.mean = words.mean(0)  # (H,)
        self.variance = float((words - self.mean).square().mean())
        self.units = F.normalize(words - self.mean, dim=-1)  # (N, H)
        self.scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, pooled: Tensor) -> Tensor:
        """Vectors (B, H) -> scores (B, N)."""
        scores: Tensor = F.normalize(pooled - self.mean, dim=-1) @ self.units.T * self.scale.exp()
        return scores


class Whitened(nn.Module):
    """Scores of names by the cosine of their whitened embeddings; where the origin is, is learned.

    start: the first origin, (H,). scale: what a cosine is first multiplied by.
    """

    def __init__(self, words: Tensor, start: Tensor, *, scale: float) -> None:
        super().__init__()
        centred = words - words.mean(0)
        covariance = centred.T @ centred / len(centred)  # (H, H)
        values, vectors = torch.linalg.eigh(covariance)
        scales = (values + RIDGE * values.mean()).rsqrt()  # (H,)
        self.white = vectors @ torch.diag(scales) @ vectors.T  # (H, H)
        self.units = F.normalize(centred @ self.white, dim=-1)  # (N, H)
        self.shift = nn.Parameter(start.clone())  # (H,)
        self.scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, pooled: Tensor) -> Tensor:
        """Vectors (B, H) -> scores (B, N)."""
        pointing = F.normalize((pooled - self.shift) @ self.white, dim=-1)  # (B, H)
        scores: Tensor = pointing @ self.units.T * self.scale.exp()
        return scores
