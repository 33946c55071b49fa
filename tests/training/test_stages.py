"""Stages as data: values, sources, files, contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from smolvlm.errors import InputError
from smolvlm.training.named import NAMED
from smolvlm.training.stages import (
    Adapter,
    Part,
    Rows,
    Schedule,
    Stage,
    read_stage,
    with_assignments,
)


def test_every_value_has_a_line_with_its_source() -> None:
    recipe = with_assignments(NAMED["embedded"], ["text.adapter.rank=8", "batch=4"])
    lines = {key: (value, source) for key, value, source in recipe.lines()}
    assert lines["text.adapter.rank"] == ("8", "command line")
    assert lines["batch"] == ("4", "command line")
    assert lines["text.rate"] == ("0.001", "the first run of recipes/embedded")
    assert lines["connector.rate"] == ("5e-06", "recipes/embedded/tried.md: 1e-4 undid the start")
    assert lines["mixture"][0] == "none"
    assert recipe.stage.text.adapter is not None and recipe.stage.text.adapter.alpha == 16


def test_a_stage_file_builds_on_a_named_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: lora\ntext: {rate: 3e-4, adapter: {kind: lora}}\nschedule.steps: 12\n")
    recipe = read_stage(path, NAMED)
    assert (recipe.name, recipe.stage.text.rate, recipe.stage.schedule.steps) == ("mine", 3e-4, 12)
    assert recipe.stage.text.adapter == Adapter("lora", 8, 8.0, 0.1)
    assert recipe.source("text.rate") == "mine.yaml"
    assert recipe.source("batch") == "Smol_VLM_FT notebook"
    path.write_text("connector: {rate: 1e-3}\nschedule: {steps: 5}\n")
    assert read_stage(path, NAMED).stage.connector == Part(1e-3)
    path.write_text("base: lra\n")
    with pytest.raises(InputError, match="builds on 'lra'; known stages: embedded, lora"):
        read_stage(path, NAMED)
    path.write_text("text: {rat: 1}\n")
    with pytest.raises(InputError, match=r"'text.rat'; did you mean 'text.rate'"):
        read_stage(path, NAMED)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Part(-1.0), "rate is -1.0"),
        (lambda: Part(1e-3, full=("norm",)), "only for parts with an adapter"),
        (lambda: Part(1e-3, Adapter(), frozen=("norm",)), "only for parts without an adapter"),
        (lambda: Part(0.0, Adapter()), "adapter has the rate 0"),
        (lambda: Adapter(rank=0), "adapter.rank is 0"),
        (lambda: Adapter(dropout=1.0), "dropout is 1.0"),
        (lambda: Rows(rate=2.0), "rows.rate is 2.0"),
        (lambda: Rows(1e-3, ()), r"rows.tokens is \(\); wanted names of tokens"),
        (lambda: Schedule(steps=0), "schedule.steps is 0"),
        (lambda: Schedule(time_budget=9, warm_up=5), "warm_up counts steps"),
        (lambda: Stage(batch=0), "batch is 0"),
        (lambda: Stage(seed=256), "seed is 256; wanted 0 to 255"),
        (lambda: Stage(clip=0.0), "clip is 0.0"),
        (lambda: Stage(text=Part(1e-4), rows=Rows(1e-4)), "trained in full, rows too"),
        (lambda: Stage(schedule=Schedule(steps=1)).check_runnable(), "nothing to train"),
        (lambda: Stage(connector=Part(1e-3)).check_runnable(), "nothing ends the run"),
    ],
)
def test_contradictions_are_refused(make: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()  # type: ignore[operator]
