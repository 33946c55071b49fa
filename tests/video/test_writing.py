"""Files that stand whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from smolvlm.errors import InputError, MediaError
from smolvlm.video.writing import check_place, replacing, write_text
from tests.video.stand_in import names_in


def test_a_file_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ü" / "a.srt"
    write_text(path, "one\n")
    write_text(path, "two é\r\n")
    assert path.read_bytes() == "two é\r\n".encode()
    assert names_in(path.parent) == ["a.srt"]


@pytest.mark.parametrize("error", [MediaError("broken"), ZeroDivisionError(), KeyboardInterrupt()])
def test_after_an_error_what_was_there_stays(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.srt"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as part:
        part.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.srt"]


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str, **_: Any) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.srt"
    path.write_text("old")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match=r"a\.srt cannot be written \(No space left on device\)"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.srt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    with pytest.raises(InputError, match="No space left"), replacing(path):
        Path("/dev/full").write_text("x")
    assert names_in(tmp_path) == []


def test_a_place_is_tried_without_touching_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.srt"
    check_place(path)
    assert names_in(path.parent) == []
    path.write_text("old")
    check_place(path)
    assert (path.read_text(), names_in(path.parent)) == ("old", ["a.srt"])


def test_places_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a folder"):
        check_place(tmp_path)
    long = "x" * 300
    for path in (tmp_path / "file" / "a.srt", tmp_path / long / "a.srt", tmp_path / f"{long}.srt"):
        with pytest.raises(InputError, match="cannot be written"):
            check_place(path)
