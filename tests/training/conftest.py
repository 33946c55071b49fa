"""A tiny model folder that can be trained, and little conversations to train it on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import make_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Float32, generation 2, one tile of 512; with a tokenizer."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny("SmolVLM2-256M-Video-Instruct", folder, tokenizer=True)
