"""Low-rank adapters and trainable embedding rows for the first training run.

The base weights stay frozen; what is trained is kept in float32 and cast where it is used, so that
the base may be bfloat16. `trained_tensors` names the result as `weights/embedded.py` reads it. The
steps that move these numbers are `train.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from smolvlm.model.smolvlm import SmolVLM

ADAPTED = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")


class LowRankLinear(nn.Module):
    """y = W x + scale * B (A x), with W frozen; A (r, in), B (out, r) are trained, B from zero."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) * base.in_features**-0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        small = nn.functional.linear(x, self.lora_a.to(x.dtype))  # (..., r)
        delta = nn.functional.linear(small, (self.scale * self.lora_b).to(x.dtype))  # (..., out)
        result: Tensor = self.base(x) + delta
        return result


class RowEmbedding(nn.Module):
    """An embedding table (V, H) of which only a few rows are trained; also the tied head."""

    def __init__(self, base: nn.Embedding, ids: tuple[int, ...]) -> None:
        super().__init__()
        self.base = base
        self.ids: Tensor
        self.register_buffer("ids", torch.tensor(ids))  # (R,)
        self.rows = nn.Parameter(base.weight.detach()[self.ids].float().clone())  # (R, H)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, H), in the dtype of the table."""
        x: Tensor = self.base(input_ids)  # (B, L, H)
        hit = input_ids.unsqueeze(-1) == self.ids  # (B, L, R)
        mine = hit.to(x.dtype) @ self.rows.to(x.dtype)  # (B, L, H)
        return torch.where(hit.any(-1, keepdim=True), mine, x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(n, H) -> (n, V)."""
        logits = nn.functional.linear(hidden, self.base.weight)  # (n, V)
        return logits.index_copy(1, self.ids, hidden @ self.rows.to(hidden.dtype).T)


def adapt(model: SmolVLM, *, rank: int, scale: float, new_rows: tuple[int, ...]) -> RowEmbedding:
    """Freeze `model` but for its connector, put adapters into the language model.

    Returns the embedding, which then stands in the model's place for it; the model's own `embed`
    and `head` do not know it, so use its `forward` and `logits`.
    """
    model.requires_grad_(False)
    for parent in list(model.text_model.modules()):
        for name, child in list(parent.named_children()):
            if name in ADAPTED and isinstance(child, nn.Linear):
                parent.register_module(name, LowRankLinear(child, rank, scale))
    embedding = RowEmbedding(model.text_model.embed_tokens, new_rows)
    model.text_model.register_module("embed_tokens", embedding)
    # Kept in float32: at bfloat16's 8 bits small steps would be lost.
    model.connector.float().requires_grad_(True)
    return embedding


def trained_tensors(model: SmolVLM) -> dict[str, Tensor]:
    """What was trained, under the keys of `weights/embedded.py`: float32, int32 for row ids."""
    out: dict[str, Tensor] = {}
    for name, module in model.text_model.named_modules():
        if isinstance(module, LowRankLinear):
            out[f"lora_a:text_model.{name}.weight"] = module.lora_a.detach()
            out[f"lora_b:text_model.{name}.weight"] = module.lora_b.detach()
        if isinstance(module, RowEmbedding):
            out[f"rows:text_model.{name}.weight"] = module.rows.detach()
            out[f"rows_index:text_model.{name}.weight"] = module.ids.to(torch.int32)
    for name, tensor in model.connector.state_dict().items():
        out[f"set:connector.{name}"] = tensor.detach().float()
    return out


def restore_trained(model: SmolVLM, tensors: Mapping[str, Tensor]) -> None:
    """Put what `trained_tensors` gave into an adapted model."""
    modules = dict(model.text_model.named_modules())
    with torch.no_grad():
        for key, tensor in tensors.items():
            kind, _, name = key.partition(":")
            owner = name.removeprefix("text_model.").removesuffix(".weight")
            if kind == "set":
                model.connector.get_parameter(name.removeprefix("connector.")).copy_(tensor)
            elif kind != "rows_index":
                modules[owner].get_parameter(kind).copy_(tensor)
