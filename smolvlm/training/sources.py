"""Where samples come from: JSONL files, Parquet files, generators; one sample per index.

Every source can be asked for any index, in any order, from any process, and gives the same sample
each time: that is what lets a run be resumed, spread over processes and looked into. How rows
become conversations is `rows.py`'s business, which index is read when `mixture.py`'s. Pictures
stay unopened paths or bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import InputError
from smolvlm.training.rows import read_row
from smolvlm.types import Sample

Generator = Callable[[int], Sample]
"""A seed to a sample: the same seed gives the same words and pixels."""


class Source(Protocol):
    """Samples by index.

    size: how many there are; None for a generator, whose index is the seed.
    blocks: sizes of the runs of rows that are cheap to read together; empty when any order is.
    """

    @property
    def size(self) -> int | None:
        """How many samples; None is without end."""
        ...

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows stored together, in order; sums to `size`, or empty."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """One sample; `InputError` for a row that cannot be used."""
        ...


class JsonlSource:
    """One JSON object a line; blank lines do not count. Only offsets are held in memory."""

    blocks: tuple[int, ...] = ()

    def __init__(self, path: Path, *, images: Path | None = None, task: str | None = None) -> None:
        self.path = path
        self.images = path.parent if images is None else images
        self.task = task or path.stem
        self._lines, self._starts = _line_starts(path)

    @property
    def size(self) -> int:
        """Lines that hold something."""
        return len(self._starts)

    def __getitem__(self, index: int) -> Sample:
        """The sample of the index-th line that holds something."""
        line = int(self._lines[index])
        with self.path.open("rb") as file:
            file.seek(int(self._starts[index]))
            text = file.readline()
        try:
            row = json.loads(text)
        except ValueError as error:
            raise InputError(f"{self.path.name} line {line} is not JSON: {error}") from None
        return _sample(row, f"{self.path.name}:{line}", task=self.task, images=self.images)


class ParquetSource:
    """The rows of a Parquet file; needs pyarrow (extra `parquet`). One row group is held."""

    def __init__(self, path: Path, *, images: Path | None = None, task: str | None = None) -> None:
        self.path = path
        self.images = path.parent if images is None else images
        self.task = task or path.stem
        self.blocks = _row_groups(path)
        self._ends = np.cumsum(self.blocks)  # (groups,)

    @property
    def size(self) -> int:
        """Rows of all groups."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Sample:
        """The sample of one row."""
        group = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[group]) - self.blocks[group]
        row = _read_group(str(self.path), group).slice(index - start, 1).to_pylist()[0]
        return _sample(row, f"{self.path.name}:{index + 1}", task=self.task, images=self.images)


class GeneratorSource:
    """Samples made from their index as seed."""

    size: None = None
    blocks: tuple[int, ...] = ()

    def __init__(self, generate: Generator) -> None:
        self._generate = generate

    def __getitem__(self, index: int) -> Sample:
        """The sample of seed `index`."""
        return self._generate(index)


def open_rows(path: Path, *, images: Path | None = None, task: str | None = None) -> Source:
    """A file of rows by its ending: .jsonl or .parquet."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; wanted a .jsonl or .parquet file of rows")
    if path.suffix == ".jsonl":
        return JsonlSource(path, images=images, task=task)
    if path.suffix == ".parquet":
        return ParquetSource(path, images=images, task=task)
    raise InputError(f"{path} ends in {path.suffix!r}; wanted a .jsonl or .parquet file of rows")


def _sample(row: Any, key: str, *, task: str, images: Path) -> Sample:
    if not isinstance(row, Mapping):
        raise InputError(f"{key} is a {type(row).__name__}; wanted an object with columns")
    try:
        messages = read_row(row, images)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    return Sample(messages, str(row.get("task") or task), key)


def _line_starts(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number (from 1) and byte offset of every line that is not blank: int64 (n,) each."""
    lines, starts, offset = [], [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                lines.append(number)
                starts.append(offset)
            offset += len(line)
    return np.array(lines, dtype=np.int64), np.array(starts, dtype=np.int64)


def _row_groups(path: Path) -> tuple[int, ...]:
    """How many rows each group of a Parquet file has."""
    try:
        metadata = _parquet().ParquetFile(path).metadata
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these
        raise InputError(f"{path} is not a Parquet file: {error}") from None
    groups = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return tuple(rows for rows in groups)


@lru_cache(maxsize=1)
def _read_group(path: str, group: int) -> Any:
    return _parquet().ParquetFile(path).read_row_group(group)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "reading Parquet needs pyarrow; run: pip install 'smolvlm[parquet]', or give JSONL"
        ) from None
    return pyarrow.parquet
