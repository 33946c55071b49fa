"""Which pictures a model is rounded by and measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.export.calibration import (
    DRAWN,
    MOST,
    CalibrationSet,
    calibration_set,
    drawn_pictures,
    make_prompt,
)
from smolvlm.processing.processor import Processor


@pytest.fixture(scope="module")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


def fill(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number:03}.png")
    return folder


def reds(prompts: CalibrationSet, part: str) -> list[int]:
    """Which pictures a part of the set shows."""
    return [int(prompt.tiles[0, 0, 0, 0]) for prompt in getattr(prompts, part)]


def test_one_in_four_is_measured_on_and_not_rounded_by(
    processor: Processor, tmp_path: Path
) -> None:
    (fill(tmp_path, 8) / "notes.txt").write_text("no picture")
    found = calibration_set(processor, tmp_path)
    assert reds(found, "measured") == [3, 7]
    assert reds(found, "fitted") == [0, 1, 2, 4, 5, 6]
    told = found.describe()
    assert told["source"] == f"8 pictures of {tmp_path.name}"
    assert (told["rounded_by"], told["measured_on"]) == (6, 2)
    assert told["measured_on_others"] is True


def test_two_pictures_work_and_warn(processor: Processor, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 pictures are few to calibrate with"):
        found = calibration_set(processor, fill(tmp_path, 2))
    assert reds(found, "measured") == reds(found, "fitted") == [0, 1]
    assert found.describe()["measured_on_others"] is False


def test_of_very_many_pictures_some_are_taken(processor: Processor, tmp_path: Path) -> None:
    found = calibration_set(processor, fill(tmp_path, MOST + 10))
    taken = sorted(reds(found, "fitted") + reds(found, "measured"))
    assert len(taken) == MOST and taken[0] == 0 and taken[-1] > MOST


def test_folders_without_pictures(processor: Processor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures; calibration needs some"):
        calibration_set(processor, tmp_path)
    with pytest.raises(InputError, match=r"there is no folder .*gone"):
        calibration_set(processor, tmp_path / "gone")


def test_drawn_pictures_are_the_same_every_time_and_differ(processor: Processor) -> None:
    once, again = (np.stack([np.asarray(p) for p in drawn_pictures()]) for _ in range(2))
    assert np.array_equal(once, again)
    assert len({picture.tobytes() for picture in once}) == DRAWN
    assert once.std() > 40 and (once.std(axis=(1, 2, 3)) > 10).all()
    assert calibration_set(processor, None).describe()["source"] == "12 pictures drawn by smolvlm"


def test_a_prompt_shows_its_picture(processor: Processor) -> None:
    prompt = make_prompt(processor, Image.new("RGB", (20, 20), (9, 8, 7)), "What is this?")
    visual = prompt.token_ids == processor.config.image_token_id
    assert visual.sum() == len(prompt.tiles) * processor.config.tokens_per_tile
    assert (prompt.tiles == [9, 8, 7]).all()
