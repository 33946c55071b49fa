"""A synthetic asset pack and features for it: a few coloured shapes, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from recipes.embedded import pack
from recipes.embedded.pack import AssetPack, Row

LABELS = ("apple", "hammer", "snail", "umbrella", "kettle", "drum")


def make_row(
    label: str | None,
    number: int = 0,
    *,
    answers: Sequence[str] = (),
    sentence: str | None = None,
    group: str = "objects",
    source: str = "noto",
) -> Row:
    """A row of the pack; OpenMoji is the test split, every other source is trained on."""
    return Row(
        id=f"{source}/{label}-{number}",
        label=label,
        answers=[*answers] or ([label] if label else []),
        sentence=sentence,
        group=group,
        category="thing",
        concept=f"{label}-{number}",
        source=source,
        licence="Apache-2.0",
        licence_class="G",
        split="test" if source == "openmoji" else "train",
    )


def make_pack(folder: Path, rows: Sequence[Row]) -> AssetPack:
    """A pack of these rows, each drawn as a disc of its own colour."""
    blobs = []
    for number, row in enumerate(rows):
        image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((4, 4, 60, 44), fill=(40 * number % 256, 90, 200, 255))
        blobs.append((row, pack.to_webp(image)))
    pack.write_pack(folder, blobs)
    return AssetPack(folder)


def write_features(folder: Path, rows: Sequence[int], tiles: Tensor) -> None:
    """A feature folder with these pack rows and features (n, T, C)."""
    folder.mkdir(parents=True)
    (folder / "shape.json").write_text(json.dumps(tuple(tiles.shape[1:])))
    bits = tiles.to(torch.bfloat16).view(torch.int16).numpy()
    (folder / "features.bin").write_bytes(bits.tobytes())
    (folder / "features.jsonl").write_text("".join(f"{row}\n" for row in rows))
