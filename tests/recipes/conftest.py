"""A tiny model folder that every test of the recipes may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import make_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bfloat16 or float32 as published, generation 2, one tile of 512; with a tokenizer."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny("SmolVLM2-256M-Video-Instruct", folder, tokenizer=True)
