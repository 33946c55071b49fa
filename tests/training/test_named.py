"""Named stages: they can run, and hold the published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from smolvlm.errors import UnknownNameError
from smolvlm.training.named import NAMED, find_stage


@pytest.mark.parametrize("name", NAMED)
def test_every_named_stage_can_run_and_says_where_each_number_is_from(name: str) -> None:
    recipe = find_stage(name)
    recipe.stage.check_runnable()
    assert recipe.name == name and recipe.about
    assert all(source != "default" for _, _, source in recipe.lines())


def test_the_published_numbers() -> None:
    """Stage by stage as in the published configs: rates, steps, batch, warm-up."""
    told = {
        name: (s.vision.rate, s.connector.rate, s.text.rate, s.schedule.steps, s.batch)
        for name, s in ((name, recipe.stage) for name, recipe in NAMED.items())
    }
    assert told["image-1"] == (1e-4, 1e-4, 1e-4, 25_750, 1024)
    assert (told["image-1-500m"][3], told["image-1-2b"][3]) == (24_750, 22_250)
    assert told["image-2"] == (1e-4, 1e-4, 1e-4, 3000, 2048)
    assert told["image-3"][4] == 8192
    assert told["video-small"] == (5e-6, 1e-4, 2e-5, 5910, 512)
    assert told["video-2b"][3] == 6550
    first, video = NAMED["image-1"].stage, NAMED["video-2b"].stage
    assert first.text.adapter is not None and first.text.adapter.kind == "dora"
    assert (first.text.adapter.rank, first.text.adapter.alpha) == (64, 16)
    assert (first.schedule.warm_up, first.schedule.length, first.weight_decay) == (
        2000,
        500_000,
        0.1,
    )
    assert (video.length, video.schedule.warm_up_share, video.micro_tokens) == (8192, 0.03, 32_768)
    assert len(first.rows.tokens) == 38


def test_sizes_name_their_own_runs() -> None:
    assert "tr_343" in NAMED["image-1-500m"].source("batch")
    assert "2.2B" in NAMED["image-1-2b"].about
    assert not any("tr_341" in s for _, _, s in NAMED["image-1-2b"].lines())


def test_unknown_and_own_stages(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no stage named 'imag'; known: embedded, lora"):
        find_stage("imag")
    (tmp_path / "own.yaml").write_text("base: lora\n")
    assert find_stage(str(tmp_path / "own.yaml")).name == "own"
