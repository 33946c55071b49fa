"""Pictures whose every cell is known: what lies under each visual token, in tokens of words.

A visual token stands for a cell of 4 x 4 patches. Here is what each of them should say: the piece
of text that is printed in it, the name of the drawing or the colour and shape it shows, or nothing.
Truth about a picture is a pure function of (materials, seed), as in the generators.

Letters: T cells of a tile, K tokens a cell at most, P patches.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from recipes.embedded import printed_cells
from recipes.embedded.align import WHOLE, covered
from recipes.embedded.generators import canvas, composites, outlines, shapes
from recipes.embedded.generators.canvas import Scene
from recipes.embedded.materials import Materials
from recipes.embedded.views import covered_view
from smolvlm.processing.tokenizer import Tokenizer

MOST = 8  # tokens of a cell that are kept
LEAST = 0.2  # of what a thing must cover to be named whole, below which it is not named at all
HALVES = 2  # of a patch, each with a character of its own
# What a sample is, and how often.
KINDS = {"print": 0.55, "drawings": 0.32, "shapes": 0.05, "things": 0.08}
QUARTERS, SMALL = 4, 4  # views 0 to 3 are quarters of a tile; 4 is a picture of half the side


class Seen(NamedTuple):
    """Views, and what their cells say.

    tiles: uint8 (B, S, S, 3). kinds: int64 (B,), which positions they have (`SMALL`). words: int64
    (B, T, K), tokens of each cell, -1 beyond the last. shares: float32 (B, T, K), how much of the
    cell is each one's; covers: float32 (B, T), how much of it is anything's. characters: int64 (B,
    P, 2), classes of `printed_cells`.
    """

    tiles: NDArray[Any]
    kinds: NDArray[Any]
    words: NDArray[Any]
    shares: NDArray[Any]
    covers: NDArray[Any]
    characters: NDArray[Any]

    def pieces(self, count: int) -> Iterator[Seen]:
        """As many at a time as go through the tower together."""
        for at in range(0, len(self.kinds), count):
            yield Seen(*(part[at : at + count] for part in self))


def stacked(items: Sequence[Seen]) -> Seen:
    """All views one after another."""
    return Seen(*(np.concatenate(parts) for parts in zip(*items, strict=True)))


@dataclass
class Canvas:
    """The truth of one square picture, as it is filled in: cells a side, and what each holds."""

    cells: int

    def __post_init__(self) -> None:
        count = self.cells**2
        self.words = np.full((count, MOST), -1, dtype=np.int64)
        self.shares = np.zeros((count, MOST), dtype=np.float32)
        self.covers = np.zeros(count, dtype=np.float32)

    def add(self, cell: int, tokens: Sequence[int], amount: float) -> None:
        """Let `cell` hold `tokens` too, which cover so much of it, 0 to 1."""
        room = np.flatnonzero(self.words[cell] < 0)[: len(tokens)]
        self.words[cell, room] = tokens[: len(room)]
        self.shares[cell, room] = amount / max(len(tokens), 1)
        self.covers[cell] = min(1.0, self.covers[cell] + amount)

    def settled(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Words, shares that sum to 1 in each cell that holds anything, and covers."""
        total = self.shares.sum(1, keepdims=True)
        return self.words, self.shares / np.maximum(total, 1e-6), self.covers


