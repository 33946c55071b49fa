"""What the tensors of a checkpoint are called, and which shapes a config asks for.

Our names are the published ones without the leading `model.`. One table of prefixes, `PREFIXES`,
turns every naming generation met in the wild into ours, and its published rows turn ours back: the
published files (`model.text_model.…`), the bare model saved without its head, the original training
runs (`model.layers.…`, with the rows of added tokens in tensors of their own, and a vision head
nobody uses) and MLX conversions (`language_model.…`). It reads no file: `reader.py` brings the
names and compares the shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smolvlm.config import ModelConfig, TextConfig, VisionConfig
from smolvlm.errors import CheckpointError

Shape = tuple[int, ...]

EMBEDDING = "text_model.embed_tokens.weight"
HEAD = "lm_head.weight"
PATCH_WEIGHT = "vision_model.embeddings.patch_embedding.weight"

# Stored prefix -> our prefix. These four rows are the published naming, read in both directions.
PUBLISHED: tuple[tuple[str, str], ...] = (
    ("model.vision_model.", "vision_model."),
    ("model.connector.", "connector."),
    ("model.text_model.", "text_model."),
    ("lm_head.", "lm_head."),
)
# Where two prefixes fit, the longer one decides.
PREFIXES: tuple[tuple[str, str], ...] = (
    *PUBLISHED,
    # The bare model, saved without its head; also the vision half of MLX conversions.
    ("vision_model.", "vision_model."),
    ("connector.", "connector."),
    ("text_model.", "text_model."),
    # Original training runs.
    ("model.embed_tokens.", "text_model.embed_tokens."),
    ("model.layers.", "text_model.layers."),
    ("model.norm.", "text_model.norm."),
    ("model.modality_projection.", "connector.modality_projection."),
    # MLX conversions.
    ("language_model.model.", "text_model."),
    ("language_model.lm_head.", "lm_head."),
    ("language_model.", "text_model."),
)
# Rows of the tokens added in training: joined below the rows of the base matrix.
ADDED_ROWS = {
    "model.embed_tokens.additional_embedding.weight": EMBEDDING,
    "additional_fc.weight": HEAD,
    "lm_head.additional_fc.weight": HEAD,
}
# Of the original training runs: the pooling head of the vision tower, which nothing reads, and the
# rotary frequencies, which the config determines.
DROPPED_PREFIX = "model.vision_model.head."
DROPPED_SUFFIX = ".rotary_emb.inv_freq"


@dataclass(frozen=True)
class NameMap:
    """Where our tensors are stored.

    `stored` gives, for each of our names, the stored names whose rows are joined in that order
    (one, but for matrices with added rows).
    `unknown` are stored names that no naming generation has.
    """

    stored: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]


def to_published(name: str) -> str:
    """The published name of one of our tensors."""
    for published, ours in PUBLISHED:
        if name.startswith(ours):
            return published + name.removeprefix(ours)
    raise AssertionError(f"{name!r} is not one of our tensor names")


def to_ours(name: str) -> str | None:
    """Our name for a stored tensor; None when no naming generation has such a name."""
    if name in ADDED_ROWS:
        return ADDED_ROWS[name]
    fitting = [row for row in PREFIXES if name.startswith(row[0])]
    if not fitting:
        return None
    stored, ours = max(fitting, key=lambda row: len(row[0]))
    return ours + name.removeprefix(stored)


def map_names(names: Iterable[str]) -> NameMap:
    """Sort the stored names of a checkpoint under ours.

    `CheckpointError` for weights this package does not read (MLX-quantised, llama.cpp, adapters)
    and for two stored tensors that mean the same one of ours.
    """
    stored: dict[str, list[str]] = {}
    unknown = []
    # Added rows last, so that they come below the base rows.
    for name in sorted(names, key=lambda name: (name in ADDED_ROWS, name)):
        _refuse_foreign(name)
        ours = to_ours(name)
        if ours is None:
            unknown.append(name)
        elif not (name.startswith(DROPPED_PREFIX) or name.endswith(DROPPED_SUFFIX)):
            stored.setdefault(ours, []).append(name)
    for ours, parts in stored.items():
        if sum(part not in ADDED_ROWS for part in parts) > 1 or len(parts) > 2:
            raise CheckpointError(
                f"the weights hold {ours} more than once: {', '.join(parts)}; remove all but one"
            )
    return NameMap({ours: tuple(parts) for ours, parts in stored.items()}, tuple(unknown))


def _refuse_foreign(name: str) -> None:
    """Name the weights of other tools for what they are, instead of calling them unexpected."""
    if name.endswith((".scales", ".biases")):
        raise CheckpointError(
            f"the weights are an MLX-quantised conversion (tensor {name}); "
            "use the original checkpoint or an unquantised conversion"
        )
    if name.startswith(("blk.", "v.blk.", "mm.model.")):
        raise CheckpointError(
            f"the weights have llama.cpp names (tensor {name}); use the original safetensors folder"
        )
    if ".lora_A." in name or ".lora_B." in name:
        raise CheckpointError(
            f"the weights are a LoRA adapter (tensor {name}); merge it into its base model first"
        )


def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Every tensor of a checkpoint, by our name; `lm_head.weight` is left out when it is tied."""
    text, vision = config.text, config.vision
    shapes = dict(_vision_shapes(vision))
    shapes["connector.modality_projection.proj.weight"] = (text.hidden_size, config.connector_width)
    shapes.update(_text_shapes(text))
    if not config.tie_word_embeddings:
        shapes[HEAD] = (text.vocab_size, text.hidden_size)
    return shapes


def _vision_shapes(vision: VisionConfig) -> Iterator[tuple[str, Shape]]:
    width, inner, patch = vision.hidden_size, vision.intermediate_size, vision.patch_size
    yield PATCH_WEIGHT, (width, vision.num_channels, patch, patch)
    yield "vision_model.embeddings.patch_embedding.bias", (width,)
    yield "vision_model.embeddings.position_embedding.weight", (vision.num_patches, width)
    linears = {f"self_attn.{name}_proj": (width, width) for name in ("q", "k", "v", "out")}
    linears |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
    for layer in range(vision.num_hidden_layers):
        at = f"vision_model.encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{at}{norm}.weight", (width,)
            yield f"{at}{norm}.bias", (width,)
        for name, shape in linears.items():
            yield f"{at}{name}.weight", shape
            yield f"{at}{name}.bias", shape[:1]
    yield "vision_model.post_layernorm.weight", (width,)
    yield "vision_model.post_layernorm.bias", (width,)


def _text_shapes(text: TextConfig) -> Iterator[tuple[str, Shape]]:
    width, inner = text.hidden_size, text.intermediate_size
    queries, keys = (
        n * text.head_dim for n in (text.num_attention_heads, text.num_key_value_heads)
    )
    weights: dict[str, Shape] = {
        "input_layernorm": (width,),
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "post_attention_layernorm": (width,),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    yield EMBEDDING, (text.vocab_size, width)
    for layer in range(text.num_hidden_layers):
        for name, shape in weights.items():
            yield f"text_model.layers.{layer}.{name}.weight", shape
    yield "text_model.norm.weight", (width,)
