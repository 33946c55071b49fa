"""What the generators draw with: fonts, words, sentences, tables, photographs and drawings.

`Materials.open` reads the material pack (`material_sources build`) and the pack of drawings beside
it; `Materials.synthetic` is a small stand-in in memory for tests. A pack is `materials.bin` (blobs
one after another) and `materials.jsonl` (one `Entry` each). Everything is asked for by split, and
"train" is what one gets without asking. How the pack is made is left to `material_sources`.
"""

from __future__ import annotations

import io
import json
import mmap
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

from PIL import Image, ImageFont

from recipes.embedded.pack import AssetPack, Row
from smolvlm.errors import InputError

Split = Literal["train", "test"]
Value = str | float


class Entry(TypedDict):
    """One blob of a material pack.

    kind: "font", "words", "sentences", "glosses", "table", "background" or "crop".
    source: a key of `material_table.MATERIALS`. facts: what the kind needs besides its bytes.
    """

    kind: str
    id: str
    split: str
    source: str
    licence: str
    licence_class: str
    offset: int
    size: int
    facts: dict[str, Any]


@dataclass(frozen=True)
class Font:
    """One face: `name` goes to `Materials.font`.

    category: "sans-serif", "serif", "display", "handwriting" or "monospace". chars: the characters
    it can draw. caps: its small letters look like capitals, so text must be set in capitals.
    """

    name: str
    family: str
    category: str
    weight: int
    chars: frozenset[str]
    caps: bool

    def covers(self, text: str) -> bool:
        """True when every character of `text`, line breaks aside, has a glyph."""
        return self.chars.issuperset(text.replace("\n", ""))


