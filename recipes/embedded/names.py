"""Names of drawings as directions in the language model's space.

The embeddings of names overlap: a few directions are common to all. Whitened (by their covariance,
with a ridge), different names are nearly orthogonal, so that pointing at one means not pointing at
the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recipes.embedded.pack import AssetPack
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer

PEOPLE = ("people-body", "smileys-emotion")  # groups that are no things
RIDGE = 0.1  # relative to the mean variance of the names' embeddings


class Names:
    """All names of some rows of the pack; `ids` says which are right for a row, the best first."""

    def __init__(self, pack: AssetPack, rows: Sequence[int]) -> None:
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
    def whitening(self, model: SmolVLM, tokenizer: Tokenizer) -> tuple[Tensor, Tensor, float]:
        """(W (H, H), whitened unit names (N, H), rms of the centred embeddings)."""
        table = model.text_model.embed_tokens.weight.float()  # (V, H)
        words = torch.stack(
            [table[torch.tensor(tokenizer.encode(f" {name}"))].mean(0) for name in self.names]
        )  # (N, H)
        centred = words - words.mean(0)
        covariance = centred.T @ centred / len(centred)  # (H, H)
        values, vectors = torch.linalg.eigh(covariance)
        scales = (values + RIDGE * values.mean()).rsqrt()  # (H,)
        white = vectors @ torch.diag(scales) @ vectors.T  # (H, H)
        names = torch.nn.functional.normalize(centred @ white, dim=-1)  # (N, H)
        return white, names, float(centred.square().mean().sqrt())
