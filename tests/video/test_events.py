"""Events as lines and frames as files: what they say, and that nothing is left half-written."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.video.events import Event, EventFile, FrameFolder, moment

DECISION = Event(75.25, "decision", "yes", "Is the door open?", 0.87654, "frames/1.jpg")
RECORD = {
    "time": 75.25, "at": "1:15.2", "kind": "decision", "question": "Is the door open?",
    "answer": "yes", "probability": 0.8765, "frame": "frames/1.jpg",
}  # fmt: skip
BLUE = Image.new("RGB", (40, 30), (0, 0, 250))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_record() -> None:
    assert DECISION.record(live=False) == RECORD
    lost = Event(1_700_000_000.5, "lost", "the cable").record(live=True)
    assert lost["at"] == "2023-11-14T22:13:20.500+00:00"
    assert lost.keys() == RECORD.keys()
    assert (lost["probability"], lost["frame"], lost["question"]) == (None, None, None)
    assert moment(3723.4, live=False) == "1:02:03.4"


def test_lines_are_added_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "événements.jsonl"
    with EventFile(str(path), live=False) as log:
        log.write(DECISION)
        assert lines(path) == [RECORD]
        log.write(Event(80.0, "description", "Ein Mann öffnet\ndie Tür."))
    with EventFile(str(path), live=False) as log:
        log.write(DECISION)
    assert [line["kind"] for line in lines(path)] == ["decision", "description", "decision"]
    assert lines(path)[1]["answer"] == "Ein Mann öffnet\ndie Tür."


def test_a_line_left_open_by_others_swallows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "dec')
    with EventFile(str(path), live=False) as log:
        log.write(DECISION)
    assert path.read_text().splitlines()[0] == '{"kind": "dec'
    assert json.loads(path.read_text().splitlines()[1]) == RECORD


def test_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with EventFile("-", live=False) as log:
        log.write(DECISION)
    assert json.loads(capsys.readouterr().out) == RECORD


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: a write stops there, as on a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_leaves_whole_lines(room: int, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventFile(str(path), live=False) as log:
        log.write(DECISION)
        before = path.read_bytes()
        with room_for(len(before) + room), pytest.raises(InputError) as caught:
            log.write(DECISION)
        assert "events.jsonl cannot be written (File too large); free some" in str(caught.value)
        assert path.read_bytes() == before
        log.write(DECISION)  # somebody has made room
    assert lines(path) == [RECORD, RECORD]


def test_a_really_full_device() -> None:
    with EventFile("/dev/full", live=False) as log, pytest.raises(InputError, match="No space"):
        log.write(DECISION)


@pytest.mark.parametrize("place", ["file/events.jsonl", "folder", "nul\0l"])
def test_places_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        EventFile(str(tmp_path / place), live=False)


def test_frames_are_named_after_their_time(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path / "a" / "frames", live=False)
    assert list((tmp_path / "a" / "frames").iterdir()) == []
    path = Path(folder.save(BLUE, 75.25))
    assert path.name == "00000075.250s.jpg"
    with Image.open(path) as image:
        assert image.size == (40, 30) and image.getpixel((1, 1)) == (0, 0, 250)
    live = FrameFolder(tmp_path, live=True)
    assert Path(live.save(BLUE, 1_700_000_000.5)).name == "20231114T221320.500000Z.jpg"


def test_a_frame_is_never_written_over(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, live=False)
    names = [Path(folder.save(BLUE, 1.0)).name for _ in range(3)]
    assert names == ["00000001.000s.jpg", "00000001.000s-2.jpg", "00000001.000s-3.jpg"]


def test_a_full_disk_leaves_no_half_frame(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, live=False)
    with room_for(100), pytest.raises(InputError, match="File too large"):
        folder.save(BLUE, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        FrameFolder(tmp_path / "file", live=False)