@dataclass(frozen=True)
class Table:
    """Real values: `rows` of as many cells as `columns`, numbers as float, all else as str."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def numeric(self) -> list[int]:
        """Indices of the columns that hold numbers only."""
        return [
            i
            for i in range(len(self.columns))
            if all(isinstance(row[i], float) for row in self.rows)
        ]


@dataclass(frozen=True)
class Crop:
    """A piece of a printed page: `name` goes to `Materials.picture`; `text` is what it says."""

    name: str
    text: str

    @property
    def lines(self) -> int:
        """How many lines of print it shows."""
        return self.text.count("\n") + 1


class Drawings(Protocol):
    """What a pack of drawings offers; `pack.AssetPack` is the real one."""

    def __len__(self) -> int: ...

    def row(self, index: int) -> Row:
        """Everything known about picture `index`."""
        ...

    def indices(self, split: str = "train", licence_class: str | None = None) -> list[int]:
        """Indices of the rows of one split, and of one licence class where given."""
        ...

    def image(self, index: int) -> Image.Image:
        """Picture `index` as a fresh RGBA image."""
        ...


class Materials:
    """Fonts, words, tables, photographs and drawings, opened for reading; may be pickled."""

    def __init__(self, entries: Iterable[Entry], data: Path | bytes, drawings: Drawings) -> None:
        self.drawings = drawings
        self._entries = {(e["kind"], e["split"], e["id"]): e for e in entries}
        self._data = data
        self._map: mmap.mmap | None = None
        self._lists: dict[tuple[str, str], list[Any]] = {}

    @classmethod
    def open(cls, folder: str | Path, *, licence: Literal["green", "all"] = "all") -> Materials:
        """The packs under `folder` (the cache's `assets`): drawings in `licence`, the rest here.

        "green" leaves share-alike and copyleft entries out. `InputError` when a pack is missing.
        """
        root = Path(folder).expanduser()
        index = root / "materials" / "materials.jsonl"
        if not index.is_file():
            raise InputError(
                f"no material pack in {index.parent}; run"
                " `python -m recipes.embedded.material_sources build`"
            )
        entries: list[Entry] = [json.loads(line) for line in index.read_text("utf-8").splitlines()]
        kept = [e for e in entries if licence == "all" or e["licence_class"] == "G"]
        return cls(kept, index.with_suffix(".bin"), AssetPack(root / licence))

    @classmethod
    def synthetic(cls) -> Materials:
        """Tiny materials made in memory, the same on every machine: no file, no download."""
        from recipes.embedded.synthetic import SyntheticDrawings, pack  # it builds on this module

        entries, data = pack()
        return cls(entries, data, SyntheticDrawings())

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_map": None, "_lists": {}}  # a worker process maps for itself

    def fonts(self, split: Split = "train", category: str | None = None) -> list[Font]:
        """The faces of one split, and of one category where given."""
        fonts: list[Font] = self._list("font", split, _font)
        return [font for font in fonts if category in (None, font.category)]

    def font(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        """The face `name` at `size` pixels per em."""
        entry = self._find("font", name)
        return _face(self._blob(entry), size)

    def words(self, split: Split = "train") -> list[str]:
        """English words without proper names and possessives."""
        return self._text("words", split)

    def sentences(self, split: Split = "train") -> list[str]:
        """English sentences of 20 to 200 characters from speeches."""
        return self._text("sentences", split)

    def glosses(self, split: Split = "train") -> list[str]:
        """Lines of the form `noun: definition`."""
        return self._text("glosses", split)

    def tables(self, split: Split = "train") -> list[Table]:
        """Tables of real values."""
        return self._list("table", split, self._table)

    def crops(self, split: Split = "train") -> list[Crop]:
        """Pieces of real printed pages; empty when the pack was built without them."""
        return self._list("crop", split, lambda e: Crop(e["id"], e["facts"]["text"]))

    def backgrounds(self, split: Split = "train") -> list[str]:
        """Names of photographs to draw on, for `picture`."""
        return self._list("background", split, lambda e: e["id"])

    def picture(self, name: str) -> Image.Image:
        """The background or crop `name` as a fresh RGB image."""
        kind = "background" if self._has("background", name) else "crop"
        return Image.open(io.BytesIO(self._blob(self._find(kind, name)))).convert("RGB")

    def _list(self, kind: str, split: str, make: Any) -> list[Any]:
        if split not in ("train", "test"):
            raise InputError(f"split is {split!r}; wanted 'train' or 'test'")
        if (kind, split) not in self._lists:
            found = [e for (k, s, _), e in self._entries.items() if (k, s) == (kind, split)]
            self._lists[kind, split] = [make(entry) for entry in found]
        return list(self._lists[kind, split])

    def _text(self, kind: str, split: str) -> list[str]:
        """The lines of every blob of a kind. The list is shared: callers only read it."""
        blobs = self._list(kind, split, lambda e: zlib.decompress(self._blob(e)).decode())
        key = (f"{kind} lines", split)
        if key not in self._lists:
            self._lists[key] = [line for blob in blobs for line in blob.splitlines()]
        return self._lists[key]

    def _table(self, entry: Entry) -> Table:
        made = json.loads(zlib.decompress(self._blob(entry)))
        rows = tuple(tuple(row) for row in made["rows"])
        return Table(entry["id"], made["title"], tuple(made["columns"]), rows)

    def _has(self, kind: str, name: str) -> bool:
        return any((kind, split, name) in self._entries for split in ("train", "test"))

    def _find(self, kind: str, name: str) -> Entry:
        for split in ("train", "test"):
            if (kind, split, name) in self._entries:
                return self._entries[kind, split, name]
        raise InputError(f"the material pack has no {kind} {name!r}")

    def _blob(self, entry: Entry) -> bytes:
        start, end = entry["offset"], entry["offset"] + entry["size"]
        if isinstance(self._data, bytes):
            return self._data[start:end]
        if self._map is None:
            with self._data.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map[start:end]


def _font(entry: Entry) -> Font:
    facts = entry["facts"]
    return Font(
        entry["id"],
        facts["family"],
        facts["category"],
        facts["weight"],
        frozenset(facts["chars"]),
        facts["caps"],
    )


@lru_cache(maxsize=64)
def _face(blob: bytes, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(io.BytesIO(blob), size, layout_engine=ImageFont.Layout.BASIC)


def write_materials(folder: Path, blobs: Sequence[tuple[Entry, bytes]]) -> None:
    """Write a material pack to `folder`, replacing an older one; offsets and sizes are set here."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, data = place(blobs)
    binary, index = folder / "materials.bin.part", folder / "materials.jsonl.part"
    binary.write_bytes(data)
    lines = (json.dumps(entry, ensure_ascii=False) for entry in entries)
    index.write_text("\n".join(lines) + "\n", encoding="utf-8")
    binary.replace(folder / "materials.bin")
    index.replace(folder / "materials.jsonl")


def place(blobs: Sequence[tuple[Entry, bytes]]) -> tuple[list[Entry], bytes]:
    """The entries with their places, and all blobs joined."""
    entries: list[Entry] = []
    offset = 0
    for entry, blob in blobs:
        entries.append({**entry, "offset": offset, "size": len(blob)})
        offset += len(blob)
    return entries, b"".join(blob for _, blob in blobs)
