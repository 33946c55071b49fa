"""Aligning the tower with names: where names point, what is held out, what a step does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.embedded import align
from recipes.embedded.align import Settings, Stage, Views, rate_factor, split_rows
from recipes.embedded.names import Names
from recipes.embedded.pack import AssetPack
from recipes.embedded.sides import change_side
from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.weights.reader import open_checkpoint
from tests.recipes.small_pack import LABELS, make_pack, make_row

SETTINGS = Settings(frozen_layers=1, batch=6, connector_rate=1e-3, tower_rate=1e-3)
SIDE = 128  # pixels: 8 patches a side


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> AssetPack:
    """Every thing by two artists; a synonym, a face, a sentence alone, a test drawing."""
    rows = [make_row(label) for label in LABELS]
    rows += [make_row(label, source=align.HELD_OUT_ARTIST) for label in LABELS]
    rows += [
        make_row("brolly", answers=["brolly", "umbrella"]),
        make_row("smile", group="smileys-emotion"),
        make_row(None, sentence="Two birds on a wire."),
        make_row("comb", source="openmoji"),
    ]
    return make_pack(tmp_path_factory.mktemp("pack"), rows)


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "small"
    change_side(tiny_folder, folder, SIDE)
    return folder


@pytest.fixture
def stage(model: Path, pack: AssetPack) -> Stage:
    train, held = split_rows(pack)
    return Stage(model, Names(pack, [*train, *held]), SETTINGS)


def views(pack: AssetPack) -> Views:
    return Views(pack, split_rows(pack)[0], side=SIDE, seed=0)


def batch(pack: AssetPack, count: int = 6) -> tuple[np.ndarray, list[int]]:
    return align._stack([views(pack)[i] for i in range(count)])


def test_a_name_points_at_itself(model: Path, pack: AssetPack) -> None:
    network = SmolVLM.from_checkpoint(open_checkpoint(model))
    tokenizer = Tokenizer.from_folder(model)
    names = Names(pack, range(len(LABELS)))
    white, words, size = names.whitening(network, tokenizer)
    table = network.text_model.embed_tokens.weight.detach()
    own = torch.stack([table[torch.tensor(tokenizer.encode(f" {n}"))].mean(0) for n in names.names])
    centred = own - own.mean(0)
    scores = F.normalize(centred @ white, dim=-1) @ words.T  # (N, N)
    torch.testing.assert_close(scores.diagonal(), torch.ones(len(LABELS)))
    assert scores.argmax(-1).tolist() == list(range(len(LABELS)))
    assert size == pytest.approx(float(centred.square().mean().sqrt()))
    # White: directions that all names share count for less than those that tell them apart.
    plain = F.normalize(centred, dim=-1) @ F.normalize(centred, dim=-1).T

    def overlap(cosines: Tensor) -> float:
        return float((cosines - torch.diag(cosines.diagonal())).abs().max())

    assert overlap(scores) < overlap(plain)


def test_other_names_of_a_thing_are_not_wrong(pack: AssetPack) -> None:
    train, _ = split_rows(pack)
    names = Names(pack, train)
    brolly = next(i for i in train if pack.row(i)["label"] == "brolly")
    labels, others = names.right([brolly, 0])
    said = [names.names[int(label)] for label in labels]
    assert said == ["brolly", pack.row(0)["label"]]
    assert [names.names[i] for i in others[0].nonzero().flatten()] == ["umbrella"]
    assert not others[1].any()  # its own name is its label and no other one


def test_a_synonym_costs_nothing(stage: Stage, pack: AssetPack) -> None:
    """The scores of names that would be right too are left out of the loss."""
    brolly = next(i for i in split_rows(pack)[0] if pack.row(i)["label"] == "brolly")
    tile = np.stack([views(pack)[0][0]])
    before, _ = stage.loss(tile, [brolly])
    stage.words[stage.names.names.index("umbrella")] *= 5
    assert torch.equal(stage.loss(tile, [brolly])[0], before)
    stage.words[stage.names.names.index("drum")] *= 5
    assert not torch.equal(stage.loss(tile, [brolly])[0], before)


def test_what_is_held_out_is_never_trained_on(pack: AssetPack) -> None:
    train, held = split_rows(pack)
    assert not {*train} & {*held}
    said = [pack.row(i) for i in held]
    assert {row["source"] for row in said} == {align.HELD_OUT_ARTIST}
    kept = {row["concept"] for row in said}
    assert len(kept) == -(-len(LABELS) // align.HELD_OUT_CONCEPTS)
    for row in map(pack.row, train):
        assert row["source"] != align.HELD_OUT_ARTIST or row["concept"] not in kept
        assert row["split"] == "train" and row["label"] and row["group"] == "objects"
    assert len(train) + len(held) == 2 * len(LABELS) + 1


def test_a_pack_without_things(tmp_path: Path) -> None:
    faces = make_pack(tmp_path, [make_row("smile", group="smileys-emotion")])
    with pytest.raises(InputError, match="no named thing"):
        split_rows(faces)


def test_views_are_shuffled_rows_by_seed_and_index(pack: AssetPack) -> None:
    own = views(pack)
    count = len(own.rows)
    first, second = ([own[i][1] for i in range(n * count, (n + 1) * count)] for n in (0, 1))
    assert sorted(first) == sorted(second) == own.rows and first != second
    tile, row = own[5]
    again, same = views(pack)[5]
    assert np.array_equal(tile, again) and row == same
    assert tile.shape == (SIDE, SIDE, 3)


def test_centring_keeps_what_tells_pictures_apart(stage: Stage, pack: AssetPack) -> None:
    tiles, _ = batch(pack)
    pixels = torch.from_numpy(align.normalize(tiles, stage.rules))
    with torch.no_grad():
        before = stage.network.encode_tiles(pixels)  # (B, T, H)
        stage.centre(tiles)
        after = stage.network.encode_tiles(pixels)
        patches = stage.network.vision_model(pixels).flatten(0, 1)  # (B*P, D)
        # Only a vector that all tokens share is gone.
        torch.testing.assert_close(after - after[0, 0], before - before[0, 0], rtol=1e-3, atol=1e-3)
    spread, mean = torch.std_mean(patches, dim=0)
    assert mean.abs().max() < 0.1 and (spread - 1).abs().max() < 0.1  # measured in bfloat16
    for master, own in zip(
        stage.network.vision_model.parameters(), stage.copy.parameters(), strict=True
    ):
        assert torch.equal(own, master.bfloat16())


def test_a_step_lowers_the_loss_and_moves_what_it_may(stage: Stage, pack: AssetPack) -> None:
    tiles, rows = batch(pack)
    stage.centre(tiles)
    before = {name: p.detach().clone() for name, p in stage.network.named_parameters()}
    losses = [stage.step(tiles, rows, 1.0)[0] for _ in range(6)]
    assert losses[-1] < losses[0] - 0.05
    moved = {n for n, p in stage.network.named_parameters() if not torch.equal(p, before[n])}
    assert "connector.modality_projection.proj.weight" in moved
    tower = "vision_model."
    assert all(n.startswith((f"{tower}encoder.layers.1.", f"{tower}post_layernorm", "connector"))
               for n in moved)  # fmt: skip
    assert any("layers.1." in name for name in moved)
    for master, own in stage._pairs():
        assert torch.equal(own, master.bfloat16())


def test_pieces_of_a_batch_make_the_step_of_the_whole(
    model: Path, pack: AssetPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles, rows = batch(pack)
    found = []
    for size in (align.CHUNK, 4):
        monkeypatch.setattr(align, "CHUNK", size)
        stage = Stage(model, Names(pack, split_rows(pack)[0]), SETTINGS)
        found.append((stage.step(tiles, rows, 1.0), stage.shift.detach().clone()))
    assert found[0][0][0] == pytest.approx(found[1][0][0], abs=5e-3)
    assert found[0][0][1] == found[1][0][1]
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-2, atol=1e-4)


def test_rates_rise_and_fall() -> None:
    assert rate_factor(0.0, 0.1) == 0
    assert rate_factor(0.05, 0.1) == pytest.approx(0.5)
    assert rate_factor(0.1, 0.1) == pytest.approx(1.0)
    assert rate_factor(1.0, 0.1) == pytest.approx(0.02)


def test_a_run_leaves_a_model_and_its_numbers(
    model: Path, pack: AssetPack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    settings = Settings(minutes=0.05, batch=4, frozen_layers=1)
    align.fit(model, out, pack, settings)
    facts = json.loads((out / "align.json").read_text())
    assert facts["steps"] >= 1 and facts["n"] == 2 and facts["batch"] == 4
    assert 0 <= facts["held_out"] <= 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == facts["steps"]
    before, after = open_checkpoint(model), open_checkpoint(out)
    changed = {n for n in before.names() if not np.array_equal(before.raw(n), after.raw(n))}
    assert changed and all(name.startswith(("vision_model.", "connector.")) for name in changed)
    assert not [name for name in changed if "embeddings" in name or "layers.0." in name]


def test_the_command_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [str(model), str(tmp_path / "out"), "--pack", str(tmp_path), "--minutes", "1"]
    assert align.main(line) == 2
    assert "no asset pack" in capsys.readouterr().err
