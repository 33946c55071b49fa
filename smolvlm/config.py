"""What a checkpoint's JSON files say, as frozen dataclasses.

Reads every published form of `config.json` (short, expanded, and the `rope_parameters` form written
by transformers 5) and the image and video rules of `preprocessor_config.json`. Values that the
published files omit are supplied from the defaults of the published classes; values that follow
from others (grid side, tokens per tile, head width) are properties, so they cannot disagree with
their causes. Which keys mean anything is listed in `config_keys.py`, single values are checked by
`config_values.py`. It opens no weights and knows no tokenizer.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolvlm import config_keys
from smolvlm import config_values as values
from smolvlm.config_values import Json, read_json

__all__ = [
    "ImageRules", "Json", "ModelConfig", "TextConfig", "VideoRules", "VisionConfig", "read_json",
]  # fmt: skip

MODEL_TYPES = ("idefics3", "smolvlm")

# Defaults of the published text class (Llama) for keys that official files leave out. Keys whose
# generic default is wrong for this family (rms_norm_eps, rope_theta) have none: they must be there.
TEXT_DEFAULTS: Json = {
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}
# Defaults of the published vision class (SmolVLMVisionConfig / Idefics3VisionConfig).
VISION_DEFAULTS: Json = {
    "hidden_size": 1152,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
# `<|im_end|>`, the pad of every published tokenizer: where no file names one in the vocabulary.
DEFAULT_PAD_ID = 2


@dataclass(frozen=True)
class TextConfig:
    """The language model (Llama layout): sizes, rotary base, norm epsilon."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    max_position_embeddings: int

    @property
    def heads_per_kv(self) -> int:
        """How many query heads share one key/value head."""
        return self.num_attention_heads // self.num_key_value_heads


@dataclass(frozen=True)
class VisionConfig:
    """The SigLIP tower: sizes, patch and tile side in pixels."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_channels: int
    image_size: int
    patch_size: int
    layer_norm_eps: float

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def grid(self) -> int:
        """Patches along one side of a tile; pixels beyond grid * patch_size are never seen."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of one tile."""
        return self.grid**2


