"""The asset pack: many small pictures with their labels in one indexed file.

A pack is a folder with `pack.bin` (WebP files one after another) and `pack.jsonl` (one row each,
see `Row`). Reading is lazy and memory-mapped. Also here: the picture forms that enter a pack and
the difference hash that compares them. Where pictures and labels come from is left to `drawings`.
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from PIL import Image

from smolvlm.errors import InputError

LONGEST_SIDE = 448  # pixels; the tile of the embedded model
LEAST_SIDE = 40  # pixels; a smaller raster shows too little to be named
LEAST_COVERAGE = 0.02  # share of opaque pixels below which a rendering counts as failed
NEAR_BITS = 6  # two pictures whose hashes differ in at most this many bits are the same


class Row(TypedDict):
    """One picture of a pack. `label` is null where only `sentence` is known, and the other way.

    `concept` is the emoji's code point, or the head noun; `source` is a key of
    `sources.SOURCES`; `offset` and `size` are bytes in `pack.bin`.
    """

    id: str
    offset: NotRequired[int]
    size: NotRequired[int]
    width: NotRequired[int]
    height: NotRequired[int]
    label: str | None
    answers: list[str]
    sentence: str | None
    group: str
    category: str
    concept: str
    source: str
    licence: str
    licence_class: str
    split: str


class AssetPack:
    """A pack opened for reading: `len(pack)`, `pack.row(i)`, `pack.image(i)`."""

    def __init__(self, path: str | Path) -> None:
        folder = Path(path).expanduser()
        if not (folder / "pack.jsonl").is_file():
            raise InputError(
                f"no asset pack in {folder}; run `python -m recipes.embedded.assets build`"
            )
        text = (folder / "pack.jsonl").read_text(encoding="utf-8")
        self._rows: list[Row] = [json.loads(line) for line in text.splitlines()]
        self._path = folder / "pack.bin"
        self._data: mmap.mmap | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_data": None}  # a worker process maps the file for itself

    def row(self, index: int) -> Row:
        """Everything known about picture `index`."""
        return self._rows[index]

    def indices(self, split: str = "train", licence_class: str | None = None) -> list[int]:
        """Indices of the rows of one split, and of one licence class where given."""
        return [
            i
            for i, row in enumerate(self._rows)
            if row["split"] == split and licence_class in (None, row["licence_class"])
        ]

    def image(self, index: int) -> Image.Image:
        """Picture `index` as a fresh RGBA image."""
        row = self._rows[index]
        if self._data is None:
            with self._path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        blob = self._data[row["offset"] : row["offset"] + row["size"]]
        return Image.open(io.BytesIO(blob)).convert("RGBA")


def write_pack(folder: Path, rows: Iterable[tuple[Row, bytes]]) -> int:
    """Write a pack of (row, WebP bytes) to `folder`; return how many. Replaces an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    binary, index = folder / "pack.bin.part", folder / "pack.jsonl.part"
    count = offset = 0
    with binary.open("wb") as data, index.open("w", encoding="utf-8") as lines:
        for row, blob in rows:
            width, height = Image.open(io.BytesIO(blob)).size
            place = {"offset": offset, "size": len(blob), "width": width, "height": height}
            lines.write(json.dumps({**row, **place}, ensure_ascii=False) + "\n")
            data.write(blob)
            offset += len(blob)
            count += 1
    binary.replace(folder / "pack.bin")
    index.replace(folder / "pack.jsonl")
    return count


def fit(image: Image.Image) -> Image.Image:
    """`image` as RGBA, made smaller (never larger) until its longest side is `LONGEST_SIDE`."""
    image = image.convert("RGBA")
    if max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def is_usable(image: Image.Image) -> bool:
    """False for pictures that are too small or almost wholly transparent (a failed rendering)."""
    alpha = np.asarray(image.getchannel("A"))
    return max(image.size) >= LEAST_SIDE and float((alpha > 16).mean()) >= LEAST_COVERAGE


def to_webp(image: Image.Image) -> bytes:
    """WebP at quality 90 with lossless alpha."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=3)
    return buffer.getvalue()


def difference_hash(image: Image.Image) -> int:
    """64-bit difference hash: `image` on a white square, 9x8 grey values, left > right per pair."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
    small = square.convert("L").resize((9, 8), Image.Resampling.LANCZOS)
    grey = np.asarray(small, dtype=np.int16)  # (8, 9)
    bits = (grey[:, :-1] > grey[:, 1:]).ravel()  # (64,)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_any(hashes: list[int], references: list[int], bits: int = NEAR_BITS) -> list[bool]:
    """For each hash, whether it lies within `bits` bits of any reference."""
    if not references:
        return [False] * len(hashes)
    others = np.array(references, dtype=np.uint64)
    return [bool((np.bitwise_count(others ^ np.uint64(value)) <= bits).any()) for value in hashes]
