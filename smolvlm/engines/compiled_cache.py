"""Compiled graphs on the disk: written whole or not at all, checked before use, one per slot.

A checkpoint has one folder, and in it a slot for each graph it can be compiled to; a slot holds one
entry, whose key says what it was made from. An entry is the library's own bytes and a footer of
ours. Nothing here knows what the bytes mean: `openvino_compile.py` brings and reads them.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import CacheError
from smolvlm.weights.cache import cache_folder

# Magic word, size of the library's bytes, checksum of their ends.
_FOOTER = struct.Struct("<8sQI")
_MAGIC = b"smolvlm1"
# The library describes its graph at both ends of its bytes. The weights between are as little
# checked as those of the checkpoint: reading them all would cost more than compiling anew.
_CHECKED_BYTES = 2 * 1024**2
# In each checkpoint's folder: where that checkpoint lies.
_OWNER = "checkpoint.txt"


@dataclass(frozen=True)
class Entry:
    """A place for one compiled graph. slot: short words; key: a digest of all it is made from."""

    checkpoint: Path
    folder: Path
    slot: str
    key: str

    @property
    def path(self) -> Path:
        """The entry's file."""
        return self.folder / f"{self.slot}-{self.key}.blob"

    def open(self) -> MappedEntry | None:
        """The bytes, mapped; None when there is no entry. ValueError: it is damaged."""
        try:
            with self.path.open("rb") as file:
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except FileNotFoundError:
            return None
        # Writable as libraries ask of their input, but no write reaches the file.
        everything: NDArray[np.uint8] = np.frombuffer(mapping, dtype=np.uint8)
        blob = everything[: max(len(everything) - _FOOTER.size, 0)]
        if everything[len(blob) :].tobytes() != _footer([blob]):
            raise ValueError("the file is cut short or was changed")
        return MappedEntry(blob, mapping)

    def store(self, *parts: Any) -> None:
        """Write bytes that come in parts, in place of what the slot held, all or nothing.

        `CacheError` when the disk is full.
        """
        footer = _footer([np.frombuffer(part, dtype=np.uint8) for part in parts])
        try:
            self.folder.mkdir(exist_ok=True)
            _write(self.folder / _OWNER, str(self.checkpoint).encode())
            _write(self.path, *parts, footer)
        except OSError as error:
            raise CacheError(
                f"the compiled model cannot be written to {self.folder} ({error.strerror}); "
                "make room or set SMOLVLM_CACHE to another folder"
            ) from None
        self._remove_others()

    def _remove_others(self) -> None:
        """Remove what the slot held before, and the folders of checkpoints that are gone."""
        for other in self.folder.glob(f"{self.slot}-*.blob"):
            if other != self.path:
                other.unlink(missing_ok=True)
        for record in self.folder.parent.glob(f"*/{_OWNER}"):
            try:
                owner = Path(record.read_text(encoding="utf-8"))
            except FileNotFoundError:  # another process was faster
                continue
            if not owner.exists():
                shutil.rmtree(record.parent, ignore_errors=True)


@dataclass(frozen=True)
class MappedEntry:
    """An entry's bytes uint8 (n,), valid as long as this lives."""

    blob: NDArray[np.uint8]
    mapping: mmap.mmap

    def release_pages(self) -> None:
        """Take the pages out of memory; one that is needed again comes back from the file."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def entry_for(checkpoint: Path, slot: str, key: str) -> Entry:
    """The entry of a checkpoint folder; `CacheError` when the cache cannot be written."""
    owner = checkpoint.resolve()
    return Entry(owner, cache_folder("compiled") / digest(str(owner))[:16], slot, key)


def _write(path: Path, *parts: Any) -> None:
    """Write a file that is there whole or not at all; OSError when it cannot be."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def digest(*parts: object) -> str:
    """A hexadecimal digest of the parts' representations."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _footer(parts: Sequence[NDArray[np.uint8]]) -> bytes:
    """Of bytes uint8 (n,) that come in parts."""
    checksum = zlib.crc32(_end(parts, last=True), zlib.crc32(_end(parts, last=False)))
    return _FOOTER.pack(_MAGIC, sum(map(len, parts)), checksum)


def _end(parts: Sequence[NDArray[np.uint8]], *, last: bool) -> bytes:
    """The first or the last bytes of all parts together."""
    left, pieces = _CHECKED_BYTES, list[bytes]()
    for part in reversed(parts) if last else parts:
        pieces.append((part[-left:] if last else part[:left]).tobytes())
        left -= len(pieces[-1])
        if not left:
            break
    return b"".join(reversed(pieces) if last else pieces)
