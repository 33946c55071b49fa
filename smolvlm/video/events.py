"""What a watched camera has to tell: events, as lines of JSON, and the frames they rest on.

A line is written whole or not at all: what a full disk has cut off is taken away again before the
error is raised. A frame takes its name when it is whole, and none is ever written over. When an
event happens is decided in `watch.py`.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import SEEK_END, BytesIO, FileIO
from pathlib import Path
from typing import Any, Literal, Self

from PIL import Image

from smolvlm.errors import InputError
from smolvlm.video.times import clock
from smolvlm.video.writing import check_place, replacing

STDOUT = "-"
QUALITY = 90  # of the JPEG files

Kind = Literal["decision", "description", "answer", "lost", "back"]


@dataclass(frozen=True)
class Event:
    """Something that happened, on the clock of its source (`media.camera.Camera`), in seconds.

    kind: the answer to the yes/no question changed ("decision"), what is seen was put into words
    ("description") or a question about it answered ("answer"), the source went away ("lost") or
    came back ("back"). probability: of yes, when that was asked. frame: a file, if it was saved.
    """

    time: float
    kind: Kind
    answer: str
    question: str | None = None
    probability: float | None = None
    frame: str | None = None

    def record(self, *, live: bool) -> dict[str, Any]:
        """The event as it is written; `at` is its time for people."""
        return {
            "time": round(self.time, 3),
            "at": moment(self.time, live=live),
            "kind": self.kind,
            "question": self.question,
            "answer": self.answer,
            "probability": None if self.probability is None else round(self.probability, 4),
            "frame": self.frame,
        }


def moment(time: float, *, live: bool) -> str:
    """A time for people: Unix time as ISO 8601 in UTC, that of a clip as 1:02:03.4."""
    if not live:
        return clock(time)
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


class EventFile:
    """A file of JSON lines that grows, or standard output for `-`. Use it in a `with` block."""

    def __init__(self, path: str, *, live: bool) -> None:
        """Open it, so that a place that cannot be written is known before a long watch."""
        self._path, self._live = path, live
        self._file: FileIO | None = None
        if path == STDOUT:
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(path, "a+b")
            self._end_line(self._file)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            raise self._error(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, event: Event) -> None:
        """One line, at once; after an error the lines before it are whole."""
        line = json.dumps(event.record(live=self._live), ensure_ascii=False) + "\n"
        if self._file is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        length = self._file.seek(0, SEEK_END)
        try:
            _write_all(self._file, line.encode())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(length)
            raise self._error(error) from None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    @staticmethod
    def _end_line(file: FileIO) -> None:
        """A line that somebody left open must not swallow ours."""
        length = file.seek(0, SEEK_END)
        if length:
            file.seek(length - 1)
            if file.read(1) != b"\n":
                _write_all(file, b"\n")

    def _error(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(
            f"{self._path} cannot be written ({reason}); free some space or choose another place."
            " What was written before is whole"
        )


def _write_all(file: FileIO, data: bytes) -> None:
    """The system may write a part, and say why only when it is asked to write the rest."""
    while data:
        data = data[file.write(data) :]


class FrameFolder:
    """A folder of saved frames, named after their time."""

    def __init__(self, folder: Path, *, live: bool) -> None:
        """Make the folder and try whether it can be written; `InputError` if not."""
        self._folder, self._live = folder, live
        check_place(folder / ".smolvlm.jpg")

    def save(self, picture: Image.Image, time: float) -> str:
        """Write a frame as JPEG and return its path; `InputError` leaves nothing half-written."""
        path = self._free(self._stem(time))
        encoded = BytesIO()  # Pillow does not notice that only a part of its bytes was written
        picture.save(encoded, "JPEG", quality=QUALITY)
        with replacing(path) as part:
            part.write_bytes(encoded.getvalue())
        return str(path)

    def _stem(self, time: float) -> str:
        if self._live:
            return datetime.fromtimestamp(time, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return f"{time:012.3f}s"

    def _free(self, stem: str) -> Path:
        """A name that is not taken: another clip has frames of the same times."""
        path, number = self._folder / f"{stem}.jpg", 1
        while path.exists():
            number += 1
            path = self._folder / f"{stem}-{number}.jpg"
        return path
