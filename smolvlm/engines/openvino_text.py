"""The OpenVINO graph of the language model: embeddings in, logits out, keys and values inside.

Keys and values are variables of the graph, so that every inference request holds those of its own
conversation. Token rows are gathered beside the graph (`token_table.py`). Rules: the published
checkpoints' forward pass (Llama); the PyTorch statement of it is `model/text.py`. The forms of
RMSNorm, rotation, attention and SwiGLU are those the CPU plugin replaces by single kernels.

Letters: B conversations (the engine runs 1), L new tokens, C slots of the cache with the new
tokens', H width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import openvino as ov
from openvino import opset6
from openvino import opset15 as op

from smolvlm.config import TextConfig
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

# As the end of a slice: to the last element.
_END = 2**62


def build_text_graph(weights: Weights, *, alone: bool = False) -> ov.Model:
    """The stateful graph. Its inputs, for B conversations of the same length:

    embeddings: float32 (B, L, H), the rows of the new tokens.
    positions: int64 (B, L), where each stands in its conversation.
    visible: bool (B, C), which slots of the cache may be looked at; the new ones are the last L.
    beams: int32 (B,), which conversation of the last run each goes on from.
    first_row: int64 (1,), the first new token whose logits are wanted; -1 is the last token.

    Output `logits`: float32 (B, rows, V). The keys and values of a run are added to the cache.
    alone: one thread will run it, which the plugin's kernel for a whole MLP cannot (it crashes).
    """
    text = weights.config.text
    x = parameter("embeddings", [-1, -1, text.hidden_size], np.float32)
    positions = parameter("positions", [-1, -1], np.int64)
    visible = parameter("visible", [-1, -1], np.bool_)
    beams = parameter("beams", [-1], np.int32)
    first_row = parameter("first_row", [1], np.int64)
    inputs = [x, positions, visible, beams, first_row]
    run = _Run(weights, beams, _batch(x), *_rotary(positions, text), _mask(x, visible), alone)
    for layer in range(text.num_hidden_layers):
        x = _layer(run, x, f"text_model.layers.{layer}")
    x = op.slice(x, first_row, integers([_END]), integers([1]), integers([1]))  # (B, rows, H)
    x = _rms_norm(weights, x, "text_model.norm")
    head = weights.stored(weights.checkpoint.head_name)  # (V, H)
    logits = result(op.matmul(x, head, False, True), "logits")  # (B, rows, V)
    return ov.Model([logits], run.writes, inputs, "smolvlm_text")


def tiny_mlp() -> ov.Model:
    """The MLP of one layer from 8-bit codes and nothing else, to see which kernel it gets."""
    side = 64  # a multiple of what the kernel cuts rows and columns into
    x = parameter("x", [-1, -1, side], np.float32)
    codes = op.convert(op.constant(np.ones((side, side), dtype=np.int8)), "f32")
    weight = op.multiply(codes, floats(np.ones((side, 1))))

    def linear(value: Node) -> Node:
        return op.matmul(value, weight, False, True)  # (B, L, side)

    y = linear(op.multiply(_silu(linear(x)), linear(x)))  # (B, L, side)
    return ov.Model([result(y, "y")], [x], "smolvlm_mlp")


@dataclass(frozen=True)
class _Run:
    """What every layer needs besides its input.

    cos, sin: (B, 1, L, head_dim). mask: (B, 1, L, C), 0 or a number that drowns a score.
    writes: the nodes that put keys and values back, filled layer by layer.
    """

    weights: Weights
    beams: Node
    batch: Node
    cos: Node
    sin: Node
    mask: Node
    alone: bool
    writes: list[Node] = field(default_factory=list)


def _batch(x: Node) -> Node:
    """B as an int64 (1,)."""
    return op.gather(op.shape_of(x, "i64"), integers([0]), integers(0))


def _length(x: Node) -> Node:
    """The second size of x, as an int64 scalar."""
    return op.gather(op.shape_of(x, "i64"), integers(1), integers(0))


def _rotary(positions: Node, text: TextConfig) -> tuple[Node, Node]:
    """Cosines and sines (B, 1, L, head_dim); each angle stands twice, for both halves of a head."""
    exponents = np.arange(0, text.head_dim, 2) / text.head_dim  # (head_dim / 2,)
    frequencies = floats(text.rope_theta ** -exponents[None])  # (1, head_dim / 2)
    column = op.unsqueeze(op.convert(positions, "f32"), integers(2))  # (B, L, 1)
    angles = op.matmul(column, frequencies, False, False)  # (B, L, head_dim / 2)
    angles = op.concat([angles, angles], -1)  # (B, L, head_dim)
    cos, sin = op.cos(angles), op.sin(angles)
    return op.unsqueeze(cos, integers(1)), op.unsqueeze(sin, integers(1))  # (B, 1, L, head_dim)


def _mask(x: Node, visible: Node) -> Node:
    """(B, 1, L, C): a token looks at visible slots, up to its own."""
    total = _length(visible)
    slots = op.range(integers(0), total, integers(1), "i64")  # (C,)
    own = op.range(op.subtract(total, _length(x)), total, integers(1), "i64")  # (L,)
    past = op.less_equal(op.unsqueeze(slots, integers(0)), op.unsqueeze(own, integers(1)))  # (L, C)
    past = op.unsqueeze(past, integers([0, 1]))  # (1, 1, L, C)
    seen = op.unsqueeze(visible, integers([1, 2]))  # (B, 1, 1, C)
    drowned = floats(np.finfo(np.float32).min)
    return op.select(op.logical_and(past, seen), floats(0.0), drowned)  # (B, 1, L, C)


def _layer(run: _Run, x: Node, at: str) -> Node:
    """One transformer layer: (B, L, H) -> (B, L, H)."""
    weights = run.weights
    h = _rms_norm(weights, x, f"{at}.input_layernorm")
    x = op.add(x, _attention(run, h, f"{at}.self_attn"))
    h = _rms_norm(weights, x, f"{at}.post_attention_layernorm")
    gate = weights.linear(h, f"{at}.mlp.gate_proj")  # (B, L, inner)
    up = weights.linear(h, f"{at}.mlp.up_proj")  # (B, L, inner)
    # The extra input of `op.swish` keeps the plugin from recognising a SwiGLU MLP.
    gate = op.swish(gate) if run.alone else _silu(gate)
    return op.add(x, weights.linear(op.multiply(gate, up), f"{at}.mlp.down_proj"))


def _silu(x: Node) -> Node:
    return op.multiply(x, op.sigmoid(x))


def _attention(run: _Run, x: Node, at: str) -> Node:
    """Attention of the new tokens to all visible ones: (B, L, H) -> (B, L, H)."""
    text, weights = run.weights.config.text, run.weights
    heads, kv_heads, width = text.num_attention_heads, text.num_key_value_heads, text.head_dim
    q = split_heads(weights.linear(x, f"{at}.q_proj"), heads, width)  # (B, heads, L, width)
    k = split_heads(weights.linear(x, f"{at}.k_proj"), kv_heads, width)  # (B, kv_heads, L, width)
    v = split_heads(weights.linear(x, f"{at}.v_proj"), kv_heads, width)  # (B, kv_heads, L, width)
    k = _remember(run, _rotate(run, k), f"{at}.keys")  # (B, heads, C, width)
    v = _remember(run, v, f"{at}.values")  # (B, heads, C, width)
    # The mask is explicit: what "causal" means with a history differs between kernels.
    y = op.scaled_dot_product_attention(_rotate(run, q), k, v, run.mask, causal=False)
    return weights.linear(merge_heads(y, heads * width), f"{at}.o_proj")  # (B, L, H)


def _rotate(run: _Run, x: Node) -> Node:
    """Turn the two halves of each head by the angle of its position; same shape."""
    half, axis, step = run.weights.config.text.head_dim // 2, integers([3]), integers([1])
    first = op.slice(x, integers([0]), integers([half]), step, axis)  # (B, heads, L, width / 2)
    second = op.slice(x, integers([half]), integers([_END]), step, axis)  # (B, heads, L, width / 2)
    turned = op.concat([op.multiply(second, floats(-1.0)), first], -1)  # (B, heads, L, width)
    return op.add(op.multiply(x, run.cos), op.multiply(turned, run.sin))


def _remember(run: _Run, x: Node, name: str) -> Node:
    """Add the new keys or values (B, kv_heads, L, width) to those held -> (B, heads, C, width)."""
    text = run.weights.config.text
    kv_heads, width = text.num_key_value_heads, text.head_dim
    info = ov.op.util.VariableInfo()
    info.data_shape = ov.PartialShape([-1, kv_heads, -1, width])
    info.data_type = ov.Type.f32
    info.variable_id = name
    variable = ov.op.util.Variable(info)
    shape = op.concat([run.batch, integers([kv_heads, 0, width])], 0)
    nothing = op.broadcast(floats(0.0), shape)  # (B, kv_heads, 0, width)
    held = op.gather(opset6.read_value(nothing, variable), run.beams, integers(0))
    held = op.concat([held, x], -2)  # (B, kv_heads, C, width)
    run.writes.append(opset6.assign(held, variable))
    if text.heads_per_kv == 1:
        return held
    # Every key/value head serves `heads_per_kv` query heads next to each other.
    held = op.unsqueeze(held, integers(2))  # (B, kv_heads, 1, C, width)
    times = integers([1, 1, text.heads_per_kv, 1, 1])
    held = op.broadcast(held, times, broadcast_spec="BIDIRECTIONAL")
    return op.reshape(held, integers([0, text.num_attention_heads, -1, width]), True)


def _rms_norm(weights: Weights, x: Node, name: str) -> Node:
    mean = op.reduce_mean(op.power(x, floats(2.0)), integers([-1]), True)  # (B, L, 1)
    root = op.sqrt(op.add(mean, floats(weights.config.text.rms_norm_eps)))
    scale = floats(weights.f32(f"{name}.weight")[None, None])  # (1, 1, H)
    return op.multiply(op.multiply(x, op.divide(floats(1.0), root)), scale)
