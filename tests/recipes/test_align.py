"""Aligning the tower with names: where names point, what is held out, what a step does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes.embedded import align
from recipes.embedded.align import Settings, Shown, Stage, Views, covered, split_rows
from recipes.embedded.names import Names, Plain, Whitened
from recipes.embedded.pack import AssetPack
from recipes.embedded.sides import change_side
from recipes.embedded.tower_steps import rate_factor
from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.weights.reader import open_checkpoint
from tests.recipes.small_pack import LABELS, make_pack, make_row

SETTINGS = Settings(frozen_layers=1, batch=6, connector_rate=1e-3, tower_rate=1e-3)
WORDS = replace(SETTINGS, words=True)
SIDE, CELLS = 128, 2  # pixels (8 patches a side), visual tokens a side


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


@pytest.fixture
def saying(model: Path, pack: AssetPack) -> Stage:
    """The second phase."""
    train, held = split_rows(pack)
    return Stage(model, Names(pack, [*train, *held]), WORDS)


def views(pack: AssetPack) -> Views:
    return Views(pack, split_rows(pack)[0], side=SIDE, cells=CELLS, seed=0)


def batch(pack: AssetPack, count: int = 6) -> Shown:
    return align._stack([views(pack)[i] for i in range(count)])


def test_a_name_points_at_itself(model: Path, pack: AssetPack) -> None:
    network = SmolVLM.from_checkpoint(open_checkpoint(model))
    tokenizer = Tokenizer.from_folder(model)
    names = Names(pack, range(len(LABELS)))
    words = names.words(network, tokenizer)
    table = network.text_model.embed_tokens.weight.detach()
    own = torch.stack([table[torch.tensor(tokenizer.encode(f" {n}"))].mean(0) for n in names.names])
    torch.testing.assert_close(words, own)
    plain, white = Plain(words, scale=7.0), Whitened(words, words.mean(0), scale=7.0)
    assert plain.variance == pytest.approx(float((own - own.mean(0)).square().mean()))

    def cosines(pointer: Plain | Whitened) -> Tensor:
        found: Tensor = (pointer(own) / 7).detach()  # (N, N)
        torch.testing.assert_close(found.diagonal(), torch.ones(len(LABELS)))
        assert found.argmax(-1).tolist() == list(range(len(LABELS)))
        return found

    def overlap(found: Tensor) -> float:
        return float((found - torch.diag(found.diagonal())).abs().max())

    # White: directions that all names share count for less than those that tell them apart.
    assert overlap(cosines(white)) < overlap(cosines(plain))


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
    shown = views(pack)[0]._replace(rows=[brolly])
    before, _ = stage.loss(shown)
    units = stage.pointers[0].units
    units[stage.names.names.index("umbrella")] *= 5
    assert torch.equal(stage.loss(shown)[0], before)
    units[stage.names.names.index("drum")] *= 5
    assert not torch.equal(stage.loss(shown)[0], before)


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
    first, second = ([own[i].rows[0] for i in range(n * count, (n + 1) * count)] for n in (0, 1))
    assert sorted(first) == sorted(second) == own.rows and first != second
    tile, cover, row = own[5]
    again, same_cover, same = views(pack)[5]
    assert np.array_equal(tile, again) and np.array_equal(cover, same_cover) and row == same
    assert tile.shape == (1, SIDE, SIDE, 3) and cover.shape == (1, CELLS * CELLS)


def test_a_token_is_the_drawing_s_as_far_as_that_covers_its_cell() -> None:
    alpha = np.zeros((8, 8), dtype=np.uint8)
    alpha[:4, :4] = 255  # all of the first of four cells, row by row
    alpha[:1, 4:5] = 255  # a sixteenth of the second
    alpha[4:, 4:] = 128  # all of the last, half opaque
    expected = np.array([1, 1 / 16 / align.WHOLE, 0, 1], dtype=np.float32)
    np.testing.assert_allclose(covered(alpha, 2), expected, rtol=1e-6)


def test_centring_keeps_what_tells_pictures_apart(stage: Stage, pack: AssetPack) -> None:
    shown = batch(pack)
    pixels = torch.from_numpy(align.normalize(shown.tiles, stage.rules))
    with torch.no_grad():
        before = stage.network.encode_tiles(pixels)  # (B, T, H)
        stage.centre(shown)
        after = stage.network.encode_tiles(pixels)
        patches = stage.network.vision_model(pixels).flatten(0, 1)  # (B*P, D)
        # Only a vector that all tokens share is gone.
        torch.testing.assert_close(after - after[0, 0], before - before[0, 0], rtol=1e-3, atol=1e-3)
    spread, mean = torch.std_mean(patches, dim=0)
    assert mean.abs().max() < 0.1 and (spread - 1).abs().max() < 0.1  # measured in bfloat16
    for master, own in zip(
        stage.network.vision_model.parameters(), stage.steps.copy.parameters(), strict=True
    ):
        assert torch.equal(own, master.bfloat16())


def test_background_says_the_mean_and_the_drawing_its_name(saying: Stage, pack: AssetPack) -> None:
    shown = batch(pack, 1)._replace(covers=np.array([[0, 0.5, 1, 0]], dtype=np.float32))
    label = pack.row(shown.rows[0])["label"]
    word = saying.words[saying.names.names.index(label)]
    mean = saying.words.mean(0)
    torch.testing.assert_close(
        saying._targets(shown), torch.stack([mean, (mean + word) / 2, word, mean])[None]
    )


def test_tokens_that_are_the_words_cost_only_what_the_names_share(
    saying: Stage, pack: AssetPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = batch(pack)
    targets = saying._targets(shown)
    monkeypatch.setattr(Stage, "_tokens", lambda *_: targets)
    exact, hits = saying.loss(shown)
    assert hits.all()
    monkeypatch.setattr(Stage, "_tokens", lambda *_: targets + 1)
    off, _ = saying.loss(shown)
    assert off > exact + 0.9 / saying.plain.variance  # the tokens' own loss is 1 / variance


@pytest.mark.parametrize("settings", [SETTINGS, WORDS])
def test_a_step_lowers_the_loss_and_moves_what_it_may(
    settings: Settings, model: Path, pack: AssetPack
) -> None:
    stage = Stage(model, Names(pack, split_rows(pack)[0]), settings)
    shown = batch(pack)
    if not settings.words:
        stage.centre(shown)
    before = {name: p.detach().clone() for name, p in stage.network.named_parameters()}
    losses = [stage.step(shown, 1.0)[0] for _ in range(6)]
    assert losses[-1] < losses[0] - 0.05
    moved = {n for n, p in stage.network.named_parameters() if not torch.equal(p, before[n])}
    assert "connector.modality_projection.proj.weight" in moved
    tower = "vision_model."
    assert all(n.startswith((f"{tower}encoder.layers.1.", f"{tower}post_layernorm", "connector"))
               for n in moved)  # fmt: skip
    assert any("layers.1." in name for name in moved)
    for master, own in stage.steps.pairs():
        assert torch.equal(own, master.bfloat16())


@pytest.mark.parametrize("settings", [SETTINGS, WORDS])
def test_pieces_of_a_batch_make_the_step_of_the_whole(
    settings: Settings, model: Path, pack: AssetPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, found = batch(pack), []
    for size in (align.CHUNK, 4):
        monkeypatch.setattr(align, "CHUNK", size)
        stage = Stage(model, Names(pack, split_rows(pack)[0]), settings)
        first = stage.pointers[0]
        found.append((stage.step(shown, 1.0), first.shift.detach().clone()))
    assert found[0][0][0] == pytest.approx(found[1][0][0], rel=5e-3)
    assert found[0][0][1] == found[1][0][1]
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-2, atol=1e-4)


def test_rates_rise_and_fall() -> None:
    assert rate_factor(0.0, 0.1) == 0
    assert rate_factor(0.05, 0.1) == pytest.approx(0.5)
    assert rate_factor(0.1, 0.1) == pytest.approx(1.0)
    assert rate_factor(1.0, 0.1) == pytest.approx(0.02)


@pytest.mark.parametrize("words", [False, True])
def test_a_run_leaves_a_model_and_its_numbers(
    words: bool,
    model: Path,
    pack: AssetPack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    settings = Settings(minutes=0.05, batch=4, frozen_layers=1, words=words)
    align.fit(model, out, pack, settings)
    facts = json.loads((out / "stage.json").read_text())
    assert facts["steps"] >= 1 and facts["n"] == 2 and facts["batch"] == 4
    assert 0 <= facts["held_out"] <= 1 and facts["words"] is words
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == facts["steps"]
    before, after = open_checkpoint(model), open_checkpoint(out)
    changed = {n for n in before.names() if not np.array_equal(before.raw(n), after.raw(n))}
    assert changed and all(name.startswith(("vision_model.", "connector.")) for name in changed)
    assert not [name for name in changed if "embeddings" in name or "layers.0." in name]


def test_the_command_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [str(model), str(tmp_path / "out"), "--pack", str(tmp_path), "--words"]
    assert align.main(line) == 2
    assert "no asset pack" in capsys.readouterr().err
