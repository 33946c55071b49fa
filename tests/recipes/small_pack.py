"""A synthetic asset pack: a few coloured shapes, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

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
