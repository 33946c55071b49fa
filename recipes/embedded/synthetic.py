"""Small materials made in memory, for tests: nothing is read from disk and nothing is downloaded.

The font is the one Pillow carries, the drawings are plain shapes, the texts are a few lines. Both
splits are filled, with different things, so that a leak between them shows. `materials` turns this
into `Materials.synthetic()`.
"""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from recipes.embedded import font_faces
from recipes.embedded.materials import Entry, place
from recipes.embedded.pack import Row, to_webp

SIDE = 96  # pixels of a drawing
WORDS = {
    "train": "apple river stone window yellow basket copper journey market silver thunder velvet",
    "test": "garden bottle lantern meadow orchard pebble",
}
SENTENCES = {
    "train": (
        "The harbour was quiet until the first boats came home.",
        "Every farmer in the valley sends grain to the old mill.",
        "We shall build roads, schools and bridges before the winter.",
        "Nobody had counted the birds that rest on the lake.",
    ),
    "test": (
        "A lamp burned all night in the house beside the church.",
        "Their letters arrived by train on the second of March.",
    ),
}
GLOSSES = {
    "train": ("ladder: steps between two side pieces", "orchard: a garden of fruit trees"),
    "test": ("kettle: a pot for boiling water",),
}
TABLES = {
    "train": ("towns", "Five Towns", ("Town", "People", "Schools"), 1.0),
    "test": ("ports", "Five Ports", ("Port", "Ships", "Cranes"), 2.0),
}
PLACES = ("Ash", "Birch", "Cedar", "Dale", "Elm", "Fern", "Glen", "Holm")
SHAPES = (("circle", "train"), ("square", "train"), ("triangle", "train"), ("diamond", "test"))
# name -> emoji category; two drawings of each in the training split, one in the test split
NOUNS = {
    "dog": "animal-mammal",
    "elephant": "animal-mammal",
    "rabbit": "animal-mammal",
    "giraffe": "animal-mammal",
    "frog": "animal-amphibian",
    "snake": "animal-reptile",
    "octopus": "animal-marine",
    "owl": "animal-bird",
    "penguin": "animal-bird",
    "banana": "food-fruit",
    "lemon": "food-fruit",
    "strawberry": "food-fruit",
    "pineapple": "food-fruit",
    "carrot": "food-vegetable",
    "pizza": "food-prepared",
    "hamburger": "food-prepared",
    "cookie": "food-sweet",
    "cucumber": "food-vegetable",
    "croissant": "food-prepared",
    "hammer": "tool",
    "screwdriver": "tool",
    "bus": "transport-ground",
    "bicycle": "transport-ground",
    "helicopter": "transport-air",
    "drum": "musical-instrument",
    "violin": "musical-instrument",
}


# (name, category, source, split); OpenMoji is the test split, as in the real pack
DRAWINGS = (
    *((name, "shape", "synthetic", split) for name, split in SHAPES),
    *((n, c, source, "train") for n, c in NOUNS.items() for source in ("noto", "twemoji")),
    *((n, c, "openmoji", "test") for n, c in NOUNS.items()),
)


class SyntheticDrawings:
    """A few plain shapes under many names, in the manner of `pack.AssetPack`."""

    def __len__(self) -> int:
        return len(DRAWINGS)

    def row(self, index: int) -> Row:
        """What is known about shape `index`."""
        name, category, source, split = DRAWINGS[index]
        return Row(
            id=f"{source}/{name}",
            width=SIDE,
            height=SIDE,
            label=name,
            answers=[name],
            sentence=None,
            group="objects",
            category=category,
            concept=name,
            source=source,
            licence="CC0-1.0",
            licence_class="G",
            split=split,
        )

    def indices(self, split: str = "train", licence_class: str | None = None) -> list[int]:
        """Indices of one split; all shapes are permissive."""
        wanted = range(len(DRAWINGS)) if licence_class in (None, "G") else ()
        return [i for i in wanted if DRAWINGS[i][3] == split]

    def image(self, index: int) -> Image.Image:
        """Shape `index` as an RGBA image."""
        picture = Image.new("RGBA", (SIDE, SIDE))
        draw, low, high = ImageDraw.Draw(picture), 8, SIDE - 8
        middle, colour = SIDE // 2, ("red", "blue", "green", "orange")[index % 4]
        if index >= len(SHAPES):
            draw.regular_polygon((middle, middle, middle - 4), 3 + index % 5, index, colour)
        elif SHAPES[index][0] == "circle":
            draw.ellipse((low, low, high, high), colour)
        elif SHAPES[index][0] == "square":
            draw.rectangle((low, low, high, high), colour)
        elif SHAPES[index][0] == "triangle":
            draw.polygon([(middle, low), (high, high), (low, high)], colour)
        else:
            draw.polygon([(middle, low), (high, middle), (middle, high), (low, middle)], colour)
        return picture


def pack() -> tuple[list[Entry], bytes]:
    """The entries and the joined blobs of both splits."""
    blobs = [blob for split in ("train", "test") for blob in _split(split)]
    return place(blobs)


def _split(split: str) -> list[tuple[Entry, bytes]]:
    name, title, columns, scale = TABLES[split]
    rows = [[p, scale * (120 + 35 * i), scale * (i + 1)] for i, p in enumerate(PLACES)]
    table = json.dumps({"title": title, "columns": columns, "rows": rows})
    lines = {
        "words": WORDS[split].split(),
        "sentences": SENTENCES[split],
        "glosses": GLOSSES[split],
    }
    texts = [
        (_entry(kind, kind, split), zlib.compress("\n".join(text).encode()))
        for kind, text in lines.items()
    ]
    return [
        _font(split),
        *texts,
        (_entry("table", name, split), zlib.compress(table.encode())),
        (_entry("background", f"sky-{split}", split), to_webp(_sky(split))),
        *_crops(split),
    ]


def _font(split: str) -> tuple[Entry, bytes]:
    face = ImageFont.load_default(20)
    assert isinstance(face, ImageFont.FreeTypeFont)
    assert isinstance(face.path, io.BytesIO)
    blob = face.path.getvalue()
    facts = {"family": "Built In", "category": "sans-serif", "weight": 400, "caps": False}
    facts["chars"] = font_faces.drawable(blob)
    return _entry("font", f"built-in-{split}", split, facts), blob


def _sky(split: str) -> Image.Image:
    """A grey ramp, darker in the test split."""
    ramp = Image.linear_gradient("L").resize((160, 120))
    return ramp.point([value // (2 if split == "test" else 1) for value in range(256)])


def _crops(split: str) -> list[tuple[Entry, bytes]]:
    """Two lines of print each, drawn with the built-in font."""
    made = []
    for number, sentence in enumerate(SENTENCES[split]):
        half = sentence.index(" ", len(sentence) // 2)
        text = f"{sentence[:half]}\n{sentence[half + 1 :]}"
        picture = Image.new("RGB", (320, 60), "white")
        face = ImageFont.load_default(18)
        ImageDraw.Draw(picture).multiline_text((6, 6), text, "black", face)
        name = f"page-{split}-{number}"
        made.append((_entry("crop", name, split, {"text": text}), to_webp(picture)))
    return made


def _entry(kind: str, name: str, split: str, facts: dict[str, Any] | None = None) -> Entry:
    return Entry(
        kind=kind,
        id=name,
        split=split,
        source="synthetic",
        licence="CC0-1.0",
        licence_class="G",
        offset=0,
        size=0,
        facts=facts or {},
    )
