"""`smolvlm chat`: what is remembered, what is forgotten, and how it ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Cli, Program, command, environment


def test_turns_are_remembered(cli: Cli, picture: Path) -> None:
    result = cli.run(
        *("chat", picture, "--seed", "7"), replies=("a box", "red"), stdin="What?\n\nColour?\n"
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "a box\nred\n", "")
    load, one, two = cli.calls
    assert load == {"load": "embedded"}
    assert one == {"messages": [["user", (40, 30), "What?"]], "seed": 7}
    assert two["messages"] == [
        ["user", (40, 30), "What?"],
        ["assistant", "a box"],
        ["user", "Colour?"],
    ]


def test_commands(cli: Cli, picture: Path) -> None:
    script = f"Hello?\n/image {picture}\n/help\nWhat?\n/clear\nAnew?\n/quit\nnever\n"
    result = cli.run("chat", replies=("hi", "box", "yes"), stdin=script)
    assert (result.exit_code, result.stdout) == (0, "hi\nbox\nyes\n")
    assert "/image PATH" in result.stderr
    _, _, what, anew = cli.calls
    assert what["messages"][-1] == ["user", (40, 30), "What?"]
    assert anew["messages"] == [["user", "Anew?"]]


def test_a_picture_path_may_hold_blanks(cli: Cli, picture: Path) -> None:
    spaced = picture.rename(picture.with_name("my red box.png"))
    result = cli.run("chat", replies=("x",), stdin=f"/image {spaced}\nWhat?\n")
    assert result.exit_code == 0
    assert cli.calls[1]["messages"] == [["user", (40, 30), "What?"]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/image", "/image needs the path"),
        ("/image missing.png", "missing.png does not exist"),
        ("/picture x", "no command /picture"),
        ("fail", "the engine broke"),
    ],
)
def test_piped_input_stops_at_the_first_error(cli: Cli, line: str, said: str) -> None:
    result = cli.run("chat", replies=("error", "never"), stdin=f"{line}\nnext\n")
    assert result.exit_code == 2
    [told] = result.stderr.splitlines()
    assert told.startswith("error: ") and said in told
    assert "never" not in result.stdout


def test_bad_input_is_found_before_any_model_is_loaded(cli: Cli) -> None:
    for arguments in (["-"], ["missing.png"], ["--top-p", "2"]):
        result = cli.run("chat", *arguments, stdin="x\n")
        assert (result.exit_code, result.stdout, cli.calls) == (2, "", [])


def test_the_end_of_the_input_ends_it(program: Program) -> None:
    done = program("chat", replies=("hi",), input=b"Hello?")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n", b"")


class Terminal:
    """A chat at a real (pseudo) terminal."""

    def __init__(self, *replies: str) -> None:
        self._mine, theirs = pty.openpty()
        variables = environment(replies) | {"TERM": "dumb"}
        self.process = subprocess.Popen(
            command("chat"), stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=variables
        )
        os.close(theirs)
        self.seen = ""

    def until(self, awaited: str) -> str:
        """What is printed up to and with these words."""
        while awaited not in self.seen:
            self.seen += os.read(self._mine, 1000).decode()
        told, _, self.seen = self.seen.partition(awaited)
        return told.replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def interrupt_until_it_ends(self) -> int:
        """Ctrl-C at the prompt; readline misses one that comes before it has begun to read."""
        for _ in range(10):
            time.sleep(0.2)
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(5)
        raise AssertionError("still running")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    made = Terminal(*request.param)
    yield made
    made.close()


@pytest.mark.parametrize("terminal", [("one", "a error", "two")], indirect=True)
def test_at_a_terminal_an_error_ends_only_its_turn(terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("first\n")
    assert "one" in terminal.until("> ")
    terminal.type("second\n")
    assert "a\nerror: the engine broke" in terminal.until("> ")
    terminal.type("/nothing\n")
    assert "no command /nothing" in terminal.until("> ")
    terminal.type("third\n")
    assert "two" in terminal.until("> ")
    terminal.type("\x04")
    assert terminal.process.wait(30) == 0


@pytest.mark.parametrize("terminal", [("a wait", "two")], indirect=True)
def test_ctrl_c_stops_the_answer_then_the_chat(terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("first\n")
    terminal.until("a")
    time.sleep(0.2)  # let it go on to the next piece
    terminal.process.send_signal(signal.SIGINT)
    assert "this turn is forgotten" in terminal.until("> ")
    terminal.type("second\n")
    assert "two" in terminal.until("> ")
    assert terminal.interrupt_until_it_ends() == 130
