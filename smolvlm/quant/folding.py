"""Scaling the inputs of layers without changing what the network computes.

A layer's input channels can be divided by any positive numbers where whatever makes them is linear
in them: a norm's weight (and bias), the rows of the value projection before attention, the rows of
`up_proj` before the gate is multiplied in. The columns of the layers that read them are multiplied
by the same numbers. So large channels, which cost the small ones their resolution, can be moved
from inputs to weights (SmoothQuant, Xiao et al. 2023) or the weights that matter most made larger
than the step of their grid (AWQ, Lin et al. 2024). Which numbers pay is `calibrate.py`'s business.

Letters: C channels between the two sides of a fold, R outputs of a layer that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Fold:
    """A place where channels can be scaled.

    makers: tensors whose first axis runs over the channels (a norm's weight and bias, the rows of a
    layer and its bias). readers: weights (R, C * repeats) whose columns do.
    width, repeats: heads that share keys and values read each block of `width` channels `repeats`
    times, one copy after the other; elsewhere repeats is 1.
    """

    makers: tuple[str, ...]
    readers: tuple[str, ...]
    width: int = 1
    repeats: int = 1

    def spread(self, scales: Floats) -> Floats:
        """Numbers of channels (C,) as numbers of the readers' columns (C * repeats,)."""
        blocks = scales.reshape(-1, self.width)  # (C / width, width)
        return np.repeat(blocks, self.repeats, axis=0).reshape(-1)

    def gather(self, columns: Floats) -> Floats:
        """The way back for sums and squares: the mean over the copies of each channel (C,)."""
        blocks = columns.reshape(-1, self.repeats, self.width)
        return np.asarray(blocks.mean(1).reshape(-1), dtype=np.float32)

    def apply(self, tensors: MutableMapping[str, Floats], scales: Floats) -> None:
        """Divide what the makers put out by `scales` (C,) and multiply the readers' columns."""
        assert (scales > 0).all(), "a scale has to be positive"
        for name in self.makers:
            values = tensors[name]
            tensors[name] = values / (scales if values.ndim == 1 else scales[:, None])
        columns = self.spread(scales)
        for name in self.readers:
            tensors[name] = tensors[name] * columns  # (R, C * repeats)


def folds(config: ModelConfig) -> Iterator[Fold]:
    """Every fold of a network, in an order in which each can be applied by itself."""
    for layer in range(config.vision.num_hidden_layers):
        yield from _vision_folds(f"vision_model.encoder.layers.{layer}")
    for layer in range(config.text.num_hidden_layers):
        yield from _text_folds(f"text_model.layers.{layer}", config)


def _vision_folds(at: str) -> Iterator[Fold]:
    attention = f"{at}.self_attn"
    yield Fold(
        (f"{at}.layer_norm1.weight", f"{at}.layer_norm1.bias"),
        tuple(f"{attention}.{name}_proj.weight" for name in "qkv"),
    )
    yield Fold(
        (f"{attention}.v_proj.weight", f"{attention}.v_proj.bias"),
        (f"{attention}.out_proj.weight",),
    )
    yield Fold((f"{at}.layer_norm2.weight", f"{at}.layer_norm2.bias"), (f"{at}.mlp.fc1.weight",))


def _text_folds(at: str, config: ModelConfig) -> Iterator[Fold]:
    attention, text = f"{at}.self_attn", config.text
    yield Fold(
        (f"{at}.input_layernorm.weight",),
        tuple(f"{attention}.{name}_proj.weight" for name in "qkv"),
    )
    yield Fold(
        (f"{attention}.v_proj.weight",),
        (f"{attention}.o_proj.weight",),
        width=text.head_dim,
        repeats=text.heads_per_kv,
    )
    yield Fold(
        (f"{at}.post_attention_layernorm.weight",),
        (f"{at}.mlp.gate_proj.weight", f"{at}.mlp.up_proj.weight"),
    )
    yield Fold((f"{at}.mlp.up_proj.weight",), (f"{at}.mlp.down_proj.weight",))
