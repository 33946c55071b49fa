"""The OpenVINO graph from tiles to visual tokens: tower, pixel shuffle and projection in one.

Pixels go in as they are (uint8, channels last): normalising them is folded into the patch weights.
Rules: the published checkpoints' forward pass; the PyTorch statement of it is `model/vision.py` and
`model/connector.py`. Compiling and running are left to `openvino_compile.py` and `openvino.py`.

Letters: N tiles, S tile side in pixels, G grid side, P patches (G * G), p patch side, D tower
width, s pixel-shuffle factor, T visual tokens, H text width.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as op

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.folded_pixels import EMBEDDINGS, fold_pixels
from smolvlm.engines.openvino_ops import (
    Node,
    Weights,
    floats,
    integers,
    merge_heads,
    parameter,
    result,
    split_heads,
)


def build_vision_graph(weights: Weights, rules: ImageRules) -> ov.Model:
    """The graph `tiles` uint8 (N, S, S, 3) -> `features` float32 (N, T, H), for any N >= 1."""
    config = weights.config
    side, channels = config.vision.image_size, config.vision.num_channels
    tiles = parameter("tiles", [-1, side, side, channels], np.uint8)
    x = _embed_patches(weights, tiles, rules)  # (N, P, D)
    for layer in range(config.vision.num_hidden_layers):
        x = _encoder_layer(weights, x, f"vision_model.encoder.layers.{layer}")
    x = _layer_norm(weights, x, "vision_model.post_layernorm")
    x = _pixel_shuffle(x, config)  # (N, T, s*s*D)
    x = weights.linear(x, "connector.modality_projection.proj")  # (N, T, H)
    return ov.Model([result(x, "features")], [tiles], "smolvlm_vision")


def _embed_patches(weights: Weights, tiles: Node, rules: ImageRules) -> Node:
    """Tiles (N, S, S, 3) -> (N, P, D): the patch convolution as a matrix product, and positions."""
    vision = weights.config.vision
    grid, patch, channels = vision.grid, vision.patch_size, vision.num_channels
    kernel = weights.f32(f"{EMBEDDINGS}.patch_embedding.weight")
    centre, folded, shift = fold_pixels(kernel, rules)
    start, stop = integers([0, 0]), integers([grid * patch] * 2)
    # Pixels that fill no whole patch are never seen.
    x = op.slice(tiles, start, stop, integers([1, 1]), integers([1, 2]))  # (N, G*p, G*p, 3)
    x = op.reshape(x, integers([0, grid, patch, grid, patch * channels]), True)  # (N, G, p, G, p*3)
    x = op.transpose(x, integers([0, 1, 3, 2, 4]))  # (N, G, G, p, p*3)
    x = op.reshape(x, integers([0, grid**2, patch**2 * channels]), True)  # (N, P, p*p*3)
    x = op.subtract(op.convert(x, "f32"), floats(np.tile(centre, patch**2)))
    matrix = folded.transpose(0, 2, 3, 1).reshape(len(folded), -1)  # (D, 3, p, p) -> (D, p*p*3)
    x = op.matmul(x, floats(matrix), False, True)  # (N, P, D)
    positions = weights.f32(f"{EMBEDDINGS}.position_embedding.weight")
    bias = weights.f32(f"{EMBEDDINGS}.patch_embedding.bias")
    return op.add(x, floats((positions + bias + shift)[None]))


def _encoder_layer(weights: Weights, x: Node, at: str) -> Node:
    """One transformer layer: (N, P, D) -> (N, P, D)."""
    vision = weights.config.vision
    h = _layer_norm(weights, x, f"{at}.layer_norm1")
    q, k, v = (
        split_heads(
            weights.linear(h, f"{at}.self_attn.{name}_proj", bias=True),
            vision.num_attention_heads,
            vision.head_dim,
        )
        for name in "qkv"
    )  # (N, heads, P, width) each
    h = op.scaled_dot_product_attention(q, k, v, causal=False)
    h = merge_heads(h, vision.hidden_size)  # (N, P, D)
    x = op.add(x, weights.linear(h, f"{at}.self_attn.out_proj", bias=True))
    h = _layer_norm(weights, x, f"{at}.layer_norm2")
    h = op.gelu(weights.linear(h, f"{at}.mlp.fc1", bias=True), "tanh")
    return op.add(x, weights.linear(h, f"{at}.mlp.fc2", bias=True))


def _layer_norm(weights: Weights, x: Node, name: str) -> Node:
    eps = weights.config.vision.layer_norm_eps
    y = op.mvn(x, integers([-1]), True, eps, "inside_sqrt")
    y = op.multiply(y, weights.stored(f"{name}.weight"))
    return op.add(y, weights.stored(f"{name}.bias"))


def _pixel_shuffle(x: Node, config: ModelConfig) -> Node:
    """(N, P, D) -> (N, T, s*s*D): s x s patches become a token, row by row, then its channels."""
    scale, width = config.scale_factor, config.vision.hidden_size
    side = config.vision.grid // scale
    blocks = integers([0, side, scale, side, scale * width])
    x = op.reshape(x, blocks, True)  # (N, G/s, s, G/s, s*D)
    x = op.transpose(x, integers([0, 1, 3, 2, 4]))  # (N, G/s, G/s, s, s*D)
    return op.reshape(x, integers([0, side**2, config.connector_width]), True)  # (N, T, s*s*D)
