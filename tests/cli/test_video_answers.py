"""`smolvlm video`: what is printed where, what is written, and what is refused before a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
import webvtt
from PIL import Image

from smolvlm import api
from smolvlm.cli.arguments import QUESTION_FOR_CLIP
from smolvlm.cli.video_answers import rests_on
from smolvlm.errors import EngineError
from smolvlm.processing.processor import Processor
from tests.cli.fake_video import Command
from tests.media.test_cutting import tone
from tests.video.stand_in import BLUE, RED, StandIn, make_clip, names_in


@pytest.fixture(scope="module")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


@pytest.fixture
def command(
    processor: Processor, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Command:
    made = Command("video", StandIn(processor))
    monkeypatch.setattr(api, "load", made.load)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))  # for names without a folder
    return made


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", [BLUE, RED, BLUE], each=2)


def test_the_answer_goes_to_stdout_and_its_times_to_stderr(command: Command, film: Path) -> None:
    result = command.run(film, "What?")
    assert (result.exit_code, result.stdout) == (0, "6 frames\n")
    assert result.stderr == "seen: 6 frames, at 0:00, 0:01, 0:02.2, 0:03.4, 0:04.6, 0:05.8\n"
    assert command.assistant.asked[0].question == "What?"


def test_without_a_question_the_clip_is_described(command: Command, film: Path) -> None:
    for question in ([], [" "]):
        assert command.run(film, *question).exit_code == 0
        assert command.assistant.asked[-1].question == QUESTION_FOR_CLIP


def test_every_option_arrives(command: Command, film: Path) -> None:
    result = command.run(
        *(film, "What?", "-m", "256m", "--engine", "torch", "--precision", "bf16", "--offline"),
        *("--threads", "3", "--revision", "main", "--allow-url", "--max-new-tokens", "9"),
        *(
            "--temperature",
            "0.5",
            "--top-k",
            "4",
            "--top-p",
            "0.9",
            "--min-p",
            "0.1",
            "--seed",
            "0",
        ),
        *("--repetition-penalty", "1.1", "--stop", "a", "--start", "1s", "--end", "0:05"),
        *("--sampling", "fps", "--fps", "2", "--frames", "4", "--average", "2"),
    )
    assert result.exit_code == 0, result.output
    assert command.loads == [
        {
            "model": "256m", "engine": "torch", "precision": "bf16", "threads": 3,
            "offline": True, "revision": "main", "allow_urls": True,
        }
    ]  # fmt: skip
    [asked] = command.assistant.asked
    assert asked.settings == {
        "max_new_tokens": 9, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "min_p": 0.1,
        "seed": 0, "repetition_penalty": 1.1, "stop": ["a"],
    }  # fmt: skip
    assert len(asked.times) == 4 and all(1 <= time < 5 for time in asked.times)


def test_json(command: Command, film: Path) -> None:
    [line] = command.run(film, "What?", "--json").stdout.splitlines()
    told = json.loads(line)
    assert (told["answer"], told["finish_reason"], told["windows"]) == ("6 frames", "stop", [])
    assert told["times"] == [0.0, 1.0, 2.2, 3.4, 4.6, 5.8]


def test_windows_are_told_and_answered_from(command: Command, film: Path) -> None:
    result = command.run(film, "What?", "--window", "3")
    assert result.stdout == "no frames\n"  # the last prompt is words alone
    assert result.stderr.splitlines()[:2] == ["0:00–0:03  3 frames", "0:03–0:06  3 frames"]
    told = json.loads(command.run(film, "What?", "--window", "3", "--json").stdout)
    assert [(w["start"], w["end"], w["note"]) for w in told["windows"]] == [
        (0.0, 3.0, "3 frames"), (3.0, 6.0, "3 frames"),
    ]  # fmt: skip
    assert told["times"] == [time for w in told["windows"] for time in w["times"]]


def test_an_answer_for_every_stretch(command: Command, film: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"a.{suffix}" for suffix in ("srt", "vtt", "jsonl")]
    out = [word for file in files for word in ("--out", str(file))]
    result = command.run(film, "What?", "--every", "2s", *out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "0:00–0:02  2 frames", "0:02–0:04  2 frames", "0:04–0:06  2 frames",
    ]  # fmt: skip
    assert result.stderr == f"written: {', '.join(map(str, files))}\n"
    assert len(webvtt.from_srt(files[0])) == len(webvtt.read(files[1])) == 3
    lines = [json.loads(line) for line in files[2].read_text("utf-8").splitlines()]
    assert [line["start"] for line in lines] == [0.0, 2.0, 4.0]


def test_answers_as_json_lines(command: Command, film: Path) -> None:
    lines = command.run(film, "What?", "--every", "2s", "--json").stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["2 frames"] * 3


def test_what_was_answered_before_an_error_is_kept(
    command: Command, film: Path, tmp_path: Path
) -> None:
    def tire(*_: Any) -> str:
        if len(command.assistant.asked) == 3:
            raise EngineError("the engine broke")
        return "fine"

    command.assistant.reply = tire
    result = command.run(film, "?", "--every", "2s", "--out", tmp_path / "a.srt")
    assert (result.exit_code, result.stderr) == (2, "error: the engine broke\n")
    assert len(webvtt.from_srt(tmp_path / "a.srt")) == 2
    assert names_in(tmp_path) == ["a.srt"]


def test_a_folder_of_pictures_has_the_rate_it_is_given(command: Command, tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (8, 8), RED).save(tmp_path / f"{number}.png")
    assert command.run(tmp_path, "?", "--rate", "0.5").exit_code == 0
    assert command.assistant.asked[0].times == (0.0, 2.0, 4.0, 6.0)


def places(folder: Path, film: Path) -> dict[str, str]:
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("words")
    (folder / "nothing").mkdir()
    (folder / "file").touch()
    return {"film": str(film), "folder": str(folder)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.mp4"], "missing.mp4 does not exist"),
        (["{folder}/empty.mp4"], "is empty"),
        (["{folder}/text.mp4"], "wanted mp4, webm"),
        (["{folder}/nothing"], "has no pictures"),
        (["https://host.invalid/a.mp4"], "--allow-url"),
        (["{film}", "--start", "3", "--end", "2"], "start (3 s) is not before end (2 s)"),
        (["{film}", "--start", "1m"], "start is 60 s"),
        (["{film}", "--start", "soon"], "'soon' is no time"),
        (["{film}", "--sampling", "some"], "no sampling rule 'some'"),
        (["{film}", "--sampling", "uniform", "--fps", "2"], "has no fps"),
        (["{film}", "--frames", "0"], "max_frames is 0"),
        (["{film}", "--fps", "-1"], "fps is -1.0"),
        (["{film}", "--every", "1h"], "longer than the 6.00 s"),
        (["{film}", "--every", "10ms"], "has no frame of its own"),
        (["{film}", "--every", "0"], "--every is 0"),
        (["{film}", "--every", "2s", "--start", "7"], "start is 7 s"),
        (["{film}", "--every", "2s", "--window", "3"], "give one of them"),
        (["{film}", "--window", "0"], "--window is 0"),
        (["{film}", "--out", "a.srt"], "--every"),
        (["{film}", "--every", "2s", "--out", "a.txt"], "a.txt ends in .txt"),
        (["{film}", "--every", "2s", "--out", "{folder}/file/a.srt"], "cannot be written"),
        (["{film}", "--max-new-tokens", "0"], "max_new_tokens is 0"),
        (["{film}", "--engine", "tensorrt"], "there are native, openvino, torch"),
    ],
)
def test_bad_input_is_one_line_before_any_model_is_loaded(
    command: Command, film: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    where = places(tmp_path, film)
    result = command.run(*(argument.format(**where) for argument in arguments))
    assert (result.exit_code, result.stdout, command.loads) == (2, "", [])
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ") and said in line


def test_a_clip_without_pictures_is_refused(command: Command, tmp_path: Path) -> None:
    with av.open(tmp_path / "song.mp4", "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(20):
            container.mux(stream.encode(tone(number)))
        container.mux(stream.encode(None))
    result = command.run(tmp_path / "song.mp4")
    assert result.exit_code == 2 and "has no video stream" in result.stderr


def test_times_are_named_while_they_are_few() -> None:
    assert rests_on([2.0]) == "seen: 1 frame, at 0:02"
    assert rests_on([float(n) for n in range(64)]) == "seen: 64 frames, from 0:00 to 1:03"
