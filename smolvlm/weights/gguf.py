"""Read the language model and its vocabulary from a llama.cpp GGUF file.

Container and number formats are read by the `gguf` package of the llama.cpp project: it is pure
Python on numpy, imports in well under a tenth of a second, brings nothing heavy, and follows the
format as it grows, so a parser of our own would only be one more thing to keep right. What is ours
is what it leaves out: the names, the order of the query and key rows, and the config.

llama.cpp rotates neighbouring channels (2i, 2i+1) where the published network rotates halves
(i, i + head_dim/2); its converter therefore interleaves the q and k rows of every head, and here
they are put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import TextConfig
from smolvlm.errors import CheckpointError

Floats = NDArray[np.float32]

# GGUF name -> our name, for the tensors outside the layers and for those of layer N ("blk.N.").
_TOP = {
    "token_embd.weight": "text_model.embed_tokens.weight",
    "output_norm.weight": "text_model.norm.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TIED_HEAD = "output.weight"


class GGUFFile:
    """An opened GGUF file; tensors are dequantised to float32 when asked for.

    `CheckpointError` when the file is missing, cut short or no GGUF.
    """

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self.path = path
        try:
            self._reader = GGUFReader(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error.strerror})") from None
        # The reader slices a memory map by what the file claims; broken claims end in these.
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            raise CheckpointError(
                f"{path} is no whole GGUF file ({error}); download it again"
            ) from None
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Every key of the header, as Python values."""
        return {key: field.contents() for key, field in self._reader.fields.items()}

    def names(self) -> tuple[str, ...]:
        """The tensors' GGUF names."""
        return tuple(self._tensors)

    def tensor(self, name: str) -> Floats:
        """One tensor in its own shape (rows, columns), dequantised; `CheckpointError` if absent."""
        from gguf.quants import dequantize

        if name not in self._tensors:
            raise CheckpointError(f"{self.path} has no tensor {name}; wanted a whole Llama model")
        tensor = self._tensors[name]
        try:
            values = dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            raise CheckpointError(
                f"{self.path}: {name} is stored as {tensor.tensor_type.name}, which cannot be read"
            ) from None
        return np.ascontiguousarray(values, dtype=np.float32)

    def value(self, key: str) -> Any:
        """One key of the header; `CheckpointError` if absent."""
        if key not in self.metadata:
            raise CheckpointError(f"{self.path} has no {key}; wanted a Llama model with vocabulary")
        return self.metadata[key]


def text_config(gguf: GGUFFile) -> TextConfig:
    """The sizes of the language model; `CheckpointError` for another architecture than Llama."""
    architecture = gguf.value("general.architecture")
    if architecture != "llama":
        raise CheckpointError(f"{gguf.path} holds a {architecture!r} model; wanted 'llama'")
    heads = int(gguf.value("llama.attention.head_count"))
    width = int(gguf.value("llama.embedding_length"))
    return TextConfig(
        hidden_size=width,
        intermediate_size=int(gguf.value("llama.feed_forward_length")),
        num_hidden_layers=int(gguf.value("llama.block_count")),
        num_attention_heads=heads,
        num_key_value_heads=int(gguf.value("llama.attention.head_count_kv")),
        head_dim=int(gguf.metadata.get("llama.attention.key_length", width // heads)),
        vocab_size=len(gguf.value("tokenizer.ggml.tokens")),
        rms_norm_eps=_shortest(gguf.value("llama.attention.layer_norm_rms_epsilon")),
        rope_theta=_shortest(gguf.value("llama.rope.freq_base")),
        max_position_embeddings=int(gguf.value("llama.context_length")),
    )


def text_tensors(gguf: GGUFFile) -> dict[str, Floats]:
    """Our name → float32 for the whole language model; a separate head becomes `lm_head.weight`."""
    config = text_config(gguf)
    tensors = {ours: gguf.tensor(name) for name, ours in _TOP.items()}
    if _TIED_HEAD in gguf.names():
        tensors["lm_head.weight"] = gguf.tensor(_TIED_HEAD)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for layer in range(config.num_hidden_layers):
        for name, ours in _LAYER.items():
            values = gguf.tensor(f"blk.{layer}.{name}.weight")
            if name in heads:
                values = halves_order(values, heads[name])
            tensors[f"text_model.layers.{layer}.{ours}.weight"] = values
    return tensors


def halves_order(rows: Floats, heads: int) -> Floats:
    """Put interleaved q or k rows (heads * D, H) back into the order that rotates halves."""
    count, width = rows.shape
    # (heads, D/2, 2, H): of each rotated pair the first channel, then the second
    pairs = rows.reshape(heads, count // heads // 2, 2, width)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(count, width))  # (heads * D, H)


def vocabulary(gguf: GGUFFile) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens by id in byte-alphabet spelling, and the BPE merges in order."""
    model = gguf.value("tokenizer.ggml.model")
    if model != "gpt2":
        raise CheckpointError(f"{gguf.path} has a {model!r} vocabulary; wanted 'gpt2' (byte BPE)")
    merges = []
    for merge in gguf.value("tokenizer.ggml.merges"):
        left, _, right = merge.partition(" ")
        merges.append((left, right))
    return list(gguf.value("tokenizer.ggml.tokens")), merges


def _shortest(value: float) -> float:
    """A float32 of the header as the decimal number that was meant (1e-05, not 9.99999974e-06)."""
    return float(str(np.float32(value)))
