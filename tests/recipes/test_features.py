"""Features: the tower's own, kept in order, and a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.embedded import features
from recipes.embedded.features import BLANK, BLANK_EVERY, FeatureStore, Tower, compute, plan_rows
from recipes.embedded.pack import AssetPack
from recipes.embedded.views import blank, view
from smolvlm.config import ImageRules
from smolvlm.errors import InputError
from smolvlm.model.connector import pixel_shuffle
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.recipes.small_pack import LABELS, make_pack, make_row, write_features

SIDE = 128  # a quarter of the tiny model's tile: 4 visual tokens
ROWS = [BLANK, 0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("features") / "tiny"
    return make_tiny("SmolVLM2-256M-Video-Instruct", place, tied=True)


@pytest.fixture
def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Tower]:
    """`Tower.load`, with the tiny model in the embedded one's place."""
    monkeypatch.setattr(features, "assemble", lambda: folder)
    return Tower.load


@pytest.fixture
def pack(tmp_path: Path) -> AssetPack:
    return make_pack(tmp_path / "pack", [make_row(label) for label in LABELS])


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_a_record_is_what_the_tower_sees_of_its_view(
    load: Callable[[int], Tower], folder: Path, pack: AssetPack, tmp_path: Path
) -> None:
    tower = load(512)
    compute(tower, pack, ROWS[:2], tmp_path / "out", batch=2)
    store = FeatureStore.open(tmp_path / "out")
    assert store.rows == (BLANK, 0) and store.tokens == 64
    tiles = np.stack([blank(side=512, seed=0), view(pack.image(0), side=512, seed=1)])
    model = SmolVLM.from_checkpoint(open_checkpoint(folder))  # in float32, unlike the tower
    with torch.no_grad():
        pixels = torch.from_numpy(normalize(tiles, ImageRules.from_folder(folder)))
        wanted = pixel_shuffle(model.vision_model(pixels), model.config.scale_factor)
    for record in range(2):
        found = store.tile(record)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), wanted[record], rtol=0.1, atol=0.1)


def test_a_stopped_run_goes_on_to_the_same_files(
    load: Callable[[int], Tower], pack: AssetPack, tmp_path: Path
) -> None:
    tower = load(SIDE)
    compute(tower, pack, ROWS, tmp_path / "whole", batch=2)
    compute(tower, pack, ROWS[:4], tmp_path / "stopped", batch=2)
    compute(tower, pack, ROWS, tmp_path / "stopped", batch=2)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert FeatureStore.open(tmp_path / "whole").rows == tuple(ROWS)


@pytest.mark.parametrize("broken", ["features.bin", "features.jsonl", "both"])
def test_half_a_record_is_ignored_and_made_again(
    broken: str, load: Callable[[int], Tower], pack: AssetPack, tmp_path: Path
) -> None:
    tower, out = load(SIDE), tmp_path / "out"
    compute(tower, pack, ROWS, tmp_path / "whole", batch=2)
    compute(tower, pack, ROWS[:4], out, batch=2)
    if broken != "features.jsonl":
        with (out / "features.bin").open("ab") as data:
            data.write(b"half a record")
    if broken != "features.bin":
        with (out / "features.jsonl").open("a") as index:
            index.write("3")  # of 3, or of 3141: nobody knows
    store = FeatureStore.open(out)
    assert store.rows == tuple(ROWS[:4])
    assert store.data.shape[0] == 4
    compute(tower, pack, ROWS, out, batch=2)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_line_without_its_features_is_no_record(tmp_path: Path) -> None:
    write_features(tmp_path / "out", [7, 8], torch.randn(2, 4, 6))
    with (tmp_path / "out" / "features.jsonl").open("a") as index:
        index.write("9\n")
    assert FeatureStore.open(tmp_path / "out").rows == (7, 8)


def test_features_read_back_in_order(tmp_path: Path) -> None:
    tiles = torch.randn(3, 4, 6).to(torch.bfloat16)
    write_features(tmp_path / "out", [4, BLANK, 2], tiles)
    store = FeatureStore.open(tmp_path / "out")
    assert store.tokens == 4
    assert all(torch.equal(store.tile(record), tiles[record]) for record in range(3))


@pytest.mark.parametrize("empty", [False, True])
def test_no_features_is_a_clear_error(empty: bool, tmp_path: Path) -> None:
    if empty:
        write_features(tmp_path / "out", [], torch.zeros(0, 4, 6))
    with pytest.raises(InputError, match="no features"):
        FeatureStore.open(tmp_path / "out")


def test_features_of_another_side_or_plan_are_not_mixed(
    load: Callable[[int], Tower], pack: AssetPack, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    compute(load(SIDE), pack, ROWS[:2], out)
    before = contents(out)
    with pytest.raises(InputError, match="another side or pack"):
        compute(load(2 * SIDE), pack, ROWS, out)
    with pytest.raises(InputError, match="another side or pack"):
        compute(load(SIDE), pack, ROWS[::-1], out)
    assert contents(out) == before


def test_a_smaller_side_resamples_the_position_table_only(
    load: Callable[[int], Tower], folder: Path
) -> None:
    full = SmolVLM.from_checkpoint(open_checkpoint(folder)).vision_model.state_dict()
    smaller = load(256).network.state_dict()
    key = "embeddings.position_embedding.weight"
    table = full.pop(key).unflatten(0, (32, 32)).numpy()  # (P, D) -> (g, g, D)
    found = smaller.pop(key).float()
    assert all(torch.equal(smaller[name], full[name].bfloat16()) for name in full)
    channels = [
        np.asarray(Image.fromarray(channel).resize((16, 16), Image.Resampling.BICUBIC))
        for channel in np.ascontiguousarray(table.transpose(2, 0, 1))  # (D, g, g)
    ]
    wanted = torch.from_numpy(np.stack(channels, -1).reshape(16 * 16, -1))  # (P', D)
    torch.testing.assert_close(found, wanted.bfloat16().float(), rtol=0.01, atol=0.01)
    assert load(256).shape == (16, 16 * 48)


def test_plan_puts_colour_first_and_leaves_people_out(tmp_path: Path) -> None:
    rows = [make_row("apple", n, source="game-icons") for n in range(100)]
    rows += [make_row("drum", n) for n in range(160)]
    rows += [make_row("boy", n, group="people-body") for n in range(5)]
    rows += [make_row("snail", n, source="openmoji") for n in range(5)]
    pack = make_pack(tmp_path / "pack", rows)
    plan = plan_rows(pack, None)
    kinds = [pack.row(i)["source"] for i in plan if i != BLANK]
    assert kinds == ["noto"] * 160 + ["game-icons"] * 100
    assert sorted(i for i in plan if i != BLANK) == list(range(260))
    assert [at for at, i in enumerate(plan) if i == BLANK] == [0, BLANK_EVERY + 1]
    assert plan_rows(pack, 50) == plan[:50]
    assert [i for i in plan[:161] if i != BLANK] != sorted(i for i in plan[:161] if i != BLANK)


def test_shape_file_is_plain_json(
    load: Callable[[int], Tower], pack: AssetPack, tmp_path: Path
) -> None:
    compute(load(SIDE), pack, ROWS[:1], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "shape.json").read_text()) == [4, 16 * 48]
