"""E11: real handwritten digits, the 8x8 scans that scikit-learn carries.

As many of each digit. They are enlarged and shown dark on white, as on paper.
"""

from __future__ import annotations

import csv
import gzip
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recipes.embedded.gallery import SKLEARN
from recipes.embedded.materials import Materials
from recipes.embedded.sources import fetch
from recipes.embedded.suite.rows import Row
from smolvlm.types import ImagePart, Message, TextPart
from smolvlm.weights.cache import cache_folder

MEMBER = "sklearn/datasets/data/digits.csv.gz"
QUESTION = "Which digit is this?"
SIDE = 8  # pixels of a scan
DARKEST = 16  # value of the darkest pixel of a scan
SHOWN_SIDE = 224  # pixels of the picture; a margin of one scan pixel is added around the scan
NAMES = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Digits:
    """The plan: `each` scans of every digit. folder: of the unpacked package; None fetches it."""

    each: int
    folder: Path | None = None

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`."""
        _, labels = scans(self._file())
        order = list(range(len(labels)))
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
        picture = enlarged(pixels[int(row["drawing"])])
        return Message("user", (ImagePart(picture), TextPart(row["question"])))

    def _file(self) -> Path:
        folder = self.folder or fetch(SKLEARN, cache_folder("assets", "packages"))
        return folder / MEMBER


@lru_cache(maxsize=2)
def scans(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All scans (N, 8, 8), 0 paper to 16 ink, and their digits (N,)."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.array([[round(float(cell)) for cell in row] for row in csv.reader(file)])
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]  # (N, 65) -> (N, 8, 8), (N,)


def enlarged(scan: NDArray[np.int64]) -> Image.Image:
    """A scan (8, 8) as a smooth RGB picture, dark on white."""
    grey = 255 - np.pad(scan, 1) * 255 // DARKEST  # (10, 10)
    small = Image.fromarray(grey.astype(np.uint8))
    return small.resize((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC).convert("RGB")
