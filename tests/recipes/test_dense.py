"""Tokens that say what lies on them: targets, losses, positions of quarters, a step, a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recipes.embedded import dense
from recipes.embedded.cells import Cells, Seen, stacked
from recipes.embedded.dense import Settings, Stage
from recipes.embedded.materials import Materials
from recipes.embedded.sides import change_side
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.weights.reader import open_checkpoint

SIDE, PATCH, CELLS = 256, 16, 4
SETTINGS = Settings(frozen_layers=1, batch=2, connector_rate=1e-3, tower_rate=1e-3, chunk=4)


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "half"
    change_side(tiny_folder, folder, SIDE)
    return folder


def seen(model: Path, kind: str = "print", *, whole: bool = False, count: int = 2) -> Seen:
    materials = Materials.synthetic()
    rows = materials.drawings.indices("train")
    tokenizer = Tokenizer.from_folder(model)
    cells = Cells(materials, rows, tokenizer, side=SIDE, patch=PATCH, cells=CELLS, whole=whole,
                  seed=0, kinds={kind: 1.0})  # fmt: skip
    return stacked([cells[i] for i in range(count)])


def test_tokens_that_are_the_words_cost_nothing(model: Path) -> None:
    stage = Stage(model, None, SETTINGS)
    words = torch.tensor([[7, 9, -1], [-1, -1, -1], [5, -1, -1]])
    shares = torch.tensor([[0.5, 0.5, 0], [0, 0, 0], [1.0, 0, 0]])
    covers = torch.tensor([1.0, 0.0, 0.5])
    own = stage.table - stage.mean
    exact = stage.mean + torch.stack([(own[7] + own[9]) / 2, torch.zeros(own.shape[1]), own[5] / 2])
    assert float(stage._away(exact, words, shares, covers)) < 1e-10
    assert float(stage._away(exact + stage.variance**0.5, words, shares, covers)) > 0.9


def test_words_are_told_from_others(model: Path) -> None:
    stage = Stage(model, None, SETTINGS)
    words, shares = torch.tensor([[7, -1], [8, -1]]), torch.tensor([[1.0, 0], [1.0, 0]])
    covers = torch.ones(2)
    good, right = stage._said(stage.table[[7, 8]], words, shares, covers)
    swapped, wrong = stage._said(stage.table[[8, 7]], words, shares, covers)
    assert right == 1 and wrong == 0 and good < swapped
    # A cell that is mostly empty is not asked.
    only, share = stage._said(stage.table[[7, 7]], words, shares, torch.tensor([1.0, 0.2]))
    assert share == 1 and only < swapped


def test_characters_count_and_blanks_hardly(model: Path) -> None:
    stage = Stage(model, None, SETTINGS)
    patches = torch.zeros(1, 2, stage.head.in_features)
    with torch.no_grad():
        stage.head.bias.zero_()
        stage.head.bias.view(2, -1)[:, 5] = 10.0  # says 5 everywhere
    loss, right = stage._read(patches, torch.tensor([[[5, 5], [0, 0]]]))
    assert right == 1.0
    assert float(loss.detach()) == pytest.approx(
        10 * 0.05 / (1 + 0.05), rel=0.02
    )  # two halves of each
    assert stage._read(patches, torch.tensor([[[5, 6], [0, 0]]]))[1] == 0.5


def test_a_quarter_has_the_positions_it_has_in_the_whole(model: Path) -> None:
    """Patch vectors before the first block are those of the whole tile."""
    stage, whole = Stage(model, None, SETTINGS), Stage(model, None, replace(SETTINGS, whole=True))
    for one in (stage, whole):
        one.steps.copy.encoder.layers = torch.nn.ModuleList()
    parts = stage.patches(seen(model, count=1))  # (4, P / 4, D)
    all_ = whole.patches(seen(model, whole=True, count=1))[0]  # (P, D)
    half = SIDE // PATCH // 2
    square = all_.view(2, half, 2, half, -1).transpose(1, 2).reshape(parts.shape)
    torch.testing.assert_close(parts, square)


@pytest.mark.parametrize("whole", [False, True])
def test_a_step_lowers_the_loss(model: Path, whole: bool) -> None:
    stage = Stage(model, None, replace(SETTINGS, whole=whole))
    shown = seen(model, whole=whole)
    before = {name: p.detach().clone() for name, p in stage.network.named_parameters()}
    losses = [sum(stage.step(shown, 1.0)[k] for k in ("said", "read")) for _ in range(6)]
    assert losses[-1] < losses[0] - 0.2
    moved = {n for n, p in stage.network.named_parameters() if not torch.equal(p, before[n])}
    assert "connector.modality_projection.proj.weight" in moved
    assert not [n for n in moved if "layers.0." in n or "embeddings" in n or "text_model" in n]


def test_a_run_leaves_a_model_and_its_numbers(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    materials = Materials.synthetic()
    rows = materials.drawings.indices("train")
    monkeypatch.setattr(dense, "split_rows", lambda _: (rows[:-3], rows[-3:]))
    monkeypatch.setattr(dense, "LOOKED_AT", 2)
    out = tmp_path / "out"
    dense.fit(model, out, materials, replace(SETTINGS, minutes=0.05))
    facts = json.loads((out / "stage.json").read_text())
    assert facts["steps"] >= 1 and set(facts["held_out"]) == {
        "print", "characters", "drawings", "shapes",
    }  # fmt: skip
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == facts["steps"]
    before, after = open_checkpoint(model), open_checkpoint(out)
    again = Stage(out, None, SETTINGS)
    kept = load_file(out / dense.HEAD)
    assert torch.equal(again.head.weight, kept["weight"]) and kept["weight"].any()
    changed = {n for n in before.names() if not np.array_equal(before.raw(n), after.raw(n))}
    assert changed and all(name.startswith(("vision_model.", "connector.")) for name in changed)


def test_materials_that_are_not_there(model: Path, tmp_path: Path) -> None:
    assert dense.main([str(model), str(tmp_path / "o"), "--assets", str(tmp_path)]) == 2
