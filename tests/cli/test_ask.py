"""`smolvlm ask`: what reaches the API, what is printed where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from smolvlm.api import DEFAULT_QUESTION
from tests.cli.conftest import ROOT, Cli, Program, command, environment


def test_the_answer_alone_goes_to_stdout(cli: Cli, picture: Path) -> None:
    result = cli.run("ask", picture, "What is this?", replies=("a red box",))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a red box\n", "")
    assert cli.calls == [
        {"load": "embedded"},
        {"question": "What is this?", "pictures": [(40, 30)]},
    ]


def test_several_pictures_and_no_question(cli: Cli, picture: Path) -> None:
    assert cli.run("ask", picture, replies=("x",)).exit_code == 0
    assert cli.calls[1]["question"] == DEFAULT_QUESTION
    assert cli.run("ask", picture, picture, replies=("x",)).exit_code == 0
    assert cli.calls[1]["pictures"] == [(40, 30), (40, 30)]


def test_picture_from_standard_input(cli: Cli) -> None:
    stream = io.BytesIO()
    Image.new("L", (7, 5)).save(stream, "PNG")
    result = cli.run("ask", "-", "What?", replies=("grey",), stdin=stream.getvalue())
    assert (result.exit_code, result.stdout) == (0, "grey\n")
    assert cli.calls[1]["pictures"] == [(7, 5)]


def test_every_option_reaches_the_api(cli: Cli, picture: Path) -> None:
    result = cli.run(
        *("ask", picture, "What?", "-m", "256m", "--engine", "torch", "--precision", "bf16"),
        *("--threads", "3", "--max-tiles", "5", "--max-visual-tokens", "640", "--offline"),
        *("--policy", "budget", "--revision", "main", "--allow-url", "--max-new-tokens", "9"),
        *("--temperature", "0.5", "--top-k", "4", "--top-p", "0.9", "--min-p", "0.1"),
        *("--repetition-penalty", "1.1", "--seed", "0", "--stop", "a", "--stop", "b"),
        replies=("x",),
    )
    assert result.exit_code == 0, result.output
    load, stream = cli.calls
    assert load == {
        "load": "256m", "engine": "torch", "precision": "bf16", "threads": 3, "policy": "budget",
        "max_tiles": 5, "max_visual_tokens": 640, "offline": True, "revision": "main",
        "allow_urls": True,
    }  # fmt: skip
    assert stream == {
        "question": "What?", "pictures": [(40, 30)], "max_new_tokens": 9, "temperature": 0.5,
        "top_k": 4, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "seed": 0,
        "stop": ["a", "b"],
    }  # fmt: skip


def test_json(cli: Cli, picture: Path) -> None:
    result = cli.run("ask", picture, "What?", "--json", replies=("a bœuf",))
    [line] = result.stdout.splitlines()
    told = json.loads(line)
    assert sorted(told) == ["answer", "finish_reason", "plan", "timings", "tokens"]
    assert (told["answer"], told["tokens"], told["finish_reason"]) == (
        "a bœuf",
        [11, 12, 2],
        "stop",
    )
    assert told["timings"]["tpot_ms"] == 20.0
    assert told["timings"]["preprocess_ms"] > 1.0  # opening the pictures is added to it
    assert told["plan"]["pictures"][0] == {
        "height": 30, "width": 40, "rows": 0, "cols": 0, "tiles": 1,
        "visual_tokens": 64, "prompt_tokens": 67,
    }  # fmt: skip


def test_stats_go_to_stderr(cli: Cli, picture: Path) -> None:
    result = cli.run("ask", picture, "What?", "--stats", replies=("a box",))
    assert result.stdout == "a box\n"
    told = dict(line.split("  ", 1) for line in result.stderr.splitlines())
    assert told["engine"].strip() == "fake f32 on CPU"
    assert told["per token (TPOT)"].strip() == "20.0 ms"
    assert told["tokens/s"].strip() == "50.0"
    assert told["tiles"].strip() == "1"
    assert "iB" in told["peak memory"]


def test_explain_loads_nothing(cli: Cli, picture: Path) -> None:
    result = cli.run("ask", picture, "--explain", "--max-tiles", "1")
    assert cli.calls == [{"explain": "embedded", "question": DEFAULT_QUESTION, "max_tiles": 1}]
    header, row, words, total = result.stdout.splitlines()
    assert (
        " ".join(header.split()) == "picture width x height grid tiles visual tokens prompt tokens"
    )
    assert row.split("  ")[0] == str(picture)
    assert "40 x 30" in row and row.split()[-3:] == ["1", "64", "67"]
    assert words.split() == ["words", "13"]
    assert total.split()[-3:] == ["1", "64", "80"]


def test_explain_as_json(cli: Cli, picture: Path) -> None:
    told = json.loads(cli.run("ask", picture, "--explain", "--json").stdout)
    assert (told["tiles"], told["prompt_tokens"], told["context"]) == (1, 80, 8192)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.png", "What?"], "missing.png does not exist"),
        (["What is this?"], "wanted the picture first"),
        (["{folder}", "What?"], "is a directory"),
        (["{empty}", "What?"], "is empty"),
        (["https://host.invalid/a.png"], "--allow-url"),
        (["{picture}", "What?", "--max-new-tokens", "0"], "max_new_tokens is 0"),
        (["{picture}", "What?", "--temperature", "-1"], "temperature is -1.0"),
        (["{picture}", "What?", "--stop", ""], "stop is"),
        (["{picture}", "What?", "--engine", "tensorrt"], "there are native, openvino, torch"),
        (["{picture}", "What?", "--precision", "int3"], "there are bf16, int8, f32"),
    ],
)
def test_bad_input_is_one_line_before_any_model_is_loaded(
    cli: Cli, picture: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    places = {"folder": tmp_path, "empty": empty, "picture": picture}
    result = cli.run("ask", *(a.format(**places) for a in arguments), replies=("x",))
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ") and said in line
    assert cli.calls == []


def test_an_error_midway_ends_the_line_first(cli: Cli, picture: Path) -> None:
    result = cli.run("ask", picture, "What?", replies=("a error",))
    assert (result.exit_code, result.stdout) == (2, "a\n")
    assert result.stderr == "error: the engine broke\n"


def test_wrong_usage_exits_with_2(cli: Cli, picture: Path) -> None:
    assert cli.run("ask").exit_code == 2
    assert cli.run("ask", picture, "--tiles", "3").exit_code == 2
    assert cli.run("ask", picture, "--max-tiles", "many").exit_code == 2


def test_a_bug_keeps_its_traceback(program: Program, picture: Path) -> None:
    done = program("ask", picture, "What?", replies=("a crash",))
    assert done.returncode == 1
    assert b"Traceback" in done.stderr and b"ZeroDivisionError: a bug" in done.stderr


def interrupt(process: subprocess.Popen[bytes], awaited: bytes) -> tuple[bytes, bytes]:
    """Wait for a word of output, then press Ctrl-C."""
    assert process.stdout is not None
    seen = b""
    while awaited not in seen:
        piece = os.read(process.stdout.fileno(), 100)
        assert piece, (process.wait(), process.stderr)
        seen += piece
    time.sleep(0.2)  # let it go on to the next piece
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate()
    return seen + rest, said


def test_ctrl_c_ends_the_line_and_exits_with_130(picture: Path) -> None:
    process = subprocess.Popen(
        command("ask", picture, "What?"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=ROOT, env=environment(("a wait",)),
    )  # fmt: skip
    assert interrupt(process, b"a") == (b"a\n", b"")
    assert process.returncode == 130


def test_a_closed_pipe_is_quiet(picture: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("ask", picture, "What?"), stdout=writer, stderr=subprocess.PIPE,
        cwd=ROOT, env=environment(("a red box",)),
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_escape_codes_where_there_is_no_terminal(program: Program, picture: Path) -> None:
    done = program("ask", picture, "What?", "--stats", replies=("a box",))
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout + done.stderr


def test_an_odd_terminal_encoding_is_no_crash(picture: Path) -> None:
    variables = environment(("bœuf 🐂",)) | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command("ask", picture, "What?"), capture_output=True, cwd=ROOT, env=variables
    )
    assert (done.returncode, done.stdout) == (0, b"b?uf ?\n")
