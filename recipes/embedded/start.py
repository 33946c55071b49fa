"""Where the connector starts: a closed form that makes visual tokens point at the right words.

A drawing's mean patch vector already tells its name apart: a linear classifier on it names 35 % of
drawings by an artist it never saw. The question is how to say that in the language model's words.
Regressing on the name's embedding does it badly (12 %), since embeddings of different names
overlap: many weak guesses add up to the wrong word. So the target of each name is its *dual*: the
vector whose products with all names' embeddings come nearest to 1 for its own and 0 for the others
(25 %). The mean embedding is added, so that a visual token lies where words lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recipes.embedded.features import BLANK, FeatureStore
from recipes.embedded.pack import AssetPack
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer

DUAL_RIDGE = 0.01  # relative to the mean variance of the names' embeddings


@torch.no_grad()
def start_connector(
    model: SmolVLM, pack: AssetPack, store: FeatureStore, tokenizer: Tokenizer, ridge: float
) -> None:
    """Set the connector by ridge regression from mean patches (D,) to the names' duals (H,)."""
    blocks = model.config.scale_factor**2
    labelled = [
        (record, label)
        for record, row in enumerate(store.rows)
        if row != BLANK and (label := pack.row(row)["label"])
    ]
    names = sorted({label for _, label in labelled})
    targets = dict(zip(names, _targets(model, tokenizer, names), strict=True))
    x = torch.stack([_mean_patch(store, record, blocks) for record, _ in labelled])  # (n, D)
    y = torch.stack([targets[label] for _, label in labelled])  # (n, H)
    gram = x.T @ x  # (D, D)
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solution = torch.linalg.solve(gram, x.T @ y)  # (D, H)
    # Every patch of a token counts alike.
    weight = solution.T.repeat(1, blocks) / blocks  # (H, blocks * D)
    model.connector.modality_projection.proj.weight.copy_(weight)


def _mean_patch(store: FeatureStore, record: int, blocks: int) -> Tensor:
    """The mean of all patches of a record: float32 (D,)."""
    patches = store.tile(record).float().view(store.tokens, blocks, -1)  # (T, C) -> (T, blocks, D)
    return patches.mean((0, 1))  # (D,)


def _targets(model: SmolVLM, tokenizer: Tokenizer, names: Sequence[str]) -> Tensor:
    """Mean embedding plus dual of each name, as large as words are: (n, H)."""
    table = model.text_model.embed_tokens.weight.float()  # (V, H)
    words = torch.stack(
        [table[torch.tensor(tokenizer.encode(f" {name}"))].mean(0) for name in names]
    )  # (n, H)
    centred = words - words.mean(0)
    spread = centred.T @ centred  # (H, H)
    spread += DUAL_RIDGE * spread.diagonal().mean() * torch.eye(len(spread))
    duals = torch.linalg.solve(spread, centred.T).T  # (n, H)
    targets: Tensor = words.mean(0) + duals * (table.std() / duals.std())
    return targets
