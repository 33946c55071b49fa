"""Which arguments are pictures and which is the question."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smolvlm.api import DEFAULT_QUESTION
from smolvlm.cli.arguments import (
    QUESTION_FOR_SEVERAL,
    names_picture,
    open_pictures,
    split_arguments,
)
from smolvlm.errors import InputError, MediaError


@pytest.mark.parametrize(
    ("arguments", "pictures", "question"),
    [
        (["a.png"], ["a.png"], DEFAULT_QUESTION),
        (["a.png", "b.JPG"], ["a.png", "b.JPG"], QUESTION_FOR_SEVERAL),
        (["a.png", "What is this?"], ["a.png"], "What is this?"),
        (["a.png", "b.webp", "Which one?"], ["a.png", "b.webp"], "Which one?"),
        (["-"], ["-"], DEFAULT_QUESTION),
        (["-", "What?"], ["-"], "What?"),
        (["a.png", "-"], ["a.png", "-"], QUESTION_FOR_SEVERAL),
        (["a.png", ""], ["a.png"], DEFAULT_QUESTION),
        (["a.png", "  "], ["a.png"], DEFAULT_QUESTION),
        (["https://host/cat", "What?"], ["https://host/cat"], "What?"),
        # In doubt it is a picture, so that a misspelt name is refused and not answered.
        (["a.png", "missing.jpg"], ["a.png", "missing.jpg"], QUESTION_FOR_SEVERAL),
        (["a.png", "What is in b.png"], ["a.png", "What is in b.png"], QUESTION_FOR_SEVERAL),
        (["a.png", "What is in b.png?"], ["a.png"], "What is in b.png?"),
        (["a.png", "png"], ["a.png"], "png"),
        (["a.png", "x" * 5000], ["a.png"], "x" * 5000),
        (["a.png", "nul\0"], ["a.png"], "nul\0"),
    ],
)
def test_rule(arguments: list[str], pictures: list[str], question: str) -> None:
    assert split_arguments(arguments) == (pictures, question)


@pytest.mark.parametrize("name", ["/x", "./x", "../x", "~/x", "data:image/png;base64,", "ftp://x"])
def test_what_looks_like_a_path_is_a_picture(name: str) -> None:
    assert names_picture(name)


def test_what_exists_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not names_picture("scan")
    Path("scan").touch()
    assert names_picture("scan")


def test_the_first_argument_must_be_a_picture() -> None:
    with pytest.raises(InputError, match="'What is this\\?' is no file"):
        split_arguments(["What is this?"])


class Stdin:
    """Standard input that holds bytes."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self.isatty = lambda: terminal


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def set_stdin(monkeypatch: pytest.MonkeyPatch, *arguments: Any, **options: Any) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(*arguments, **options))


def test_standard_input_is_a_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_stdin(monkeypatch, png(7, 5))
    (tmp_path / "b.png").write_bytes(png(3, 2))
    opened = open_pictures([str(tmp_path / "b.png"), "-"], allow_url=False)
    assert [picture.size for picture in opened] == [(3, 2), (7, 5)]


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_stdin(monkeypatch, png(7, 5))
    with pytest.raises(InputError, match="can be read once"):
        open_pictures(["-", "-"], allow_url=False)


def test_standard_input_must_be_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    set_stdin(monkeypatch, b"", terminal=True)
    with pytest.raises(InputError, match="pipe one in"):
        open_pictures(["-"], allow_url=False)


@pytest.mark.parametrize(("data", "said"), [(b"", "is empty"), (b"words", "is not a picture")])
def test_bad_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes, said: str) -> None:
    set_stdin(monkeypatch, data)
    with pytest.raises(MediaError, match=said):
        open_pictures(["-"], allow_url=False)


def test_urls_need_permission() -> None:
    with pytest.raises(MediaError, match="--allow-url"):
        open_pictures(["https://host.invalid/cat.png"], allow_url=False)
