"""The smallest model folders there can be (kilobytes), for tests of names and files."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.weights.names import expected_shapes
from smolvlm.weights.writer import write_checkpoint

CONFIG: dict[str, Any] = {
    "model_type": "smolvlm",
    "scale_factor": 2,
    "image_token_id": 21,
    "text_config": {
        "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2, "vocab_size": 22,
        "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 4, "rms_norm_eps": 1e-5,
        "rope_theta": 1e5, "max_position_embeddings": 64,
    },
    "vision_config": {
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 8, "patch_size": 2,
    },
}  # fmt: skip


def write_config(folder: Path, *, tied: bool = False) -> ModelConfig:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"tie_word_embeddings": tied}))
    return ModelConfig.from_folder(folder)


def random_tensors(config: ModelConfig, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(config).items()
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes}


def write_folder(folder: Path, **options: Any) -> dict[str, NDArray[np.float32]]:
    """A whole model folder with random float32 weights; returns them under our names."""
    tensors = random_tensors(write_config(folder))
    write_checkpoint(folder, tensors, **options)
    return tensors


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The parsed header of a safetensors file, and its data."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_raw(path: Path, header: Any, data: bytes) -> None:
    """A safetensors file with any header at all; a dict is written as JSON."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
