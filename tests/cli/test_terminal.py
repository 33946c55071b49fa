"""How commands end: codes, one line, quiet."""

from __future__ import annotations

import io
import sys
import warnings

import pytest
import typer

from smolvlm.cli.terminal import one_line, progress_bar, reported, waiting
from smolvlm.errors import MediaError


def code_of(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as caught, reported():
        raise error
    return caught.value.exit_code


def test_errors_of_the_user_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(MediaError("a\nb\x1b[31m.png does not exist")) == 2
    assert capsys.readouterr().err == "error: a b [31m.png does not exist\n"


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_at_a_terminal_ends_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert code_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\n"


def test_bugs_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


def test_text_of_any_language_is_kept() -> None:
    assert one_line("bœuf 牛\t🐂") == "bœuf 牛 🐂"


def test_waiting_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("opening"):
        pass
    assert capsys.readouterr() == ("", "")


def test_warnings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with reported():
        warnings.simplefilter("always")
        warnings.warn("the clip is\ntruncated", UserWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "warning: the clip is truncated\n")
    assert warnings.showwarning is before


def test_a_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as progress:
        progress("looking", 1, 3)
        print("answer")
    assert capsys.readouterr() == ("answer\n", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_at_a_terminal_leaves_stdout_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that go into a file must not end up on the screen above the bar."""
    screen, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar() as progress:
        progress("looking [at] 1", 1, 3)
        print("answer")
    assert file.getvalue() == "answer\n"
    assert "looking [at] 1" in screen.getvalue() and "answer" not in screen.getvalue()
