"""Whole runs on a tiny model: killed, resumed, spoiled, starved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from smolvlm.errors import InputError, SmolVLMError
from smolvlm.training.runs import Run, open_run
from smolvlm.training.stages import Schedule, Stage
from smolvlm.training.state import newest_state
from smolvlm.training.trainer import RunOptions
from smolvlm.types import ImagePart, Message, Sample, TextPart
from tests.training.little import colour_sample
from tests.training.train_tiny import STAGE, little, tiny_recipe

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in lines(out) if "loss" in line]


def tiny_run(
    model: Path,
    out: Path,
    stage: Stage = STAGE,
    generate: Callable[[int], Sample] = little,
    **options: Any,
) -> Run:
    return open_run(
        model,
        tiny_recipe(stage, out.parent),
        out,
        generators={"little": generate},
        options=RunOptions(save_every=0.0, **options),
    )


def process(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.train_tiny", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, **options
    )


def test_a_run_killed_in_the_middle_goes_on_as_if_nothing_had_happened(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """With dropout and noise, so that everything random must come back too."""
    options = ("--dropout", "0.3")
    with process(tiny_folder, tmp_path / "whole", *options) as whole:
        assert whole.wait() == 0
    with process(tiny_folder, tmp_path / "cut", *options, "--slow", "0.3") as cut:
        assert cut.stdout is not None
        while int(cut.stdout.readline()) < 3:
            pass
        os.kill(cut.pid, signal.SIGKILL)
        assert cut.wait() == -signal.SIGKILL
    stopped = newest_state(tmp_path / "cut" / "state")
    assert stopped is not None and 2 <= stopped.step <= 3
    with process(tiny_folder, tmp_path / "cut", *options, "--resume", "--workers", "1") as again:
        assert again.wait() == 0
        assert again.stdout is not None
        assert again.stdout.read().split()[0] == str(stopped.step + 1)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    ends = [newest_state(tmp_path / name / "state") for name in ("cut", "whole")]
    assert ends[0] is not None and ends[1] is not None
    for name, tensor in ends[1].tensors.items():
        assert torch.equal(ends[0].tensors[name], tensor), name


def test_the_loss_falls_and_held_out_samples_are_looked_at(
    tiny_folder: Path, tmp_path: Path
) -> None:
    stage = replace(STAGE, schedule=Schedule("constant", steps=12))
    run = tiny_run(tiny_folder, tmp_path / "out", stage)
    progress = run.trainer.fit()
    said = lines(tmp_path / "out")
    assert said[-1]["loss"] < said[1]["loss"] - 1
    assert [line["step"] for line in said if "held_out" in line] == [0, 4, 8, 12]
    assert said[-1]["held_out"] < said[4]["held_out"] < said[0]["held_out"]
    assert set(said[-1]["held_out_tasks"]) <= {"colour", "repeat"}
    assert (progress.step, progress.seen, progress.skipped) == (12, 48, 0)
    assert run.trained.keys() == {"connector", "text", "rows"}


def test_bf16_small_groups_and_checkpointing_train_alike(tiny_folder: Path, tmp_path: Path) -> None:
    plain = tiny_run(tiny_folder, tmp_path / "a" / "out").trainer
    plain.fit()
    for name, changes in {
        "groups": {"micro_tokens": 150},
        "padded": {"layout": "left"},
        "checkpointing": {"checkpointing": True},
    }.items():
        tiny_run(tiny_folder, tmp_path / name / "out", replace(STAGE, **changes)).trainer.fit()
        for (_, seen), (_, wanted) in zip(
            losses(tmp_path / name / "out"), losses(tmp_path / "a" / "out"), strict=True
        ):
            assert seen == pytest.approx(wanted, abs=2e-3), name
    tiny_run(tiny_folder, tmp_path / "bf16" / "out", replace(STAGE, precision="bf16")).trainer.fit()
    assert losses(tmp_path / "bf16" / "out")[-1][1] == pytest.approx(
        losses(tmp_path / "a" / "out")[-1][1], rel=0.05
    )


def test_a_run_in_the_way_is_not_written_over(tiny_folder: Path, tmp_path: Path) -> None:
    tiny_run(tiny_folder, tmp_path / "out").trainer.fit()
    with pytest.raises(InputError, match=r"stands at step 6; go on with it \(--resume\)"):
        tiny_run(tiny_folder, tmp_path / "out").trainer.fit()
    other = replace(STAGE, batch=8, schedule=replace(STAGE.schedule, steps=9))
    with pytest.raises(InputError) as refused:
        tiny_run(tiny_folder, tmp_path / "out", other, resume=True).trainer.fit()
    assert "batch: 4 then, 8 now; schedule.steps: 6 then, 9 now" in str(refused.value)


def test_a_time_budget_ends_the_run_and_counts_over_resumes(
    tiny_folder: Path, tmp_path: Path
) -> None:
    stage = replace(STAGE, schedule=Schedule("cosine", time_budget=0.5, warm_up_share=0.1))
    first = tiny_run(tiny_folder, tmp_path / "out", stage).trainer.fit()
    assert first.step >= 1 and first.elapsed >= 0.5
    again = tiny_run(tiny_folder, tmp_path / "out", stage, resume=True).trainer.fit()
    assert again.step == first.step  # the time was over already
    said = lines(tmp_path / "out")
    assert "held_out" in said[-1] and said[-1]["step"] == first.step


def test_a_loss_that_is_not_a_number_stops_with_names_and_a_good_checkpoint(
    tiny_folder: Path, tmp_path: Path
) -> None:
    run = tiny_run(tiny_folder, tmp_path / "out")
    model = run.trainer.model

    def spoil(_: object) -> None:
        if run.trainer.progress.step == 2:
            model.text_model.norm.weight.data[0] = float("nan")

    with pytest.raises(SmolVLMError, match=r"step 3 gave .* samples (colour|repeat):\d+"):
        run.trainer.fit(spoil)
    kept = newest_state(tmp_path / "out" / "state")
    assert kept is not None and kept.step == 2
    assert all(bool(t.isfinite().all()) for t in kept.tensors.values())


def broken_every(count: int, folder: Path) -> Callable[[int], Sample]:
    """Colours, but each `count`-th picture is no picture."""
    (folder / "broken.png").write_bytes(b"nothing")

    def generate(seed: int) -> Sample:
        if seed % count:
            return colour_sample(seed)
        user = Message("user", (ImagePart(folder / "broken.png"), TextPart("?")))
        return Sample((user, Message("assistant", (TextPart("!"),))), "colour", f"broken:{seed}")

    return generate


def test_a_broken_picture_is_left_out_counted_and_listed(tiny_folder: Path, tmp_path: Path) -> None:
    run = tiny_run(tiny_folder, tmp_path / "out", generate=broken_every(15, tmp_path))
    progress = run.trainer.fit()
    assert (progress.seen, progress.skipped) == (24, 2)
    listed = (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in listed] == ["broken:0", "broken:15"]
    assert "broken.png" in listed[0]
    assert lines(tmp_path / "out")[-1]["skipped"] == 2


def test_more_than_one_in_a_hundred_broken_ends_the_run(tiny_folder: Path, tmp_path: Path) -> None:
    run = tiny_run(tiny_folder, tmp_path / "out", generate=broken_every(4, tmp_path))
    with pytest.raises(InputError, match=r"3 of 12 samples .* more than 1%; .*skipped.jsonl"):
        run.trainer.fit()
    kept = newest_state(tmp_path / "out" / "state")
    assert kept is not None and kept.step == 2


def test_pictures_without_words_to_learn_change_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    """A step whose every sample is left out is a step without gradients, not a crash."""

    def generate(seed: int) -> Sample:
        if seed < 4:
            picture = Image.new("RGB", (4, 4))
            user = Message("user", (ImagePart(picture), TextPart("long " * 600)))
            return Sample((user, Message("assistant", (TextPart("!"),))), "colour", f"long:{seed}")
        return colour_sample(seed)

    stage = replace(STAGE, schedule=Schedule("constant", steps=1), validation=0)
    run = tiny_run(tiny_folder, tmp_path / "out", stage, generate)
    with pytest.raises(InputError, match="4 of 4 samples could not be used"):
        run.trainer.fit()
