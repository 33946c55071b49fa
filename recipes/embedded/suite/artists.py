"""E1d: things that were withheld from every training source, drawn by five artists.

The first artist was never trained on; the others drew thousands of training pictures, but none of
these things. Their drawings are in no pack, so they are rendered from the packages here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from recipes.embedded import drawings, sources
from recipes.embedded.assets import ITEMS as LISTED
from recipes.embedded.drawings import Drawing
from recipes.embedded.materials import Materials
from recipes.embedded.pack import is_usable
from recipes.embedded.suite.named import Named, on_white, places
from recipes.embedded.suite.rows import Row
from recipes.embedded.wordnet import Nouns
from smolvlm.errors import InputError
from smolvlm.types import ImagePart, Message, TextPart
from smolvlm.weights.cache import cache_folder

ARTISTS = ("openmoji", "noto", "twemoji", "fluent-flat", "fluent-3d")


@dataclass(frozen=True)
class Artists:
    """The plan: every withheld thing by every artist who drew it. folder: of the packages."""

    folder: Path | None = None

    def rows(self, materials: Materials, name: str) -> list[Row]:
        """The item list of task `name`; the artists take turns."""
        things = Named("distractors", wanted=lambda item: bool(item["withheld"]))
        found = things.rows(materials, name)
        drawn = {artist: withheld(artist, self._folder()) for artist in ARTISTS[1:]}
        return [
            _by(artist, row)
            for row in found
            for artist in ARTISTS
            if artist == ARTISTS[0] or _code(row) in drawn[artist]
        ]

    def message(self, row: Row, materials: Materials) -> Message:
        """The user's turn of an item; `InputError` when the artist's package lacks the drawing."""
        artist = row["drawing"].partition("/")[0]
        if artist == ARTISTS[0]:
            drawing = materials.drawings.image(places(materials)[row["drawing"]])
        else:
            known = withheld(artist, self._folder())
            if _code(row) not in known:
                raise InputError(f"{row['id']}: {artist} has no such drawing; write the lists anew")
            drawing = known[_code(row)].render()
        return Message("user", (ImagePart(on_white(drawing)), TextPart(row["question"])))

    def _folder(self) -> Path:
        return self.folder or cache_folder("assets", "packages")


def _code(row: Row) -> str:
    return row["drawing"].partition("/")[2]


def _by(artist: str, row: Row) -> Row:
    """The same question about another artist's drawing."""
    task = row["id"].partition("/")[0]
    place = f"{artist}/{_code(row)}"
    meta = {**row["meta"], "artist": artist}
    return {**row, "id": f"{task}/{place}", "drawing": place, "meta": meta}


@lru_cache(maxsize=8)
def withheld(artist: str, root: Path) -> dict[str, Drawing]:
    """An artist's drawings of withheld things by code points; unusable ones are left out."""
    packages = {
        key: sources.fetch(sources.BY_KEY[key], root) for key in (artist, "emojibase", "wordnet")
    }
    lines = map(json.loads, LISTED.read_text(encoding="utf-8").splitlines())
    codes = {line["id"] for line in lines if line["withheld"]}
    table = drawings.emoji_table(packages["emojibase"])
    nouns = Nouns(packages["wordnet"] / "usr/share/wordnet")
    read = drawings.fluent_3d if artist == "fluent-3d" else drawings.iconify
    wanted = {code: emoji for code, emoji in table.items() if code in codes}
    found = read(packages[artist], artist, wanted, nouns)
    return {drawing.row["concept"]: drawing for drawing in found if is_usable(drawing.render())}
