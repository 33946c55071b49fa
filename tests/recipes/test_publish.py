"""Publishing: what was trained comes back as it was, rounded to float16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes.embedded.publish import publish
from smolvlm.weights.embedded import assets, read_trained

CONNECTOR = "set:connector.modality_projection.proj.weight"


@pytest.fixture
def state() -> dict[str, Any]:
    torch.manual_seed(0)
    name = "text_model.embed_tokens.weight"
    tensors = {
        CONNECTOR: torch.randn(8, 96),
        f"rows:{name}": torch.randn(3, 8),
        f"rows_index:{name}": torch.tensor([5, 1, 49279], dtype=torch.int32),
    }
    return {"tensors": tensors, "settings": {"scale": 0.5, "batch": 4}, "steps": 7}


def test_the_package_reads_back_what_was_trained(state: dict[str, Any], tmp_path: Path) -> None:
    assert publish(state, tmp_path / "out") == tmp_path / "out" / "trained.safetensors"
    trained, scale = read_trained(tmp_path / "out")
    assert scale == 0.5
    assert trained.keys() == state["tensors"].keys()
    for key, tensor in state["tensors"].items():
        wanted = tensor.numpy() if "index" in key else tensor.numpy().astype(np.float16)
        assert trained[key].dtype == wanted.dtype
        assert np.array_equal(trained[key], wanted)


def test_settings_and_facts_stand_beside_it(state: dict[str, Any], tmp_path: Path) -> None:
    publish(state, tmp_path)
    facts = json.loads((tmp_path / "trained.json").read_text())
    assert facts == {"scale": 0.5, "settings": {"scale": 0.5, "batch": 4}, "steps": 7}


def test_the_folder_can_be_assembled(state: dict[str, Any], tmp_path: Path) -> None:
    publish(state, tmp_path)
    small = [path for path in assets().iterdir() if not path.name.startswith("trained")]
    assert small
    assert all((tmp_path / path.name).read_bytes() == path.read_bytes() for path in small)
    publish(state, tmp_path)  # again, over what is there


def test_values_that_float16_cannot_hold_are_not_published(
    state: dict[str, Any], tmp_path: Path
) -> None:
    state["tensors"][CONNECTOR][0, 0] = 1e6
    with pytest.raises(AssertionError, match="connector"):
        publish(state, tmp_path)
    assert not (tmp_path / "trained.safetensors").exists()
