"""Files that stand whole or not at all, in places that were tried before a long run began.

What is in the files is the business of those who write them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smolvlm.errors import InputError


def check_place(path: Path) -> None:
    """`InputError` if no file can be written at this path; makes its folder where there is none."""
    with replacing(path) as part:
        if path.is_dir():
            raise InputError(f"{path} is a folder; wanted the name of a file")
        part.touch()
        part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, in place of one that was there; `InputError` if that fails."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; what was written takes its place at `path` when the block has ended.

    After an error nothing is left, and what was at `path` before stays. `InputError` when the disk
    is full, or the place cannot be written.
    """
    part = path.with_name(f".{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if part.exists():
            part.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error});"
            " free some space or choose another place"
        ) from None
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:  # an unusable path, which has been reported by its own error
        return
