"""What a run reads, as data: sources with their shares, and which sample stands at which position.

    name: my-mixture
    sources:
      - {name: captions, rows: captions.jsonl, images: pictures, share: 0.7, modality: image,
         licence: green}
      - {name: counting, generator: count, share: 0.3, modality: image, licence: green}

The order is a function of (mixture, seed, position) alone: nothing has to be remembered to go on
after a kill, and any number of processes read the same samples. Shares are exact in every block of
`BLOCK` positions, and a file is read whole before any of its rows comes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import InputError
from smolvlm.training.keys import read_settings, read_yaml, refuse_unknown
from smolvlm.training.sources import Generator, GeneratorSource, Source, open_rows
from smolvlm.types import Sample

# Positions in which every share is exact, so that no share can be smaller than one of them.
BLOCK = 1000
# One row of a file in so many is never trained on.
HELD_OUT_EVERY = 40
# Generators are asked for held-out samples by seeds that training never reaches.
HELD_OUT_SEEDS = 2**40

Licence = Literal["green", "amber"]


@dataclass(frozen=True)
class Entry:
    """One source of a mixture.

    rows: a .jsonl or .parquet file, from the mixture's folder; or generator: a generator's name.
    images: where the relative picture paths of the rows begin; the rows' own folder if left out.
    share: of the samples, relative to the other shares. licence: green trains everywhere, amber
    (share-alike or copyleft) can be left out. task: what losses are listed under.
    """

    name: str
    share: float
    modality: Literal["image", "multi-image", "video", "text"]
    licence: Licence
    rows: str | None = None
    generator: str | None = None
    images: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise InputError(f"source {self.name!r} has the share {self.share}; wanted one above 0")
        if (self.rows is None) == (self.generator is None):
            raise InputError(f"source {self.name!r} needs one of 'rows' and 'generator'")
        if self.generator is not None and self.images is not None:
            raise InputError(f"source {self.name!r} is a generator and has no folder of 'images'")


@dataclass(frozen=True)
class MixtureFile:
    """A mixture as written, nothing opened yet."""

    name: str
    entries: tuple[Entry, ...]
    folder: Path

    @classmethod
    def read(cls, path: Path) -> MixtureFile:
        """Read the YAML; `InputError` names what is wrong and the nearest known key."""
        data = read_yaml(path)
        refuse_unknown(data, ("name", "sources"), f"key in {path.name}")
        raw = data.get("sources")
        if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
            raise InputError(f"{path} has no list of 'sources'; give at least one")
        entries = tuple(
            read_settings(Entry, item, where=f"{path.name}, source {number}", what="key")
            for number, item in enumerate(raw, start=1)
        )
        names = [entry.name for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"{path} has more than one source named {', '.join(twice)}")
        return cls(str(data.get("name") or path.stem), entries, path.parent)

    def open(
        self,
        *,
        seed: int,
        generators: Mapping[str, Generator] | None = None,
        licences: Sequence[Licence] = ("green", "amber"),
    ) -> Mixture:
        """The sources opened; those of other licence classes are left out."""
        kept = [entry for entry in self.entries if entry.licence in licences]
        if not kept:
            raise InputError(
                f"the mixture {self.name} has no source of the licence classes"
                f" {', '.join(licences)}"
            )
        known = generators or {}
        return Mixture([(entry, self._source(entry, known)) for entry in kept], seed)

    def _source(self, entry: Entry, generators: Mapping[str, Generator]) -> Source:
        if entry.rows is not None:
            images = None if entry.images is None else self.folder / entry.images
            return open_rows(self.folder / entry.rows, images=images, task=entry.task or entry.name)
        assert entry.generator is not None
        refuse_unknown([entry.generator], generators, "generator")
        return GeneratorSource(generators[entry.generator])


class Mixture:
    """Samples by position; position p holds the same sample in every process and every run."""

    def __init__(self, sources: Sequence[tuple[Entry, Source]], seed: int) -> None:
        self.entries = tuple(entry for entry, _ in sources)
        self.seed = seed
        self._sources = tuple(source for _, source in sources)
        for entry, source in sources:
            if source.size is not None and source.size < 2:
                raise InputError(
                    f"source {entry.name!r} has {source.size} rows; wanted at least 2, one to learn"
                    " from and one to hold out"
                )
        self._counts = block_counts([entry.share for entry in self.entries])

    def facts(self) -> dict[str, Any]:
        """What a run that goes on must find unchanged: every source, and how many rows it has."""
        return {
            f"mixture.{entry.name}": {**asdict(entry), "size": source.size}
            for entry, source in zip(self.entries, self._sources, strict=True)
        }

    def __getitem__(self, position: int) -> Sample:
        """The training sample at a position."""
        number, draw = self._draw(position, self.seed)
        source = self._sources[number]
        if source.size is None:
            return source[draw + self.seed * 2**32]
        rows = _rows(source.size, held_out=False)
        order = _order(len(rows), source.blocks, (self.seed, number, draw // len(rows)))
        return source[int(rows[order[draw % len(rows)]])]

    def held_out(self, position: int) -> Sample:
        """The sample at a position of the held-out ones: the same for every seed of training."""
        number, draw = self._draw(position, 0)
        source = self._sources[number]
        if source.size is None:
            return source[HELD_OUT_SEEDS + draw]
        rows = _rows(source.size, held_out=True)
        return source[int(rows[draw % len(rows)])]

    def _draw(self, position: int, seed: int) -> tuple[int, int]:
        """Which source a position reads, and how many times it was read at positions before."""
        block, within = divmod(position, BLOCK)
        numbers, ranks = _block(self._counts, seed, block)
        number = int(numbers[within])
        return number, block * self._counts[number] + int(ranks[within])


def block_counts(shares: Sequence[float]) -> tuple[int, ...]:
    """How many positions of a block each share gets: largest remainders, and at least one each."""
    assert 0 < len(shares) <= BLOCK, len(shares)
    exact = np.array(shares) / sum(shares) * BLOCK  # (n,)
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)  # (n,)
    while (missing := BLOCK - int(counts.sum())) != 0:
        # Give to the most short-changed, or take from the most favoured that can spare one.
        short = exact - counts
        short[counts == 1] = np.where(missing < 0, np.inf, short[counts == 1])
        counts[short.argmax() if missing > 0 else short.argmin()] += np.sign(missing)
    return tuple(int(count) for count in counts)


@lru_cache(maxsize=8)
def _block(
    counts: tuple[int, ...], seed: int, block: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The source of each position of a block, and its rank among that source's: int64 (BLOCK,)."""
    numbers = np.repeat(np.arange(len(counts)), counts)  # (BLOCK,)
    np.random.default_rng((seed, block)).shuffle(numbers)
    ranks = np.empty_like(numbers)
    for number, count in enumerate(counts):
        ranks[numbers == number] = np.arange(count)
    return numbers, ranks


@lru_cache(maxsize=64)
def _rows(size: int, *, held_out: bool) -> NDArray[np.int64]:
    """Which rows of a file are held out, or those that are not: int64 (n,)."""
    rows = np.arange(size)
    chosen: NDArray[np.int64] = rows[(rows % HELD_OUT_EVERY == 0) == held_out]
    return chosen


@lru_cache(maxsize=64)
def _order(size: int, blocks: tuple[int, ...], seed: tuple[int, ...]) -> NDArray[np.int64]:
    """A shuffle of 0..size-1: blocks of neighbours in any order, and any order within each."""
    rng = np.random.default_rng(seed)
    if len(blocks) < 2:
        return rng.permutation(size)
    # The held-out rows are taken evenly, so the blocks shrink evenly too.
    cuts = np.round(np.cumsum(blocks) / sum(blocks) * size).astype(np.int64)[:-1]
    parts = np.split(np.arange(size), cuts)
    return np.concatenate([rng.permutation(parts[i]) for i in rng.permutation(len(parts))])
