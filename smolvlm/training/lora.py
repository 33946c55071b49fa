"""Adapters: low-rank updates of linear layers (LoRA, DoRA) and single rows of the token table.

The base weight stays frozen in its own dtype; what is trained is float32 and cast where it is
used. `LowRank` replaces a linear layer, `RowEmbedding` and `RowHead` the table and the head. What
is trained at which rate is `parts.py`'s business, files are `adapter_files.py`'s.

LoRA: y = W x + s B (A x), with B zero at the start (arXiv 2106.09685). DoRA: the rows of W + s B A
are given lengths of their own, m, which start as those of W (arXiv 2402.09353); the gradient does
not flow through the norm that is divided by, as its section 4.3 proposes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.keys import refuse_unknown


class LowRank(nn.Module):
    """A frozen linear layer with a trained low-rank update; with `dora` also a length per row."""

    def __init__(
        self, base: nn.Linear, rank: int, scale: float, *, dropout: float = 0.0, dora: bool = False
    ) -> None:
        super().__init__()
        self.base, self.scale, self.dropout = base, scale, dropout
        weight = base.weight.detach().float()  # (out, in)
        noise = torch.randn(rank, base.in_features, device=weight.device)
        self.lora_a = nn.Parameter(noise * base.in_features**-0.5)
        self.lora_b = nn.Parameter(weight.new_zeros(base.out_features, rank))
        self.magnitude = nn.Parameter(weight.norm(dim=1)) if dora else None  # (out,)
        self.base_squares: Tensor  # (out,), for `row_norms`: W never changes
        self.register_buffer("base_squares", weight.square().sum(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        dropped = F.dropout(x, self.dropout, training=self.training and self.dropout > 0)
        small = F.linear(dropped, self.lora_a.to(x.dtype))  # (..., rank)
        delta = F.linear(small, (self.scale * self.lora_b).to(x.dtype))  # (..., out)
        if self.magnitude is None:
            updated: Tensor = self.base(x) + delta
            return updated
        stretch = (self.magnitude / self.row_norms()).to(x.dtype)  # (out,)
        turned = stretch * (F.linear(x, self.base.weight) + delta)
        return turned if self.base.bias is None else turned + self.base.bias

    @torch.no_grad()
    def row_norms(self) -> Tensor:
        """Lengths of the rows of W + s B A: float32 (out,). Expanded, so that B A is never made."""
        weight, down = self.base.weight, self.lora_a
        up = self.scale * self.lora_b  # (out, r)
        cross = (F.linear(weight, down.to(weight.dtype)).float() * up).sum(1)  # (out,)
        own = ((up @ (down @ down.T)) * up).sum(1)  # (out,)
        return (self.base_squares + 2 * cross + own).clamp_min(1e-12).sqrt()


class RowEmbedding(nn.Module):
    """A frozen embedding table of which some rows are trained."""

    def __init__(self, base: nn.Embedding, ids: Sequence[int]) -> None:
        super().__init__()
        self.base = base
        self.row_ids: Tensor
        # Not saved with the weights: the recipe says which rows they are.
        self.register_buffer("row_ids", torch.tensor(ids), persistent=False)
        self.rows = nn.Parameter(base.weight.detach()[self.row_ids].float().clone())  # (R, H)

    @property
    def weight(self) -> Tensor:
        """The frozen table, for those who ask its dtype and device: (V, H)."""
        return self.base.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, H)."""
        x: Tensor = self.base(input_ids)
        hit = input_ids.unsqueeze(-1) == self.row_ids  # (B, L, R)
        own = hit.to(x.dtype) @ self.rows.to(x.dtype)  # (B, L, H)
        return torch.where(hit.any(-1, keepdim=True), own, x)


class RowHead(nn.Module):
    """A head of which some rows are trained.

    base: a linear layer, adapted or not, or the table of a model whose head is tied to it; then the
    rows are those of its `RowEmbedding`, and trained from both sides.
    """

    def __init__(self, base: nn.Module, rows: nn.Parameter, row_ids: Tensor) -> None:
        super().__init__()
        self.base = base
        self.row_ids: Tensor
        self.register_buffer("row_ids", row_ids, persistent=False)
        self.rows = rows

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., V)."""
        tied = isinstance(self.base, nn.Embedding)
        logits = F.linear(hidden, self.base.weight) if tied else self.base(hidden)  # type: ignore[arg-type]
        own = F.linear(hidden, self.rows.to(hidden.dtype))  # (..., R)
        replaced: Tensor = logits.index_copy(-1, self.row_ids, own.to(logits.dtype))
        return replaced


def linear_names(model: SmolVLM, prefixes: Sequence[str]) -> dict[str, list[str]]:
    """The linear layers below some prefixes: last part of the name → paths of modules."""
    found: dict[str, list[str]] = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) and path.startswith(tuple(prefixes)):
            found.setdefault(path.rpartition(".")[2], []).append(path)
    return found


def adapt(
    model: SmolVLM,
    where: Sequence[str],
    *,
    prefixes: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    dora: bool = False,
) -> int:
    """Put adapters on the linear layers below `prefixes` with one of these names; says how many.

    The update is scaled by alpha / rank. `InputError` for a name that no linear layer has.
    """
    known = linear_names(model, prefixes)
    refuse_unknown(where, known, f"linear layer in {' or '.join(prefixes)}")
    if rank < 1:
        raise InputError(f"the rank of an adapter is {rank}; wanted at least 1")
    paths = [path for name in dict.fromkeys(where) for path in known[name]]
    for path in paths:
        base = model.get_submodule(path)
        assert isinstance(base, nn.Linear)
        replace_module(model, path, LowRank(base, rank, alpha / rank, dropout=dropout, dora=dora))
    return len(paths)


def train_rows(model: SmolVLM, ids: Sequence[int]) -> None:
    """Make some rows of the token table trainable, and of the head; the rest of both stays."""
    table = model.text_model.embed_tokens
    embedding = RowEmbedding(table, ids)
    model.text_model.embed_tokens = embedding  # type: ignore[assignment]
    head = model.lm_head
    if head is None:
        tied = RowHead(table, embedding.rows, embedding.row_ids)
        model.lm_head = tied  # type: ignore[assignment]
        return
    linear = head.base if isinstance(head, LowRank) else head
    rows = nn.Parameter(linear.weight.detach()[embedding.row_ids].float().clone())  # (R, H)
    model.lm_head = RowHead(head, rows, embedding.row_ids)  # type: ignore[assignment]


def adapters(model: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """Every adapter with our name of the tensor it changes (within `model`)."""
    for path, module in model.named_modules():
        if isinstance(module, LowRank):
            yield f"{plain_path(path)}.weight", module


def plain_path(path: str) -> str:
    """A module path as it was before anything was adapted."""
    return ".".join(part for part in path.split(".") if part != "base")


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
