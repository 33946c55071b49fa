"""Finding the drawings in unpacked packages and giving each its row.

One function per kind of package; each yields `Drawing`s: a row (see `pack.Row`) and how to get its
pixels. Words are cleaned by `labels`, pictures are rendered here, files are written by `assets`.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import xml.sax.saxutils
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.embedded import labels
from recipes.embedded.pack import LONGEST_SIDE, Row, fit
from recipes.embedded.sources import BY_KEY
from recipes.embedded.wordnet import Nouns

SVG_SETS = ("noto", "noto-v1", "twemoji", "fluent-flat", "fluent-mono")
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' viewBox="0 0 {w} {h}" width="{w}" height="{h}">{body}</svg>'
)
STAMP_GROUPS = {
    "animals": "animals-nature",
    "plants": "animals-nature",
    "food": "food-drink",
    "vehicles": "travel-places",
    "town": "travel-places",
    "space": "travel-places",
    "hobbies": "activities",
    "sports": "activities",
    "household": "objects",
    "clothes": "objects",
    "seasonal": "objects",
    "medical": "objects",
    "military": "objects",
    "people": "people-body",
}
CLIPART_GROUPS = {
    "animals": "animals-nature",
    "plants": "animals-nature",
    "food": "food-drink",
    "buildings": "travel-places",
    "transportation": "travel-places",
    "geography/astronomy": "travel-places",
    "recreation": "activities",
    "tools": "objects",
    "office": "objects",
    "electronics": "objects",
    "education": "objects",
    "containers": "objects",
    "science": "objects",
    "people/clothing": "objects",
    "computer": "objects",
    "signs_and_symbols/clocks": "objects",
    "signs_and_symbols/money": "objects",
}
ICONS_SKIPPED = frozenset({"ram", "pig-face"})  # a memory chip, a monster
CLIPART_SKIPPED = re.compile(
    r"aiga|roadsigns|/cards|computer/(icons|buttons|folders|diagrams)|party/.*light_string|smilies"
    r"|animals/fantasy|chess|pantyhose|boating/knot|bullet_hole"
)


@dataclass(frozen=True)
class Drawing:
    """A row without its pixels, and where they are: SVG text, or a picture file."""

    row: Row
    svg: str | None = None
    path: Path | None = None

    def render(self) -> Image.Image:
        """The drawing as RGBA with its longest side at most `LONGEST_SIDE`.

        Raises `ValueError` when the file cannot be drawn.
        """
        if self.path is not None and self.path.suffix != ".svg":
            return _open(self.path)
        import resvg_py  # only needed to build, not to read a pack

        text = self.svg if self.path is None else self.path.read_text(errors="replace")
        png = bytes(resvg_py.svg_to_bytes(svg_string=text, width=LONGEST_SIDE))
        return fit(Image.open(io.BytesIO(png)))


def _open(path: Path) -> Image.Image:
    """A picture file as `fit` wants it; `ValueError` when it is broken or absurdly large."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                return fit(image)
        except (OSError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error


@dataclass(frozen=True)
class Emoji:
    """What the text packages know about one code point."""

    key: str
    label: str
    tags: tuple[str, ...]
    group: str
    category: str


def code_key(hexcode: str) -> str:
    """A code point sequence in one spelling: lower case, without the emoji variation selector."""
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def emoji_table(emojibase: Path) -> dict[str, Emoji]:
    """Base emoji by code key; skin tones, flags, symbols and components are left out."""
    folder = emojibase / "package"
    meta = json.loads((folder / "meta/groups.json").read_text())
    table: dict[str, Emoji] = {}
    for item in json.loads((folder / "en/data.json").read_text()):
        group = meta["groups"].get(str(item.get("group")), "")
        if group in labels.OBJECT_GROUPS + labels.PEOPLE_GROUPS:
            key = code_key(item["hexcode"])
            category = meta["subgroups"][str(item["subgroup"])]
            tags = tuple(item.get("tags", ()))
            table[key] = Emoji(key, item["label"], tags, group, category)
    return table


def emoji_row(emoji: Emoji, source: str, nouns: Nouns, split: str = "train") -> Row:
    """The row of one emoji drawing."""
    label = labels.emoji_label(emoji.label)
    return _row(
        id=f"{source}/{emoji.key}",
        label=label,
        answers=emoji_answers(emoji, nouns),
        sentence=labels.emoji_sentence(emoji.label),
        group=emoji.group,
        category=emoji.category,
        concept=emoji.key,
        source=source,
        split=split,
    )


@cache
def emoji_answers(emoji: Emoji, nouns: Nouns) -> list[str]:
    """Accepted names of an emoji; people and faces are not described by single nouns."""
    label = labels.emoji_label(emoji.label)
    if emoji.group in labels.PEOPLE_GROUPS:
        return [label]
    return labels.answers(label, emoji.tags, nouns, emoji.group)


def iconify(folder: Path, source: str, table: dict[str, Emoji], nouns: Nouns) -> Iterator[Drawing]:
    """Drawings of an Iconify emoji set, matched to code points by its own table or by label."""
    package = folder / "package"
    data = json.loads((package / "icons.json").read_text())
    codes = json.loads((package / "chars.json").read_text())
    by_name = {name: key for code, name in codes.items() if (key := code_key(code)) in table}
    by_slug = {_slug(emoji.label): emoji.key for emoji in table.values()}
    aliases: dict[str, list[str]] = {}
    for alias, target in data.get("aliases", {}).items():
        if set(target) == {"parent"}:
            aliases.setdefault(target["parent"], []).append(alias)
    seen: set[str] = set()
    for name, icon in data["icons"].items():
        names = [name, *aliases.get(name, ())]
        found = [by_name[n] for n in names if n in by_name] + [
            by_slug[n] for n in names if n in by_slug and n not in codes.values()
        ]
        if found and found[0] not in seen:
            seen.add(found[0])
            svg = _icon_svg(icon, data)
            yield Drawing(emoji_row(table[found[0]], source, nouns), svg=svg)


def fluent_3d(
    folder: Path, source: str, table: dict[str, Emoji], nouns: Nouns
) -> Iterator[Drawing]:
    """Drawings of the 3D set, whose file names are code points."""
    for path in sorted((folder / "package/assets").glob("*.webp")):
        if (key := code_key(path.stem)) in table:
            yield Drawing(emoji_row(table[key], source, nouns), path=path)


def openmoji_table(folder: Path, emojibase: dict[str, Emoji]) -> dict[str, Emoji]:
    """The object-like test emoji in OpenMoji's words, with the tags of both projects."""
    table: dict[str, Emoji] = {}
    for item in json.loads((folder / "package/data/openmoji.json").read_text()):
        if item["group"] in labels.OBJECT_GROUPS and not item["skintone"]:
            key = code_key(item["hexcode"])
            tags = re.split(r",\s*", f"{item['tags']}, {item['openmoji_tags']}")
            tags += emojibase[key].tags if key in emojibase else ()
            kept = tuple(dict.fromkeys(tag for tag in tags if tag))
            table[key] = Emoji(key, item["annotation"], kept, item["group"], item["subgroups"])
    return table


def openmoji(folder: Path, table: dict[str, Emoji], nouns: Nouns) -> Iterator[Drawing]:
    """The test drawings."""
    for path in sorted((folder / "package/color/svg").glob("*.svg")):
        if (key := code_key(path.stem)) in table:
            yield Drawing(emoji_row(table[key], "openmoji", nouns, split="test"), path=path)


def tuxpaint(folder: Path, nouns: Nouns) -> Iterator[Drawing]:
    """Tux Paint stamps: the first line of NAME.txt is an English sentence."""
    root = folder / "usr/share/tuxpaint/stamps"
    for text in sorted(root.rglob("*.txt")):
        place = text.relative_to(root).with_suffix("")
        picture = next((p for s in (".png", ".svg") if (p := text.with_suffix(s)).exists()), None)
        group = STAMP_GROUPS.get(place.parts[0])
        lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
        if (
            picture is None
            or group is None
            or not lines
            or {"flags", "roadsigns"} & set(place.parts)
        ):
            continue
        label, sentence = labels.stamp_text(lines[0], place.name, nouns)
        if label or sentence:
            yield Drawing(
                _row(
                    id=f"tuxpaint/{place.as_posix()}",
                    label=label,
                    answers=labels.answers(label, (), nouns, group) if label else [],
                    sentence=sentence,
                    group=group,
                    category=place.parent.as_posix(),
                    concept=labels.head_noun(label or place.name, nouns),
                    source="tuxpaint",
                ),
                path=picture,
            )


def openclipart(folder: Path, texts: Path, nouns: Nouns) -> Iterator[Drawing]:
    """Open Clip Art: pixels from the PNG package, words from the RDF of the SVG package."""
    root = folder / "usr/share/openclipart/png"
    svgs = texts / "usr/share/openclipart/svg"
    for picture in sorted(root.rglob("*.png")):
        place = picture.relative_to(root).with_suffix("")
        group = _clipart_group(place.as_posix())
        if picture.is_symlink() or group is None:
            continue
        rdf = _read_rdf((svgs / place).with_suffix(".svg"))
        hints = [*rdf["keywords"], *place.parts[:-1]]
        label = labels.clipart_label(rdf["title"], place.name, hints, rdf["authors"], nouns)
        if label:
            yield Drawing(
                _row(
                    id=f"openclipart/{place.as_posix()}",
                    label=label,
                    answers=labels.answers(label, rdf["keywords"], nouns, group),
                    sentence=None,
                    group=group,
                    category=place.parent.as_posix(),
                    concept=labels.head_noun(label, nouns),
                    source="openclipart",
                ),
                path=picture,
            )


def named_icons(folder: Path, source: str, known: dict[str, Row]) -> Iterator[Drawing]:
    """One-colour icons whose whole name is the label of a drawing of another source."""
    data = json.loads((folder / "package/icons.json").read_text())
    for name, icon in data["icons"].items():
        twin = known.get(name.replace("-", " "))
        if twin is None or name in ICONS_SKIPPED:
            continue
        row = _row(
            id=f"{source}/{name}",
            label=twin["label"],
            answers=twin["answers"],
            sentence=None,
            group=twin["group"],
            category="icon",
            concept=twin["concept"],
            source=source,
        )
        yield Drawing(row, svg=_icon_svg(icon, data))


def _icon_svg(icon: dict[str, Any], data: dict[str, Any]) -> str:
    """The SVG file of one icon of an Iconify set; its size defaults to that of the set."""
    width, height = (icon.get(side, data.get(side, 16)) for side in ("width", "height"))
    return _SVG.format(w=width, h=height, body=icon["body"])


def _clipart_group(place: str) -> str | None:
    """The group of an Open Clip Art path, None for folders of symbols, icons and people."""
    if CLIPART_SKIPPED.search(place):
        return None
    return next((g for part, g in CLIPART_GROUPS.items() if place.startswith(part + "/")), None)


def _read_rdf(path: Path) -> dict[str, Any]:
    """Title, keywords and authors in the metadata of one SVG file."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    agents = "".join(re.findall(r"<(?:cc:)?Agent.*?</(?:cc:)?Agent>", text, re.DOTALL))
    rest = re.sub(r"<(?:cc:)?Agent.*?</(?:cc:)?Agent>", "", text, flags=re.DOTALL)
    titles = re.findall(r"<dc:title[^>]*>(.*?)</dc:title>", rest, re.DOTALL)
    keywords = re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", rest)
    return {
        "title": xml.sax.saxutils.unescape(titles[0]).strip() if titles else "",
        "keywords": [k for k in keywords if k and "hash" not in k],
        "authors": re.findall(r"<dc:title[^>]*>(.*?)</dc:title>", agents, re.DOTALL),
    }


def _row(**fields: Any) -> Row:
    """A row with its licence looked up from the sources table."""
    source = BY_KEY[fields["source"]]
    defaults = {"licence": source.licence, "licence_class": source.licence_class, "split": "train"}
    return Row(**{**defaults, **fields})  # type: ignore[typeddict-item]


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(f"[{labels.CURLY}']", "", label.lower())).strip("-")
