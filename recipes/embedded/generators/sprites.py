"""The drawings of a pack as nouns: which may be named, counted, denied or called a photograph.

A `Noun` gathers the drawings that carry one label. Lists are made once per pack and split. Withheld
concepts never become nouns, in either split, even where a pack should hold them (the zero-shot set
E1d asks for them elsewhere). The word lists behind the rules are in `sprite_words`; English plurals
in `english`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recipes.embedded import assets
from recipes.embedded.generators import english
from recipes.embedded.generators import sprite_words as lists
from recipes.embedded.labels import OBJECT_GROUPS, Withheld
from recipes.embedded.materials import Drawings, Split
from recipes.embedded.pack import Row
from recipes.embedded.vocabulary import SPLITTERS

EMOJI = frozenset(
    {"noto", "noto-v1", "twemoji", "fluent-flat", "fluent-3d", "fluent-mono", "openmoji"}
)
ONE_COLOUR = frozenset({"fluent-mono", "game-icons"})  # sources that draw in black only
SMALL_SIDE = 200  # pixels; the size in which drawings are kept for scenes of several things


@dataclass(frozen=True)
class Noun:
    """A name and its drawings.

    rows: indices in the pack. accepted: every name its drawings answer to. countable: one plain
    thing per drawing, with a plural. kind: "animal", "food", ... or None. category: what near
    misses share.
    """

    name: str
    group: str
    category: str
    kind: str | None
    rows: tuple[int, ...]
    accepted: frozenset[str]
    countable: bool


class Sprites:
    """The nouns of one split of a pack, and those of each use."""

    def __init__(self, drawings: Drawings, split: Split) -> None:
        self.drawings = drawings
        allowed = withheld()
        rows: dict[str, list[int]] = {}
        self.described: list[int] = []  # drawings with a sentence of their own
        for index in drawings.indices(split):
            row = drawings.row(index)
            if allowed.mentions(row["label"], row["sentence"], *row["answers"]):
                continue
            if row["sentence"] and row["group"] in OBJECT_GROUPS and not _is_wrong(row):
                self.described.append(index)
            if row["label"] and not _is_wrong(row):
                rows.setdefault(row["label"], []).append(index)
        self.nouns = [self._noun(name, found) for name, found in sorted(rows.items())]
        self.things = [noun for noun in self.nouns if noun.group in OBJECT_GROUPS]
        self.people = [noun for noun in self.nouns if noun.group not in OBJECT_GROUPS]
        self.countable = [noun for noun in self.things if noun.countable]
        self.of_kind: dict[str, list[Noun]] = {}
        for noun in self.things:
            if noun.kind:
                self.of_kind.setdefault(noun.kind, []).append(noun)
        self.rich = {  # kinds with enough different things for "four of a kind"
            kind: countable
            for kind, nouns in self.of_kind.items()
            if _varied(countable := [noun for noun in nouns if noun.countable])
        }
        shown = [index for noun in self.nouns for index in noun.rows]
        self.photos = [i for i in shown if is_photo(drawings.row(i))]
        self.photo_set = frozenset(self.photos)
        self.drawn = [i for i in shown if drawings.row(i)["source"] != "tuxpaint"]

    def _noun(self, name: str, indices: Sequence[int]) -> Noun:
        rows = [self.drawings.row(i) for i in indices]
        emoji = [row for row in rows if row["source"] in EMOJI]
        first = (emoji or rows)[0]
        accepted = {answer.lower() for row in rows for answer in row["answers"]}
        kind = lists.KINDS.get(first["category"]) if emoji else None
        return Noun(
            name=name,
            group=first["group"],
            category=first["category"] if emoji else first["group"],
            kind=None if name in lists.NOT_OF_KIND else kind,
            rows=tuple(indices),
            accepted=frozenset(accepted | {name.lower()}),
            countable=_is_countable(name, first, alone=len(indices) < 2),
        )

    def pair(self, rng: random.Random, nouns: Sequence[Noun], *, near: bool) -> tuple[Noun, Noun]:
        """Two nouns neither of which is true of the other; `near` takes both of one category.

        The pair is exchangeable: (a, b) is as likely as (b, a), which balances yes and no for each
        noun.
        """
        for wanted in (near, not near):
            for _ in range(400):
                one, other = rng.choice(nouns), rng.choice(nouns)
                alike = one.category == other.category
                if one is not other and alike == wanted and apart(one, other):
                    return one, other
        raise ValueError("these drawings have no two nouns that cannot be mistaken")

    def several(self, rng: random.Random, count: int, nouns: Sequence[Noun]) -> list[Noun]:
        """`count` nouns none of which is true of another."""
        for _ in range(50):  # a greedy choice may run into a corner
            chosen: list[Noun] = []
            for noun in rng.sample(nouns, min(len(nouns), 40)):
                if all(apart(noun, other) for other in chosen):
                    chosen.append(noun)
                if len(chosen) >= count:
                    return chosen[:count]
        raise ValueError(f"these drawings have no {count} nouns that cannot be mistaken")


def _varied(nouns: Sequence[Noun]) -> bool:
    """True when at least eight of the nouns cannot be mistaken for each other."""
    kept: list[Noun] = []
    for noun in nouns:
        if all(apart(noun, other) for other in kept):
            kept.append(noun)
    return len(kept) >= 8


@lru_cache(maxsize=8)
def _sprites(drawings: Hashable, split: Split) -> Sprites:
    return Sprites(cast(Drawings, drawings), split)


def sprites(drawings: Drawings, split: Split) -> Sprites:
    """The nouns of a pack; made once for each pack (by identity) and split."""
    return _sprites(cast(Hashable, drawings), split)


@lru_cache(maxsize=1)
def withheld() -> Withheld:
    """The concepts that no training set may hold (data-sources.md, E1d)."""
    lines = assets.ITEMS.read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    return Withheld(item["label"] for item in items if item["withheld"])


def apart(one: Noun, other: Noun) -> bool:
    """True when no drawing of one could be called by the name of the other."""
    names = one.name.lower(), other.name.lower()
    if names[0] == names[1] or names[0] in other.accepted or names[1] in one.accepted:
        return False
    words = names[0].split(), names[1].split()
    if set(words[0]) & set(words[1]):  # "horse", "horse face"; "red apple", "green apple"
        return False
    return not any(names[0] in alike and names[1] in alike for alike in lists.LOOKALIKES)


def is_photo(row: Row) -> bool:
    """True for the cut-out photographs among the Tux Paint stamps."""
    place = row["id"].partition("/")[2]
    folder, _, name = place.rpartition("/")
    return (
        row["source"] == "tuxpaint"
        and "cartoon" not in place
        and folder.startswith(lists.PHOTO_FOLDERS)
        and name not in lists.NOT_PHOTOS
    )


def _is_wrong(row: Row) -> bool:
    return row["label"] in lists.MISNAMED or row["id"] in lists.MISDRAWN


def _is_countable(name: str, row: Row, *, alone: bool) -> bool:
    words = name.lower().split()
    return not (
        (alone and row["source"] != "openmoji")
        or row["group"] not in OBJECT_GROUPS
        or row["category"] in lists.UNCOUNTED_CATEGORIES
        or name in lists.UNCOUNTED
        or len(words) > 2
        or words[-1] in ("face", "head")
        or not SPLITTERS.isdisjoint(words)
        or "and" in words
        or name[0].isupper()
        or english.is_plural(name)
    )


def small(drawings: Drawings, index: int) -> Image.Image:
    """Drawing `index` cut to what is opaque, RGBA, at most `SMALL_SIDE` pixels.

    Kept for a while and shared: do not change it.
    """
    return _small(cast(Hashable, drawings), index)


@lru_cache(maxsize=600)
def _small(drawings: Hashable, index: int) -> Image.Image:
    image = cut(cast(Drawings, drawings).image(index))
    image.thumbnail((SMALL_SIDE, SMALL_SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
    return image


def edge(drawings: Drawings, index: int) -> NDArray[np.int32]:
    """Colours of the outermost opaque pixels of drawing `index`, int32 (K, 3)."""
    return _edge(cast(Hashable, drawings), index)


@lru_cache(maxsize=20000)
def _edge(drawings: Hashable, index: int) -> NDArray[np.int32]:
    picture = small(cast(Drawings, drawings), index).copy()
    picture.thumbnail((48, 48), Image.Resampling.BOX)
    pixels = np.asarray(picture).astype(np.int32)  # (H, W, 4)
    opaque = np.pad(pixels[..., 3] > 128, 1)  # (H+2, W+2)
    inner = opaque[:-2, 1:-1] & opaque[2:, 1:-1] & opaque[1:-1, :-2] & opaque[1:-1, 2:]  # (H, W)
    return pixels[opaque[1:-1, 1:-1] & ~inner][:, :3]  # (K, 3)


def cut(image: Image.Image) -> Image.Image:
    """An RGBA drawing without its transparent margin."""
    box = image.getchannel("A").point(lambda v: 255 * (v > 24)).getbbox()
    return image.crop(box) if box else image
