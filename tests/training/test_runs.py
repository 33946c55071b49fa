"""What a run leaves behind, and what is refused before it begins."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.adapter_files import merge, read_adapter
from smolvlm.training.runs import content_digest, open_run
from smolvlm.training.stages import Recipe
from smolvlm.training.trainer import RunOptions
from smolvlm.weights.reader import open_checkpoint
from tests.training.train_tiny import STAGE, little, tiny_recipe

TOKENS = torch.tensor([[5, 7, 49152, 9, 200]])


def test_a_run_leaves_a_model_that_answers_as_the_trained_one(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(STAGE, tmp_path)
    options = RunOptions(save_every=1e9, max_bytes=2_000_000)
    run = open_run(
        tiny_folder, recipe, tmp_path / "out", generators={"little": little}, options=options
    )
    run.trainer.fit()
    folder = run.write_result("model")
    trained = run.trainer.model.eval()
    made = SmolVLM.from_checkpoint(open_checkpoint(folder))
    torch.testing.assert_close(made(TOKENS), trained(TOKENS), rtol=1e-4, atol=1e-4)
    assert (folder / "tokenizer.json").exists()
    adapter = read_adapter(run.write_result("adapter"))
    for name, values in merge(run.checkpoint, adapter).items():
        torch.testing.assert_close(
            torch.from_numpy(open_checkpoint(folder).f32(name).copy()), torch.from_numpy(values)
        )
    record = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert record["settings"]["text.adapter.rank"] == {"value": "4", "source": "a test"}
    assert record["resolved"]["base"] == content_digest(tiny_folder)


def test_a_model_is_known_by_what_it_holds(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "copy")
    assert content_digest(tmp_path / "copy") == content_digest(tiny_folder)
    path = tmp_path / "copy" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert content_digest(tmp_path / "copy") != content_digest(tiny_folder)


def test_what_cannot_run_is_refused_before_weights_are_read(
    tiny_folder: Path, tmp_path: Path
) -> None:
    recipe = tiny_recipe(STAGE, tmp_path)

    def refused(changed: Recipe, words: str) -> None:
        with pytest.raises(InputError, match=words):
            open_run(tiny_folder, changed, tmp_path / "out", generators={"little": little})

    refused(replace(recipe, stage=replace(STAGE, mixture=None)), "no mixture; give one")
    refused(replace(recipe, stage=replace(recipe.stage, length=9000)), "context holds 8192")
    frozen = replace(recipe.stage, text=STAGE.vision, connector=STAGE.vision)
    frozen = replace(frozen, rows=replace(STAGE.rows, rate=0.0))
    refused(replace(recipe, stage=frozen), "nothing to train")
    with pytest.raises(InputError, match="no generator named 'little'"):
        open_run(tiny_folder, recipe, tmp_path / "out")
