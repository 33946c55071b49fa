"""Joining two models: which half is whose, and which cannot be joined."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recipes.embedded import join
from smolvlm.errors import InputError
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import write_checkpoint


@pytest.fixture(scope="module")
def other(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with other numbers everywhere, and no files but its weights and its config."""
    folder = tmp_path_factory.mktemp("join") / "other"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    base = open_checkpoint(tiny_folder)
    write_checkpoint(folder, {name: base.f32(name) + 1 for name in base.names()})
    return folder


def test_each_half_is_its_own_model_s(tiny_folder: Path, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert join.main([str(tiny_folder), str(other), str(out)]) == 0
    found, eyes, words = map(open_checkpoint, (out, tiny_folder, other))
    assert found.names() == eyes.names()
    for name in found.names():
        seeing = name.startswith(("vision_model.", "connector."))
        assert np.array_equal(found.raw(name), (eyes if seeing else words).raw(name)), name
    for path in tiny_folder.glob("*.json"):
        assert path.name.endswith(".index.json") or (out / path.name).exists()


def test_models_of_different_forms(tiny_folder: Path, other: Path, tmp_path: Path) -> None:
    shorter = tmp_path / "shorter"
    shorter.mkdir()
    config = json.loads((other / "config.json").read_text())
    text = config["text_config"]
    last = text["num_hidden_layers"] = text["num_hidden_layers"] - 1
    (shorter / "config.json").write_text(json.dumps(config))
    base, gone = open_checkpoint(other), f"text_model.layers.{last}."
    kept = {name: base.f32(name) for name in base.names() if not name.startswith(gone)}
    write_checkpoint(shorter, kept)
    with pytest.raises(InputError, match="different forms"):
        join.join(tiny_folder, shorter, tmp_path / "out")


def test_the_result_is_another_folder(
    tiny_folder: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert join.main([str(tiny_folder), str(other), str(other)]) == 2
    assert "choose another folder" in capsys.readouterr().err
