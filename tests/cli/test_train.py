"""`smolvlm train`: options to a finished run, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from smolvlm.cli.main import app
from smolvlm.cli.train import Lines, Training, clock, held_out, run, seconds, summary
from smolvlm.errors import InputError
from smolvlm.training.log import Report
from smolvlm.training.named import NAMED
from tests.checkpoints import make_tiny

ROW = {"texts": [{"user": "Say it.", "assistant": "red green blue"}]}
MIXTURE = "sources: [{name: words, rows: words.jsonl, share: 1, modality: text, licence: green}]"


def smolvlm(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    return make_tiny("SmolVLM2-256M-Video-Instruct", folder, tokenizer=True)


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    (tmp_path / "words.jsonl").write_text("\n".join([json.dumps(ROW)] * 8))
    (tmp_path / "mix.yaml").write_text(MIXTURE)
    return tmp_path / "mix.yaml"


def test_a_model_is_trained_from_rows_of_a_file(model: Path, mixture: Path, tmp_path: Path) -> None:
    settings = ("batch=2", "schedule.steps=3", "schedule.warm_up=1", "validation=2", "length=99")
    assignments = [word for setting in settings for word in ("--set", setting)]
    done = smolvlm(
        "--stage", "lora", "--model", model, "--mixture", mixture, "--out", tmp_path / "out",
        "--device", "cpu", "--threads", 1, "--max-file-mb", 2, *assignments,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "out" / "model")
    assert (tmp_path / "out" / "model" / "config.json").exists()
    assert "stage lora: trains text" in done.stderr and "samples/s" in done.stderr
    assert "step 3/3" in done.stderr and "held-out loss" in done.stderr
    pieces = (tmp_path / "out" / "state" / "step-00000003").glob("state-*.bin")
    assert all(piece.stat().st_size <= 2_000_000 for piece in pieces)
    again = smolvlm("--stage", "lora", "--model", model, "--mixture", mixture, "--device", "cpu",
                    "--out", tmp_path / "out", *assignments)  # fmt: skip
    assert again.exit_code == 2
    assert "stands at step 3; go on with it (--resume)" in again.stderr


def test_a_dry_run_prints_every_number_with_its_source() -> None:
    done = smolvlm("--stage", "image-1", "--dry-run", "--set", "batch=7", "--time-budget", "2h")
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert lines.keys() == {key for key, _, _ in NAMED["image-1"].lines()}
    assert lines["batch"].split()[1:] == ["7", "command", "line"]
    assert lines["schedule.time_budget"].split()[1] == "7200"
    assert lines["text.adapter.rank"].endswith("64" + lines["text.adapter.rank"].split("64")[1])
    assert lines["text.adapter.rank"].rstrip().endswith("tr_341 config")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stage", "imag-1"], "no stage named 'imag-1'; known: embedded"),
        (["--stage", "lora", "--set", "txt.rate=1"], "'txt.rate'; did you mean 'text.rate'"),
        (["--stage", "lora", "--set", "batch"], "write it as key=value"),
        (["--stage", "lora", "--time-budget", "soon"], "'soon' is no time"),
        (["--stage", "lora"], "--out FOLDER"),
        (["--stage", "lora", "--out", "x", "--model", "/no/where"], "no mixture|/no/where"),
        (["--stage", "none.yaml"], "none.yaml does not exist"),
    ],
)
def test_what_cannot_be_trained_is_one_line(arguments: list[str], words: str) -> None:
    import re

    done = smolvlm(*arguments)
    assert done.exit_code == 2
    assert re.search(words, done.stderr) and done.stderr.count("\n") == 1


def test_stages_in_the_help_are_those_there_are() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["train", "--help"]).output.split())
    for name in NAMED:
        assert name in help_text.replace("- ", "-")


def test_times() -> None:
    assert [seconds(t) for t in ("90", "30s", "20m", "1.5h", "2d")] == [90, 30, 1200, 5400, 172800]
    for text in ("", "m", "0", "-5", "1w"):
        with pytest.raises(InputError, match="is no time"):
            seconds(text)
    assert clock(3725.4) == "1:02:05"


def report(step: int, looked: float | None = None) -> Report:
    return Report(
        step=step, steps=9, loss=1.25, tasks={"a": 1.0}, norm=0.5, rates={}, samples=4, tokens=400,
        seconds=0.5, elapsed=2.0, eta=65.0, tflops=0.5, skipped=1, held_out=looked,
        held_out_tasks={"a": 2.0} if looked else {},
    )  # fmt: skip


def test_lines_say_how_it_goes_without_flooding() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for step in range(1, 6):
        lines(report(step, looked=2.0 if step == 4 else None))
    assert len(said) == 2
    assert said[0] == (
        "step 1/9: loss 1.250 (a 1.00), 8.0 samples/s, 800 tokens/s, 0.50 TFLOP/s,"
        " 0:01:05 to go, 1 left out"
    )
    assert said[1] == f"{summary(report(4))}; {held_out(report(4, 2.0))}"


def test_a_recipe_may_bring_generators(model: Path, tmp_path: Path) -> None:
    from tests.training.train_tiny import MIXTURE as LITTLE
    from tests.training.train_tiny import little

    (tmp_path / "mix.yaml").write_text(LITTLE)
    told = Training(
        stage="embedded", model=str(model), mixture=str(tmp_path / "mix.yaml"), device="cpu",
        out=str(tmp_path / "out"), output="adapter", threads=1,
        assignments=("schedule.steps=1", "batch=2", "validation=0", "max_tiles=1"),
    )  # fmt: skip
    run(told, {"little": little})
    assert (tmp_path / "out" / "adapter" / "trained.safetensors").exists()
