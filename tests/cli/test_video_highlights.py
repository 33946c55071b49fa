"""`smolvlm highlights`: what is printed, what is written, and what is refused before a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smolvlm import api
from smolvlm.processing.processor import Processor
from tests.cli.fake_video import Command
from tests.video.stand_in import BLUE, RED, StandIn, make_clip, names_in


@pytest.fixture(scope="module")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


@pytest.fixture
def command(processor: Processor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    made = Command("highlights", StandIn(processor))
    monkeypatch.setattr(api, "load", made.load)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    colours = [BLUE, RED, RED, BLUE, BLUE, RED]
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", colours, each=2)


def test_cuts_are_printed_and_files_written(command: Command, film: Path, tmp_path: Path) -> None:
    result = command.run(film, "--about", "red", "--every", "2s", "--threshold", "0.7")
    assert result.exit_code == 0, result.output
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
        "0:02–0:06",
        "0:10–0:12",
    ]
    folder = tmp_path / "film-highlights"
    assert names_in(folder) == ["cuts.json", "highlights.html", "highlights.mp4"]
    assert result.stderr.startswith("written: film-highlights/cuts.json, ")
    told = json.loads((folder / "cuts.json").read_text("utf-8"))
    assert told["settings"]["engine"] == "stand-in f32" and told["settings"]["threshold"] == 0.7
    assert [c["start"] for c in told["cuts"]] == [2.0, 10.0]


def test_every_option_arrives(command: Command, film: Path, tmp_path: Path) -> None:
    result = command.run(
        *(film, "--about", "red", "--out", tmp_path / "here", "--keep", "2s", "--every", "2s"),
        *("--threshold", "0.6", "--seed", "5", "--start", "2", "--end", "10", "--fps", "2"),
        *(
            "--frames",
            "3",
            "--sampling",
            "fps",
            "-m",
            "256m",
            "--engine",
            "torch",
            "--threads",
            "2",
        ),
        *("--precision", "f32", "--offline", "--revision", "main"),
    )
    assert result.exit_code == 0, result.output
    assert command.loads == [
        {
            "model": "256m", "engine": "torch", "precision": "f32", "threads": 2, "offline": True,
            "revision": "main",
        }
    ]  # fmt: skip
    told = json.loads((tmp_path / "here" / "cuts.json").read_text("utf-8"))
    wanted = {"keep": 2.0, "every": 2.0, "threshold": 0.6, "seed": 5, "fps": 2.0, "max_frames": 3}
    assert wanted.items() <= told["settings"].items()
    assert [s["start"] for s in told["segments"]] == [2.0, 4.0, 6.0, 8.0]
    assert len(told["cuts"]) == 1
    assert command.assistant.asked[0].settings["seed"] == 5


def test_nothing_found_is_said_and_no_error(command: Command, tmp_path: Path) -> None:
    film = make_clip(tmp_path / "blue.mp4", [BLUE, BLUE])
    result = command.run(film, "--about", "red", "--every", "2s", "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, "")
    warning, written = result.stderr.splitlines()
    assert warning.startswith("warning: no segment reached 0.5; the best was 0.")
    assert "Lower --threshold" in warning and "highlights.mp4" not in written
    assert names_in(tmp_path / "out") == ["cuts.json", "highlights.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.mp4", "--about", "x"], "missing.mp4 does not exist"),
        (["https://host.invalid/a.mp4", "--about", "x"], "--allow-url"),
        (["{film}", "--about", " "], "the wish is empty"),
        (["{film}", "--about", "x"], None),  # 12 s are more than a segment
        (["{film}", "--about", "x", "--every", "1m"], "longer than the 12.00 s"),
        (["{film}", "--about", "x", "--keep", "5s"], "less than a segment of 10 s"),
        (["{film}", "--about", "x", "--keep", "long"], "'long' is no time"),
        (["{film}", "--about", "x", "--keep", "0"], "--keep is 0"),
        (["{film}", "--about", "x", "--threshold", "2"], "the threshold is 2"),
        (["{film}", "--about", "x", "--start", "20"], "start is 20 s"),
        (["{film}", "--about", "x", "--out", "{film}"], "cannot be written"),
        (["{film}", "--about", "x", "--engine", "tensorrt"], "there are native, openvino, torch"),
    ],
)
def test_bad_input_is_one_line_before_any_model_is_loaded(
    command: Command, film: Path, arguments: list[str], said: str | None
) -> None:
    result = command.run(*(argument.format(film=film) for argument in arguments))
    if said is None:
        assert result.exit_code == 0
        return
    assert (result.exit_code, result.stdout, command.loads) == (2, "", [])
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ") and said in line


def test_the_clip_itself_is_never_written_over(command: Command, tmp_path: Path) -> None:
    film = make_clip(tmp_path / "highlights.mp4", [BLUE, RED])
    result = command.run(film, "--about", "red", "--every", "2s", "--out", tmp_path)
    assert result.exit_code == 2 and "is the clip itself" in result.stderr