class Cells(Dataset[Seen]):
    """Views without end: item i is made from (seed, i), four tiles of half the side or a whole one.

    side: of a whole tile in pixels; cells: visual tokens along it; patch: pixels of a patch.
    """

    def __init__(
        self, materials: Materials, rows: Sequence[int], tokenizer: Tokenizer, *, side: int,
        patch: int, cells: int, whole: bool, seed: int, held_out: bool = False,
        kinds: dict[str, float] = KINDS,
    ) -> None:  # fmt: skip
        self.materials, self.rows, self.tokenizer = materials, list(rows), tokenizer
        self.side, self.patch, self.cells, self.whole = side, patch, cells, whole
        self.seed, self.kinds = seed, kinds
        self.fonts = printed_cells.faces(materials, held_out=held_out)
        self._encode = lru_cache(maxsize=100_000)(self._tokens)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_encode"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._encode = lru_cache(maxsize=100_000)(self._tokens)

    def __getitem__(self, index: int) -> Seen:
        rng = random.Random(f"cells/{self.seed}/{index}")
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        if kind == "drawings":
            count, side = (1, self.side) if self.whole else (QUARTERS, self.side // 2)
            return stacked([self._drawing(rng, side) for _ in range(count)])
        whole = self._print(rng) if kind == "print" else self._scene(rng, kind)
        return whole if self.whole else quartered(whole)

    def _print(self, rng: random.Random) -> Seen:
        page = printed_cells.printed(self.materials, self.fonts, rng, side=self.side)
        truth = Canvas(self.cells)
        size = self.side / self.cells
        for line, places in page.marks():
            cols, rows = (np.clip(places[:, i] // size, 0, self.cells - 1) for i in (0, 1))
            cells = (rows * self.cells + cols).astype(int)
            starts = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(cells)]
            for start, end in itertools.pairwise(starts):
                piece = line.text[start:end]
                tokens = self._encode(f" {piece}" if start == 0 else piece)
                if tokens:
                    truth.add(int(cells[start]), tokens, 1.0)
        return single(np.asarray(page.picture), truth, self._characters(page), QUARTERS)

    def _characters(self, page: printed_cells.Page) -> NDArray[np.int64]:
        grid = self.side // self.patch
        quarter = self.patch / (2 * HALVES)
        across = np.arange(grid * HALVES) * 2 * quarter + quarter
        down = (np.arange(grid) + 0.5) * self.patch
        points = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)  # row by row
        return page.characters_at(points).reshape(grid * grid, HALVES)

    def _scene(self, rng: random.Random, kind: str) -> Seen:
        seed = rng.getrandbits(40)
        if kind == "shapes":
            task = rng.choice(("shape_count", "shape_colour", "shape_describe"))
            scene, _ = shapes.made(task, seed)
            picture = canvas.paint(scene, self.materials, outlines.draw, str(seed))
        else:
            task = rng.choice(("composite_count", "composite_describe", "composite_neighbour"))
            scene, _ = composites.made(task, self.materials, seed)
            picture = composites.painted(scene, self.materials, str(seed))
        picture = picture.resize((self.side, self.side), Image.Resampling.LANCZOS)
        nothing = np.zeros(((self.side // self.patch) ** 2, HALVES), dtype=np.int64)
        return single(np.asarray(picture), self._things(scene), nothing, QUARTERS)

    def _things(self, scene: Scene) -> Canvas:
        truth = Canvas(self.cells)
        size = self.side / self.cells
        starts = np.arange(self.cells) * size
        for thing in scene.things:
            tokens, box = self._encode(f" {thing.phrase}"), thing.box
            across, down = (  # pixels of each column and row of cells that the box covers
                np.clip(np.minimum(end * scale, starts + size) - np.maximum(start * scale, starts),
                        0, None)
                for start, end, scale in (
                    (box.left, box.left + box.width, self.side / scene.width),
                    (box.top, box.top + box.height, self.side / scene.height),
                )
            )  # fmt: skip
            for cell, area in enumerate(np.outer(down, across).ravel()):
                if (amount := min(1.0, float(area) / size**2 / WHOLE)) > LEAST:
                    truth.add(cell, tokens, amount)
        return truth

    def _drawing(self, rng: random.Random, side: int) -> Seen:
        row, drawings = rng.choice(self.rows), self.materials.drawings
        tile, alpha = covered_view(drawings.image(row), side=side, seed=rng.getrandbits(40))
        cells = self.cells * side // self.side
        patches = (side // self.patch) ** 2
        truth, tokens = Canvas(cells), self._encode(f" {drawings.row(row)['label']}")
        for cell, amount in enumerate(covered(alpha, cells)):
            if amount > LEAST:
                truth.add(cell, tokens, float(amount))
        nothing = np.zeros((patches, HALVES), dtype=np.int64)
        kind = QUARTERS if side == self.side else SMALL
        return single(tile, truth, nothing, kind)

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text.rstrip()) if text.strip() else []


def single(
    tile: NDArray[np.uint8], truth: Canvas, characters: NDArray[np.int64], kind: int
) -> Seen:
    """One view, of what is known about it."""
    words, shares, covers = truth.settled()
    return Seen(
        tile[None], np.array([kind]), words[None], shares[None], covers[None], characters[None]
    )


def quartered(whole: Seen) -> Seen:
    """The four quarters of one whole tile."""
    tiles, _, words, shares, covers, characters = (part[0] for part in whole)
    half = len(tiles) // 2
    return Seen(
        _quarters(tiles.reshape(-1, 3)).reshape(QUARTERS, half, half, 3),
        np.arange(QUARTERS),
        *map(_quarters, (words, shares, covers, characters)),
    )


def _quarters(values: NDArray[Any]) -> NDArray[Any]:
    """Values (n^2, ...) of a square, row by row, to its quarters (4, n^2 / 4, ...)."""
    half = math.isqrt(len(values)) // 2
    square = values.reshape(2, half, 2, half, *values.shape[1:])
    return square.swapaxes(1, 2).reshape(QUARTERS, half * half, *values.shape[1:])