@dataclass(frozen=True)
class ModelConfig:
    """A whole checkpoint: both towers, the connector's pixel-shuffle factor and the special ids.

    `eos_token_ids` and `pad_token_id` come from generation_config.json when there is one: the
    `pad_token_id` of 128002 at the top of every published config lies outside the vocabulary.
    `unknown_keys` are those of the file that mean nothing here, as `section.key`.
    """

    model_type: str
    text: TextConfig
    vision: VisionConfig
    scale_factor: int
    image_token_id: int
    tie_word_embeddings: bool
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    unknown_keys: tuple[str, ...] = ()

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile after the pixel shuffle."""
        return (self.vision.grid // self.scale_factor) ** 2

    @property
    def connector_width(self) -> int:
        """Channels of one visual token before the projection."""
        return self.vision.hidden_size * self.scale_factor**2

    @classmethod
    def from_folder(cls, folder: Path) -> ModelConfig:
        """Read `config.json` and, when present, `generation_config.json` of a model folder.

        Warns once about keys that are not known.
        """
        generation = folder / "generation_config.json"
        config = cls.from_json(
            read_json(folder / "config.json"), read_json(generation) if generation.exists() else {}
        )
        if config.unknown_keys:
            named = config_keys.describe_unknown(config.unknown_keys)
            warnings.warn(f"{folder / 'config.json'}: unknown keys ignored: {named}", stacklevel=2)
        return config

    @classmethod
    def from_json(cls, data: Json, generation: Json | None = None) -> ModelConfig:
        """Build from the parsed files; `CheckpointError` names a missing or impossible key."""
        values.one_of(data, "model_type", MODEL_TYPES, where="config.json")
        text, vision = values.section(data, "text_config"), values.section(data, "vision_config")
        text_config = _text_config(text, data)
        config = cls(
            model_type=data["model_type"],
            text=text_config,
            vision=_vision_config(vision),
            scale_factor=values.integer(data, "scale_factor", where="config.json"),
            image_token_id=values.integer(data, "image_token_id", where="config.json"),
            tie_word_embeddings=values.flag(
                data, "tie_word_embeddings", False, where="config.json"
            ),
            eos_token_ids=_eos_ids(generation or {}, text, data),
            pad_token_id=_pad_id(generation or {}, text, vocab_size=text_config.vocab_size),
            unknown_keys=config_keys.unknown_keys(
                {
                    "": data,
                    "text_config.": text,
                    "text_config.rope_parameters.": text.get("rope_parameters") or {},
                    "vision_config.": vision,
                }
            ),
        )
        _check(config)
        return config


def _text_config(section: Json, top: Json) -> TextConfig:
    where = "config.json: text_config"
    data = {**TEXT_DEFAULTS, **section}
    data.setdefault("vocab_size", top.get("vocab_size"))
    if data.get("num_key_value_heads") is None:
        # Where it is absent every head has its own keys and values (the 2.2B).
        data["num_key_value_heads"] = data["num_attention_heads"]
    if data.get("head_dim") is None:
        heads = values.integer(data, "num_attention_heads", where=where)
        data["head_dim"] = values.integer(data, "hidden_size", where=where) // heads
    data["rope_theta"] = _rope_theta(data, where)
    _refuse_variants(data, where)
    integers = {key: values.integer(data, key, where=where) for key in config_keys.TEXT_INTEGERS}
    return TextConfig(
        **integers,
        rms_norm_eps=values.number(data, "rms_norm_eps", where=where),
        rope_theta=values.number(data, "rope_theta", where=where),
    )


def _rope_theta(data: Json, where: str) -> Any:
    """The rotary base, which transformers 5 moves into `rope_parameters`; plain rotary only."""
    for key in ("rope_parameters", "rope_scaling"):
        section = data.get(key)
        if section is not None and not isinstance(section, Mapping):
            raise values.refusal(where, key, section, "an object or null")
        kind = (section or {}).get("rope_type", (section or {}).get("type", "default"))
        if kind != "default":
            raise values.refusal(
                where, f"{key}.rope_type", kind, "'default': no SmolVLM scales its rotary"
            )
    old, new = data.get("rope_theta"), (data.get("rope_parameters") or {}).get("rope_theta")
    if None not in (old, new) and old != new:
        raise values.refusal(
            where, "rope_theta", old, f"{new!r} as in rope_parameters; remove the wrong one"
        )
    return new if old is None else old


def _refuse_variants(data: Json, where: str) -> None:
    """Refuse networks that look like SmolVLM but compute something else."""
    values.one_of(data, "model_type", ("llama",), where=where)
    values.one_of(data, "hidden_act", ("silu",), where=where)
    for key in ("attention_bias", "mlp_bias", "use_resampler", "qk_layer_norms"):
        values.one_of(data, key, (False, None), where=where)


def _vision_config(section: Json) -> VisionConfig:
    where = "config.json: vision_config"
    data = {**VISION_DEFAULTS, **section}
    values.one_of(data, "hidden_act", ("gelu_pytorch_tanh", "gelu_tanh"), where=where)
    integers = {key: values.integer(data, key, where=where) for key in config_keys.VISION_INTEGERS}
    return VisionConfig(
        **integers, layer_norm_eps=values.number(data, "layer_norm_eps", where=where)
    )


def _eos_ids(*sources: Json) -> tuple[int, ...]:
    """The end-of-turn ids of the first source that has any."""
    eos = next((s["eos_token_id"] for s in sources if s.get("eos_token_id") is not None), ())
    ids = tuple(eos) if isinstance(eos, list | tuple) else (eos,)
    if not all(type(item) is int for item in ids):
        raise values.refusal("the config", "eos_token_id", eos, "a token id or a list of them")
    return ids


def _pad_id(*sources: Json, vocab_size: int) -> int:
    """The first pad id inside the vocabulary; files that name none, or 128002, mean the default."""
    for source in sources:
        pad = source.get("pad_token_id")
        if type(pad) is int and 0 <= pad < vocab_size:
            return pad
    return DEFAULT_PAD_ID


def _check(config: ModelConfig) -> None:
    """Numbers that must fit each other; each failure names both."""
    text, vision = config.text, config.vision
    ids = f"an id below vocab_size ({text.vocab_size})"
    heads, kv_heads, width = text.num_attention_heads, text.num_key_value_heads, vision.hidden_size
    rules = (
        (
            heads % kv_heads == 0,
            "text_config.num_attention_heads",
            heads,
            f"a multiple of num_key_value_heads ({kv_heads})",
        ),
        (text.head_dim % 2 == 0, "text_config.head_dim", text.head_dim, "an even number"),
        (
            width % vision.num_attention_heads == 0,
            "vision_config.hidden_size",
            width,
            f"a multiple of num_attention_heads ({vision.num_attention_heads})",
        ),
        (vision.num_channels == 3, "vision_config.num_channels", vision.num_channels, "3 (RGB)"),
        (
            vision.grid >= 1 and vision.grid % config.scale_factor == 0,
            "scale_factor",
            config.scale_factor,
            f"a divisor of the patch grid, image_size // patch_size ({vision.grid})",
        ),
        (config.image_token_id < text.vocab_size, "image_token_id", config.image_token_id, ids),
        (
            all(0 <= eos < text.vocab_size for eos in config.eos_token_ids),
            "eos_token_id",
            config.eos_token_ids,
            ids,
        ),
    )
    for good, key, value, wanted in rules:
        if not good:
            raise values.refusal("config.json", key, value, wanted)


@dataclass(frozen=True)
class ImageRules:
    """How pictures become tiles: `preprocessor_config.json`.

    `longest_edge` and `tile` are pixels. `resample` is the number of a PIL filter (1 = Lanczos).
    """

    longest_edge: int
    tile: int
    split: bool
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]
    rescale_factor: float
    resample: int

    @classmethod
    def from_folder(cls, folder: Path) -> ImageRules:
        """Read the image rules of a model folder."""
        return cls.from_json(_preprocessor(folder))

    @classmethod
    def from_json(cls, data: Json) -> ImageRules:
        """Build from the parsed `preprocessor_config.json`."""
        where = "preprocessor_config.json"
        for key in ("do_convert_rgb", "do_resize", "do_rescale", "do_normalize"):
            if not values.flag(data, key, True, where=where):
                raise values.refusal(where, key, False, "true, as every SmolVLM has")
        return cls(
            longest_edge=values.edge(data, "size", where=where),
            tile=values.edge(data, "max_image_size", where=where),
            split=values.flag(data, "do_image_splitting", True, where=where),
            image_mean=values.triple(data, "image_mean", where=where),
            image_std=values.triple(data, "image_std", where=where),
            rescale_factor=values.number(data, "rescale_factor", where=where),
            resample=values.integer({"resample": 1, **data}, "resample", where=where),
        )


@dataclass(frozen=True)
class VideoRules:
    """How a clip becomes frames: `video_sampling` of `preprocessor_config.json` (SmolVLM2 only).

    `fps` frames are taken of each second, `max_frames` at most; each is resized so that its longer
    side has `longest_edge` pixels.
    """

    fps: float
    max_frames: int
    longest_edge: int

    @classmethod
    def from_folder(cls, folder: Path) -> VideoRules | None:
        """Read the video rules of a model folder; None for a model made for pictures only."""
        return cls.from_json(_preprocessor(folder))

    @classmethod
    def from_json(cls, data: Json) -> VideoRules | None:
        """Build from the parsed `preprocessor_config.json`; None without `video_sampling`."""
        sampling = data.get("video_sampling")
        if sampling is None:
            return None
        where = "preprocessor_config.json"
        if not isinstance(sampling, Mapping):
            raise values.refusal(where, "video_sampling", sampling, "an object")
        where += ": video_sampling"
        return cls(
            fps=values.number(sampling, "fps", where=where),
            max_frames=values.integer(sampling, "max_frames", where=where),
            longest_edge=values.edge(sampling, "video_size", where=where),
        )


def _preprocessor(folder: Path) -> Json:
    """`preprocessor_config.json`, which transformers 5 saves inside `processor_config.json`."""
    path, nested = folder / "preprocessor_config.json", folder / "processor_config.json"
    if not path.exists() and nested.exists():
        section = read_json(nested).get("image_processor")
        if isinstance(section, Mapping):
            return section
    return read_json(path)
