"""Answers in files: every format, and every way in which a name can be wrong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import webvtt

from smolvlm.errors import InputError
from smolvlm.video.answer_files import AnswerFiles, json_line
from smolvlm.video.segments import SegmentAnswer
from tests.video.stand_in import names_in

ANSWERS = [
    SegmentAnswer(0.0, 10.0, "A cat.\n\nIt's <small> --> & grey.", (0.0, 5.0004), "stop"),
    SegmentAnswer(10.0, 20.0, "", problem="a hole"),
    SegmentAnswer(20.0, 24.5, "Ünïcode", (20.0,), "length"),
]


def write(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    files = AnswerFiles([str(path) for path in paths], folder / "clip.mp4")
    for answer in ANSWERS:
        files.add(answer)
    return paths


def test_all_formats_at_once(tmp_path: Path) -> None:
    lines, srt, vtt = write(tmp_path, "a.jsonl", "a.srt", "deep/A.VTT")
    told = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert told[0] == {
        "start": 0.0, "end": 10.0, "text": ANSWERS[0].text, "times": [0.0, 5.0],
        "finish_reason": "stop",
    }  # fmt: skip
    assert (told[1]["problem"], told[1]["text"]) == ("a hole", "")
    assert [c.start for c in webvtt.read(vtt)] == ["00:00:00.000", "00:00:20.000"]
    assert [c.text for c in webvtt.from_srt(srt)][1:] == ["Ünïcode"]


def test_every_file_is_whole_after_every_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    files = AnswerFiles([str(path)], "clip.mp4")
    assert not path.exists()
    for answer, cues in zip(ANSWERS, (1, 1, 2), strict=True):
        files.add(answer)
        assert len(webvtt.read(path)) == cues
    assert names_in(tmp_path) == ["a.vtt"]


def test_no_names_are_no_files() -> None:
    AnswerFiles([], "clip.mp4").add(ANSWERS[0])


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.txt"], r"a\.txt ends in \.txt; .* \.jsonl, \.srt, \.vtt"),
        (["srt"], "ends in nothing"),
        (["a.srt", "a.srt"], "given twice"),
        (["a.srt", "folder.srt/../a.srt"], "given twice"),
        (["clip.srt"], "is the clip itself"),
        (["folder.srt"], "is a folder"),
        (["file/a.srt"], "cannot be written"),
    ],
)
def test_names_that_cannot_be(names: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.srt").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "clip.srt").touch()
    with pytest.raises(InputError, match=said):
        AnswerFiles([str(tmp_path / name) for name in names], tmp_path / "clip.srt")


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.srt"
    files = AnswerFiles([str(path)], "clip.mp4")
    files.add(ANSWERS[0])
    before = path.read_bytes()

    def full(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left on device"):
        files.add(ANSWERS[2])
    assert (path.read_bytes(), names_in(tmp_path)) == (before, ["a.srt"])


def test_a_json_line_is_one_line() -> None:
    assert "\n" not in json_line(SegmentAnswer(0, 1, "a\nb\u2028c"))
