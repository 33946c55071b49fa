"""A whole model folder of a published shape: random weights, its published small files, words.

What it says is noise; what it costs is what the published one costs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.engine_speed import write_random
from smolvlm.weights.embedded import fetch_text_gguf
from smolvlm.weights.tokenizer_files import write_tokenizer_files
from tests.checkpoints import GOLDEN, golden_json

CONTEXT = 8192  # of the shapes whose config leaves it out


def write_folder(name: str, folder: Path) -> Path:
    """Fill a folder as the checkpoint of this name has it (`tests.checkpoints.NAMES`)."""
    write_random(name, folder)
    for kind in ("processor_config.json", "added_tokens.json", "chat_template.jinja"):
        shutil.copy(GOLDEN / f"{name}.{kind}", folder / kind)
    length = golden_json(name, "config")["text_config"].get("max_position_embeddings", CONTEXT)
    added = golden_json(name, "added_tokens")
    write_tokenizer_files(folder, fetch_text_gguf(), added, max_length=length)
    return folder
