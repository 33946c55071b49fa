"""Tiny checkpoints in the official layout, made on the spot with random weights.

The JSON files are the published ones (tests/golden/checkpoints) with the towers shrunk; the tile,
the patch grid, the pixel-shuffle factor, the vocabulary and every key that the published files omit
stay as they are. Every tensor is random, norms and biases too, so that a swapped, forgotten or
doubly applied one changes the logits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.weights.embedded import fetch_text_gguf
from smolvlm.weights.names import expected_shapes
from smolvlm.weights.tokenizer_files import write_tokenizer_files
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
NAMES = (
    "SmolVLM-256M-Instruct",
    "SmolVLM-500M-Instruct",
    "SmolVLM-Instruct",
    "SmolVLM-Base",
    "SmolVLM2-256M-Video-Instruct",
    "SmolVLM2-500M-Video-Instruct",
    "SmolVLM2-2.2B-Instruct",
)
COPIED = ("preprocessor_config", "processor_config", "generation_config", "added_tokens")


def golden_json(name: str, kind: str) -> dict[str, Any]:
    """A published JSON file, e.g. `golden_json("SmolVLM-Base", "config")`."""
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.{kind}.json").read_text(encoding="utf-8"))
    return data


def tiny_config(name: str, *, tied: bool = False) -> dict[str, Any]:
    """The published config.json with shrunken towers; keys it omits stay omitted.

    The 2.2B keeps one key/value head per query head, the others share as the published ones do.
    """
    config = golden_json(name, "config")
    text, vision = config["text_config"], config["vision_config"]
    text.update(hidden_size=64, intermediate_size=80, num_hidden_layers=2, head_dim=8)
    vision.update(hidden_size=48, intermediate_size=96, num_hidden_layers=2)
    if "num_attention_heads" in text:
        shared = text["num_key_value_heads"] < text["num_attention_heads"]
        text.update(num_attention_heads=4, num_key_value_heads=2 if shared else 4)
    if "num_attention_heads" in vision:
        vision["num_attention_heads"] = 4
    config["tie_word_embeddings"] = tied
    return config


def random_tensors(config: ModelConfig, *seed: int) -> dict[str, NDArray[np.float32]]:
    """Every tensor of a config by our name, of sizes that keep activations near 1."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in expected_shapes(config).items():
        noise = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            tensors[name] = np.float32(centre) + np.float32(0.2) * noise
        elif "embed_tokens" in name or "position_embedding" in name:
            tensors[name] = noise
        else:
            fan_in = int(np.prod(shape[1:]))
            tensors[name] = noise * np.float32(1.5 * fan_in**-0.5)
    return tensors


def make_tiny(
    name: str, folder: Path, *, seed: int = 0, tied: bool = False, tokenizer: bool = False
) -> Path:
    """Write a tiny model folder for one of `NAMES` and return it.

    Weights are stored in the type the published checkpoint has. tokenizer: also write
    tokenizer.json (needs the base vocabulary, which is fetched once).
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw = tiny_config(name, tied=tied)
    (folder / "config.json").write_text(json.dumps(raw, indent=2), encoding="utf-8")
    for kind in COPIED:
        shutil.copy(GOLDEN / f"{name}.{kind}.json", folder / f"{kind}.json")
    template = (GOLDEN / f"{name}.chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.json").write_text(
        json.dumps({"chat_template": template}), encoding="utf-8"
    )
    config = ModelConfig.from_folder(folder)
    tensors = random_tensors(config, seed, NAMES.index(name))
    bf16 = raw["torch_dtype"] == "bfloat16"
    write_checkpoint(folder, {k: to_bf16_bits(v) if bf16 else v for k, v in tensors.items()})
    if tokenizer:
        added, length = golden_json(name, "added_tokens"), config.text.max_position_embeddings
        write_tokenizer_files(folder, fetch_text_gguf(), added, max_length=length)
    return folder
