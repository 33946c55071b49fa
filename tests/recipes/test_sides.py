"""Another tile side: everything that depends on it follows, and the way back is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recipes.embedded import sides
from recipes.embedded.sides import POSITIONS, change_side
from smolvlm.config import VideoRules, read_json
from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.processing.processor import Processor
from smolvlm.weights.reader import open_checkpoint
from tests.training.little import message

FULL, HALF = 512, 256  # a tile of the tiny model: 32 patches a side, 8 visual tokens a side


@pytest.fixture(scope="module")
def small(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides") / "small"
    change_side(tiny_folder, folder, HALF)
    return folder


def test_there_and_back_is_the_same_model(tiny_folder: Path, small: Path, tmp_path: Path) -> None:
    back = tmp_path / "back"
    change_side(small, back, FULL, positions=tiny_folder)
    before, after = open_checkpoint(tiny_folder), open_checkpoint(back)
    assert before.names() == after.names()
    for name in before.names():
        assert before.dtype(name) == after.dtype(name), name
        assert np.array_equal(before.raw(name), after.raw(name)), name
    files = {path.name for path in tiny_folder.glob("*.json")}
    assert files == {path.name for path in back.glob("*.json")}
    for name in files:
        assert read_json(tiny_folder / name) == read_json(back / name), name


def test_a_small_tile_has_fewer_tokens(tiny_folder: Path, small: Path) -> None:
    checkpoint = open_checkpoint(small)
    assert checkpoint.shape(POSITIONS) == (16 * 16, 48)
    for name in checkpoint.names():
        if name != POSITIONS:
            assert np.array_equal(checkpoint.raw(name), open_checkpoint(tiny_folder).raw(name))
    processor = Processor.from_folder(small)
    inputs = processor([[message("user", Image.new("RGB", (100, 60)), "What?")]])
    assert inputs.tiles.shape[1:] == (HALF, HALF, 3)
    ids = torch.from_numpy(inputs.tokens(0))
    assert int((ids == processor.config.image_token_id).sum()) == 16 * len(inputs.tiles)
    model = SmolVLM.from_checkpoint(checkpoint)
    features = model.encode_tiles(torch.from_numpy(normalize(inputs.tiles, processor.rules)))
    assert model(ids[None], features=features.flatten(0, 1)).isfinite().all()


def test_pictures_and_frames_shrink_with_the_tile(tiny_folder: Path, small: Path) -> None:
    full, half = (Processor.from_folder(f).rules for f in (tiny_folder, small))
    assert (half.tile, half.longest_edge) == (full.tile // 2, full.longest_edge // 2)
    rules = [
        VideoRules.from_json(read_json(f / "preprocessor_config.json"))
        for f in (tiny_folder, small)
    ]
    assert rules[0] is not None and rules[1] is not None
    assert rules[1].longest_edge == rules[0].longest_edge // 2


def test_the_table_is_resampled_smoothly(tiny_folder: Path, tmp_path: Path) -> None:
    """A plane stays a plane: rows and columns are not mixed up, and nothing is shifted."""
    base = open_checkpoint(tiny_folder)
    rows, cols = np.mgrid[:32, :32] + 0.5
    plane = np.repeat((3 * rows + cols).reshape(-1, 1), 48, axis=1).astype(np.float32)  # (P, D)
    base.f32 = lambda name: plane  # type: ignore[method-assign]
    table = sides.resampled(base, 16).reshape(16, 16, 48)
    rows, cols = 2 * np.mgrid[:16, :16] + 1.0  # the middle of two old ones
    inside = slice(3, -3)
    assert np.allclose(table[inside, inside, 0], (3 * rows + cols)[inside, inside], atol=0.05)


@pytest.mark.parametrize("side", [0, -64, 100, 63])
def test_a_side_without_whole_tokens(side: int, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"side is {side}; wanted a multiple of 64 pixels"):
        change_side(tiny_folder, tmp_path / "out", side)
    assert not (tmp_path / "out").exists()


def test_a_table_of_another_side(tiny_folder: Path, small: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 16 patches a side; wanted 32"):
        change_side(tiny_folder, tmp_path / "out", FULL, positions=small)
    with pytest.raises(InputError, match=r"is the model itself"):
        change_side(small, small, HALF)


def test_the_command_line(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sides.main([str(tiny_folder), str(out), "--side", "100"]) == 2
    assert "Error: side is 100" in capsys.readouterr().err
    assert sides.main([str(tiny_folder), str(out), "--side", str(HALF)]) == 0
    assert open_checkpoint(out).config.vision.image_size == HALF
