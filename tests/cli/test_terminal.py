"""How commands end: codes, one line, quiet."""

from __future__ import annotations

import sys

import pytest
import typer

from smolvlm.cli.terminal import one_line, reported, waiting
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
