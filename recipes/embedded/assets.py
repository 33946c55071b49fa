"""Build the asset pack of the embedded model: packages -> drawings -> one indexed file.

    python -m recipes.embedded.assets build [--cache DIR] [--licence green|all]
    python -m recipes.embedded.assets items | notice

Every step keeps what it made: packages under `assets/packages`, rendered pictures under
`assets/renders`, packs under `assets/green` and `assets/all`; a second run only does what is
missing. The split rules live here: OpenMoji is test only, withheld concepts and pictures that look
like a test picture leave the training split. Samples and questions are left to later steps.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from recipes.embedded import drawings, labels, pack, sources
from recipes.embedded.command import exit_code
from recipes.embedded.drawings import Drawing, Emoji
from recipes.embedded.pack import AssetPack, Row
from recipes.embedded.wordnet import Nouns
from smolvlm.weights.cache import cache_folder

__all__ = ["AssetPack", "build", "main"]

ITEMS = Path(__file__).with_name("items") / "e1_openmoji.jsonl"
NOTICE = Path(__file__).parents[2] / "NOTICE"
WORKERS = 2
ITEM_SEED = 20


class Library:
    """The unpacked packages, and the tables read from their text files."""

    def __init__(self, root: Path) -> None:
        wanted = track(sources.SOURCES, description="packages", transient=True)
        self.folders = {source.key: sources.fetch(source, root) for source in wanted}
        self.nouns = Nouns(self.folders["wordnet"] / "usr/share/wordnet")
        self.emoji = drawings.emoji_table(self.folders["emojibase"])
        self.test = drawings.openmoji_table(self.folders["openmoji"], self.emoji)

    def drawings(self) -> Iterator[Drawing]:
        """Every drawing of every package, test first; icons last, as they borrow labels."""
        known: dict[str, Row] = {}
        for drawing in self._coloured():
            yield drawing
            label = (drawing.row["label"] or "").lower()
            if drawing.row["group"] in labels.OBJECT_GROUPS and drawing.row["split"] == "train":
                known.setdefault(label, drawing.row)
        yield from drawings.named_icons(self.folders["game-icons"], "game-icons", known)

    def _coloured(self) -> Iterator[Drawing]:
        folders, nouns = self.folders, self.nouns
        yield from drawings.openmoji(folders["openmoji"], self.test, nouns)
        for key in drawings.SVG_SETS:
            yield from drawings.iconify(folders[key], key, self.emoji, nouns)
        yield from drawings.fluent_3d(folders["fluent-3d"], "fluent-3d", self.emoji, nouns)
        yield from drawings.tuxpaint(folders["tuxpaint"], nouns)
        yield from drawings.openclipart(folders["openclipart"], folders["openclipart-text"], nouns)


def withheld_concepts(test: dict[str, Emoji]) -> dict[str, str]:
    """Code key -> label of the test concepts that no training picture may show."""
    return {e.key: e.label for e in test.values() if labels.is_withheld(e.label)}


def without_withheld(found: Iterable[Drawing], withheld: dict[str, str]) -> list[Drawing]:
    """Test drawings, and those training drawings that do not show or name a withheld concept."""
    names = labels.Withheld(withheld.values())

    def is_kept(row: Row) -> bool:
        if row["split"] == "test":
            return True
        file_name = row["id"].rpartition("/")[2]
        return row["concept"] not in withheld and not names.mentions(
            row["label"], row["sentence"], file_name
        )

    kept = [drawing for drawing in found if is_kept(drawing.row)]
    for drawing in kept:
        if drawing.row["split"] == "train":
            row = drawing.row
            row["answers"] = [answer for answer in row["answers"] if not names.mentions(answer)]
    return kept


def render_all(found: Sequence[Drawing], folder: Path) -> dict[str, int]:
    """Render what is missing to `folder`; return the difference hash of every usable picture."""
    tasks = [(drawing, folder / f"{drawing.row['id']}.webp") for drawing in found]
    for parent in {path.parent for _, path in tasks}:
        parent.mkdir(parents=True, exist_ok=True)
    known = folder / "hashes.jsonl"
    known.touch()
    hashes: dict[str, int | None] = dict(map(json.loads, known.read_text().splitlines()))
    todo = [task for task in tasks if task[0].row["id"] not in hashes]
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool, known.open("a") as lines:
        results = pool.imap_unordered(_render, todo, chunksize=16)
        for identity, value in track(results, description="drawings", total=len(todo)):
            hashes[identity] = value
            lines.write(json.dumps([identity, value]) + "\n")
    usable = ((drawing.row["id"], hashes[drawing.row["id"]]) for drawing in found)
    return {identity: value for identity, value in usable if value is not None}


def _render(task: tuple[Drawing, Path]) -> tuple[str, int | None]:
    """Render one drawing to a file; its hash, or None when it cannot be used."""
    drawing, path = task
    try:
        image = drawing.render()
    except ValueError:
        return drawing.row["id"], None
    if not pack.is_usable(image):
        return drawing.row["id"], None
    path.write_bytes(pack.to_webp(image))
    return drawing.row["id"], pack.difference_hash(image)


def select(rows: Sequence[Row], hashes: dict[str, int], licence: str) -> list[Row]:
    """The rows of a pack: usable, of the licence, no training row that looks like a test row."""
    usable = [row for row in rows if row["id"] in hashes]
    tests = [hashes[row["id"]] for row in usable if row["split"] == "test"]
    train = [
        row
        for row in usable
        if row["split"] == "train" and (licence == "all" or row["licence_class"] == "G")
    ]
    near = pack.near_any([hashes[row["id"]] for row in train], tests)
    kept = [row for row, close in zip(train, near, strict=True) if not close]
    return kept + [row for row in usable if row["split"] == "test"]


def build(cache: Path, licence: str = "green") -> Path:
    """Make the pack of one licence choice under `cache`; return its folder."""
    root, console = cache / "assets", Console(stderr=True)
    library = Library(root / "packages")
    found = without_withheld(library.drawings(), withheld_concepts(library.test))
    hashes = render_all(found, root / "renders")
    rows = select([drawing.row for drawing in found], hashes, licence)
    blobs = ((row, (root / "renders" / f"{row['id']}.webp").read_bytes()) for row in rows)
    count = pack.write_pack(root / licence, blobs)
    console.print(f"{count} pictures of {len(found)} drawings in {root / licence}")
    for (source, split), number in sorted(Counter((r["source"], r["split"]) for r in rows).items()):
        console.print(f"  {source:12} {split:5} {number:6}")
    return root / licence


def item(emoji: Emoji, test: dict[str, Emoji], nouns: Nouns) -> dict[str, object]:
    """One line of the item list of E1: a test drawing, with distractors of its group.

    A distractor shares no accepted name with the item. The first three make the 4-way question
    (E1a), all nineteen the 20-way one (E1b).
    """
    accepted = set(drawings.emoji_answers(emoji, nouns))
    others = {
        labels.emoji_label(other.label)
        for other in test.values()
        if other.group == emoji.group and accepted.isdisjoint(drawings.emoji_answers(other, nouns))
    }
    chosen = random.Random(f"{ITEM_SEED}/{emoji.key}").sample(sorted(others), 19)
    return {
        "id": emoji.key,
        "label": emoji.label,
        "answer": labels.emoji_label(emoji.label),
        "group": emoji.group,
        "keywords": drawings.emoji_answers(emoji, nouns),
        "withheld": labels.is_withheld(emoji.label),
        "distractors": chosen[:3],
        "distractors_20": chosen,
    }


def write_items(cache: Path) -> None:
    """Write the committed item list of E1."""
    library = Library(cache / "assets/packages")
    emoji = sorted(library.test.values(), key=lambda emoji: emoji.key)
    lines = [json.dumps(item(e, library.test, library.nouns), ensure_ascii=False) for e in emoji]
    ITEMS.parent.mkdir(exist_ok=True)
    ITEMS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.embedded.assets", description=__doc__)
    parser.add_argument("command", choices=("build", "items", "notice"))
    parser.add_argument("--cache", type=Path, help="default: where smolvlm keeps its files")
    parser.add_argument(
        "--licence",
        choices=("green", "all"),
        default="green",
        help="green: permissive sources only; all: share-alike and copyleft too",
    )
    options = parser.parse_args(arguments)
    cache = options.cache or cache_folder()
    commands: dict[str, Callable[[], object]] = {
        "build": lambda: build(cache, options.licence),
        "items": lambda: write_items(cache),
        "notice": lambda: NOTICE.write_text(sources.notice(), encoding="utf-8"),
    }
    return exit_code(commands[options.command])


if __name__ == "__main__":
    sys.exit(main())
