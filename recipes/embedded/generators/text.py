"""Pictures of text: words, lines, paragraphs, signs, lists and handwriting-like notes.

Row 1 of the mixture. Answers are verbatim what was drawn (a face that shows only capitals gets the
text in capitals, and so does the answer); lines are parted by line breaks. Setting the text is left
to `lettering`, wordings to `wordings`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from recipes.embedded.generators import canvas, lettering
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.lettering import Style
from recipes.embedded.generators.questions import Generator, Turn, sample, yes_no
from recipes.embedded.generators.wordings import ORDINALS, ask
from recipes.embedded.materials import Font, Materials, Split
from smolvlm.types import Sample

SIZES = ((448, 448), (448, 448), (448, 336), (336, 448), (448, 288))  # (width, height)
LONGEST_LINE = 40  # characters
MARGIN = 14  # pixels
SMALLEST = 15  # pixels per em
SIGNS = (
    "EXIT", "NO ENTRY", "NO PARKING", "KEEP LEFT", "KEEP RIGHT", "ONE WAY", "PUSH", "PULL", "OPEN",
    "CLOSED", "DANGER", "CAUTION", "WET FLOOR", "PRIVATE", "STAFF ONLY", "TICKETS", "PLATFORM {n}",
    "GATE {n}", "ROOM {n}", "EXIT {n}", "SPEED LIMIT {n}", "{w} STREET", "{w} AVENUE", "{w} CAFE",
    "{w} BAKERY", "{w} HOTEL", "{w} BOOKS", "{w} SCHOOL", "THE {w} INN", "{w} MARKET", "{w} {n} KM",
    "FOR SALE", "FOR RENT", "SALE {n}% OFF", "PLEASE KNOCK", "NO SMOKING", "MIND THE STEP",
    "FIRE DOOR\nKEEP SHUT", "PLEASE WAIT\nHERE", "CAR PARK\nFULL", "DO NOT\nTOUCH",
    "OPEN DAILY\n{n}:00 - 20:00", "{w}\nTOWN HALL", "WELCOME TO\n{w}",
)  # fmt: skip
BOARDS = ((0, 70, 140), (0, 95, 55), (150, 20, 25), (20, 20, 20), (240, 200, 20), (250, 250, 250),
          (90, 55, 30), (225, 110, 0))  # fmt: skip
TITLES = ("Shopping", "To do", "Packing list", "Today", "Ideas", "Things to buy", "For the party",
          "Homework", "Books to read", "In the box", "Notes", "Garden", "Kitchen")  # fmt: skip


def word(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """One word, number or code."""
    rng = random.Random(f"word/{seed}")
    text = _token(materials, rng, split)
    picture, text = _printed(materials, rng, [text], split, largest=96)
    turns = [Turn(ask(rng, "read word" if text.isalpha() else "read"), text)]
    if text.isalpha() and rng.random() < 0.3:
        turns.append(_presence(materials, rng, text, split))
    return sample("word", seed, [picture], turns)


def line(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A line of 12 to `LONGEST_LINE` characters."""
    rng = random.Random(f"line/{seed}")
    text = phrase(materials, rng, rng.randint(12, LONGEST_LINE), split)
    picture, text = _printed(materials, rng, [text], split, largest=56)
    return sample("line", seed, [picture], _about_lines(materials, rng, [text], split))


def paragraph(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """Two to five lines, about 120 characters at most."""
    rng = random.Random(f"paragraph/{seed}")
    lines = _short_lines(materials, rng, rng.randint(2, 5), split)
    picture, text = _printed(materials, rng, lines, split, largest=44)
    turns = _about_lines(materials, rng, text.split("\n"), split)
    return sample("paragraph", seed, [picture], turns)


def sign(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A board with one to three lines in capitals, by itself or before a photograph."""
    rng = random.Random(f"sign/{seed}")
    name = rng.choice([w for w in materials.words(split) if len(w) <= 9]).upper()
    lines = rng.choice(SIGNS).format(n=rng.randint(1, 99), w=name).split("\n")
    if len(lines) == 1 and lines[0].count(" ") == 1 and rng.random() < 0.4:
        lines = lines[0].split(" ")
    picture = _sign(materials, rng, lines, split)
    turns = _about_lines(materials, rng, lines, split)
    return sample("sign", seed, [picture], turns)


def handwriting(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """One to three lines in a handwriting face with the unsteadiness of a hand."""
    rng = random.Random(f"handwriting/{seed}")
    count = rng.choice((1, 1, 2, 3))
    if count == 1 and rng.random() < 0.4:
        lines = [_token(materials, rng, split)]
    else:
        lines = _short_lines(materials, rng, count, split)
    font = lettering.choose_font(
        materials, rng, "".join(lines), categories=("handwriting",), split=split, caps=True
    )
    lines = [lettering.shown(font, text) for text in lines]
    width, height = rng.choice(SIZES)
    style = _fitting(materials, rng, font, lines, (width, height), largest=76)
    mask = lettering.written(materials, style, lines, rng)
    sheet = _ruled(rng, width, height, lettering.line_height(materials, style))
    ink = rng.choice(((20, 20, 30), (10, 30, 110), (30, 30, 30), (120, 15, 20), (0, 60, 40)))
    picture = _placed(sheet, mask, ink, rng)
    turns = _about_lines(materials, rng, lines, split)
    return sample("handwriting", seed, [canvas.finish(picture, rng)], turns)


def bullet_list(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A title over three to seven short items."""
    rng = random.Random(f"bullet_list/{seed}")
    title = rng.choice(TITLES)
    words = [w for w in materials.words(split) if len(w) <= 10]
    items: list[str] = []
    while len(items) < rng.randint(3, 7) and len(items) < len(words):
        item = rng.choice(words)
        if item not in items:
            items.append(item)
    marks = rng.choice((["- "] * 9, ["* "] * 9, [f"{n}. " for n in range(1, 10)], [""] * 9))
    lines = [title, *(f"{mark}{item}" for mark, item in zip(marks, items, strict=False))]
    categories = rng.choice((lettering.PLAIN, lettering.PLAIN, ("handwriting",)))
    picture, _ = _printed(
        materials, rng, lines, split, largest=40, categories=categories, caps=False
    )
    turns = _about_list(rng, title, items, [w for w in words if w not in items])
    return sample("bullet_list", seed, [picture], turns)


def phrase(materials: Materials, rng: random.Random, longest: int, split: Split) -> str:
    """Whole words of a sentence or definition, at most `longest` characters."""
    source = materials.glosses(split) if rng.random() < 0.25 else materials.sentences(split)
    words = rng.choice(source).split(" ")
    start = rng.randrange(max(1, len(words) - 3))
    taken = words[start]
    for following in words[start + 1 :]:
        if len(taken) + 1 + len(following) > longest:
            break
        taken = f"{taken} {following}"
    return taken[:longest]


def _token(materials: Materials, rng: random.Random, split: Split) -> str:
    """Usually a word in some case; else a number, price, date, time or code."""
    if rng.random() < 0.75:
        plain = rng.choice(materials.words(split))
        return rng.choice((plain, plain, plain.title(), plain.upper()))
    number = rng.randint(0, 10 ** rng.randint(1, 6))
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(rng.randint(2, 4)))
    return rng.choice(
        (
            f"{number}", f"{number:,}", f"${rng.randint(1, 999)}.{rng.randint(0, 99):02}",
            f"{rng.randint(1, 31)}/{rng.randint(1, 12)}/{rng.randint(1990, 2029)}",
            f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
            f"{letters}-{rng.randint(10, 9999)}",
            f"{rng.randint(1, 100)}%", f"{letters}{rng.randint(1, 99)}",
        )
    )  # fmt: skip


def _short_lines(materials: Materials, rng: random.Random, count: int, split: Split) -> list[str]:
    """A sentence cut into up to `count` lines of whole words, as a narrow column would."""
    longest = rng.randint(12, 28)
    words = rng.choice(materials.sentences(split)).split(" ")
    lines: list[str] = []
    for following in words:
        longer = f"{lines[-1]} {following}" if lines else following
        if lines and len(longer) <= longest:
            lines[-1] = longer
        elif len(lines) < count:
            lines.append(following)
        else:
            break
    return lines


def _printed(
    materials: Materials,
    rng: random.Random,
    lines: Sequence[str],
    split: Split,
    *,
    largest: int,
    categories: Sequence[str] = lettering.PRINTED,
    caps: bool = True,
) -> tuple[Image.Image, str]:
    """A picture of printed lines, and the text as it looks there."""
    font = lettering.choose_font(
        materials, rng, "".join(lines), categories=categories, split=split, caps=caps
    )
    lines = [lettering.shown(font, text) for text in lines]
    width, height = rng.choice(SIZES)
    style = _fitting(materials, rng, font, lines, (width, height), largest=largest)
    mask = lettering.block(materials, style, lines)
    mask = lettering.turned(mask, rng.uniform(-6, 6) if rng.random() < 0.25 else 0)
    colour = lettering.paper_colour(rng)
    ink = lettering.ink_on(rng, colour)
    sheet = _background(materials, rng, (width, height), colour, split)
    return canvas.finish(_placed(sheet, mask, ink, rng), rng), "\n".join(lines)


def _fitting(
    materials: Materials,
    rng: random.Random,
    font: Font,
    lines: Sequence[str],
    size: tuple[int, int],
    *,
    largest: int,
) -> Style:
    """A random style in which the lines fit into a picture, even when turned a little."""
    align, spacing = rng.choice(("left", "left", "center", "right")), rng.uniform(1.0, 1.35)
    room = (size[0] - 2 * MARGIN, size[1] - 2 * MARGIN)
    em = largest
    while em > SMALLEST:
        style = Style(font, em, spacing, align)
        widest = max(lettering.width_of(materials, style, text) for text in lines)
        tallest = lettering.line_height(materials, style) * len(lines)
        if widest * 1.15 <= room[0] and tallest + 0.1 * widest <= room[1]:
            break
        em -= max(1, em // 12)
    return Style(font, max(SMALLEST, round(em * rng.uniform(0.5, 1.0))), spacing, align)


def _background(
    materials: Materials,
    rng: random.Random,
    size: tuple[int, int],
    colour: RGB,
    split: Split,
) -> Image.Image:
    """Paper, or a photograph under a veil of the paper's colour that keeps the contrast."""
    if rng.random() < 0.18:
        photo = canvas.photo_part(materials, rng, *size, split)
        if photo is not None:
            return Image.blend(photo, Image.new("RGB", size, colour), rng.uniform(0.72, 0.88))
    return lettering.paper(rng, *size, colour)


def _placed(sheet: Image.Image, mask: Image.Image, ink: RGB, rng: random.Random) -> Image.Image:
    """The text somewhere on the sheet; a mask that is still too large is made smaller."""
    room = (sheet.width - MARGIN, sheet.height - MARGIN)
    if mask.width > room[0] or mask.height > room[1]:
        mask = mask.copy()
        mask.thumbnail(room, Image.Resampling.LANCZOS)
    spare = (sheet.width - mask.width, sheet.height - mask.height)
    middle = rng.random() < 0.5
    place = tuple(
        s // 2 if middle else rng.randint(MARGIN // 2, max(MARGIN // 2, s - MARGIN // 2))
        for s in spare
    )
    lettering.inked(sheet, mask, (place[0], place[1]), ink)
    return sheet


def _ruled(rng: random.Random, width: int, height: int, gap: int) -> Image.Image:
    """A sheet of writing paper: plain, ruled or squared."""
    sheet = lettering.paper(
        rng, width, height, rng.choice(((255, 255, 255), (252, 250, 240), (255, 248, 220)))
    )
    kind = rng.choice(("plain", "plain", "ruled", "squared"))
    draw, colour = ImageDraw.Draw(sheet), rng.choice(((190, 205, 230), (215, 215, 215)))
    step = gap if kind == "ruled" else 22
    if kind != "plain":
        for y in range(step, height, step):
            draw.line((0, y, width, y), colour)
    if kind == "squared":
        for x in range(step, width, step):
            draw.line((x, 0, x, height), colour)
    return sheet


def _sign(
    materials: Materials, rng: random.Random, lines: Sequence[str], split: Split
) -> Image.Image:
    width, height = rng.choice(SIZES)
    categories = ("sans-serif", "sans-serif", "display", "serif")
    font = lettering.choose_font(
        materials, rng, "".join(lines), categories=(rng.choice(categories),), split=split, caps=True
    )
    board = (round(width * rng.uniform(0.6, 0.92)), round(height * rng.uniform(0.4, 0.85)))
    style = _fitting(materials, rng, font, lines, board, largest=88)
    style = Style(font, style.size, style.spacing, "center")
    mask = lettering.block(materials, style, lines)
    if mask.width > board[0] - 20 or mask.height > board[1] - 20:
        mask.thumbnail((board[0] - 20, board[1] - 20), Image.Resampling.LANCZOS)
    photo = canvas.photo_part(materials, rng, width, height, split) if rng.random() < 0.6 else None
    picture = photo or lettering.paper(rng, width, height, lettering.paper_colour(rng))
    colour = rng.choice(BOARDS)
    ink = lettering.ink_on(rng, colour)
    left, top = (width - board[0]) // 2, (height - board[1]) // 2
    draw = ImageDraw.Draw(picture)
    box = (left, top, left + board[0], top + board[1])
    draw.rounded_rectangle(box, rng.choice((0, 8, 20)), colour, ink, rng.choice((0, 3, 6)))
    place = ((width - mask.width) // 2, (height - mask.height) // 2)
    lettering.inked(picture, mask, place, ink)
    return canvas.finish(picture, rng)


def _about_lines(
    materials: Materials, rng: random.Random, lines: Sequence[str], split: Split
) -> list[Turn]:
    """Reading first, then up to two questions about places and words."""
    text = "\n".join(lines)
    words = [w for w in re.findall(r"[A-Za-z]+", text) if len(w) >= 4]
    turns = [Turn(ask(rng, "read lines" if len(lines) > 1 else "read"), text)]
    extra: list[Turn] = []
    if len(lines) > 1:
        number = rng.randrange(len(lines))
        extra.append(Turn(ask(rng, "read line", ORDINALS[number]), lines[number]))
        extra.append(Turn(ask(rng, "count lines"), str(len(lines))))
    if words:
        chosen = rng.choice(words)
        extra.append(_presence(materials, rng, text, split))
        holding = [n for n, row in enumerate(lines, 1) if chosen in re.findall("[A-Za-z]+", row)]
        if len(lines) > 1 and len(holding) == 1:
            extra.append(Turn(ask(rng, "line of", chosen), str(holding[0])))
    if len(text.split()) > 2:
        edge = rng.choice(("first", "last"))
        extra.append(Turn(ask(rng, "edge word", edge), text.split()[0 if edge == "first" else -1]))
    rng.shuffle(extra)
    return turns + extra[: rng.choice((0, 1, 1, 2))]


def _presence(materials: Materials, rng: random.Random, text: str, split: Split) -> Turn:
    """Whether a word is there: as often one that is as one that is not."""
    here = [w for w in re.findall(r"[A-Za-z]+", text) if len(w) >= 4] or [text]
    asked = rng.choice(here)
    truth = rng.random() < 0.5
    if not truth:
        written = {w.lower() for w in re.findall(r"[A-Za-z]+", text)}
        like = [w for w in rng.sample(materials.words(split), 6) if w.lower() not in written]
        asked = like[0].upper() if asked.isupper() else like[0]
    return Turn(ask(rng, "has word", asked), yes_no(truth))


def _about_list(
    rng: random.Random, title: str, items: Sequence[str], others: Sequence[str]
) -> list[Turn]:
    number, truth = rng.randrange(len(items)), rng.random() < 0.5
    asked = rng.choice(items) if truth else rng.choice(others)
    turns = [
        Turn(ask(rng, "list item", ORDINALS[number]), items[number]),
        Turn(ask(rng, "list count"), str(len(items))),
        Turn(ask(rng, "list has", asked), yes_no(truth)),
        Turn(ask(rng, "list title"), title),
    ]
    if number + 1 < len(items):
        turns.append(Turn(ask(rng, "after", items[number]), items[number + 1]))
    rng.shuffle(turns)
    return turns[: rng.randint(1, 4)]


GENERATORS: Mapping[str, Generator] = {
    "word": word,
    "line": line,
    "paragraph": paragraph,
    "sign": sign,
    "handwriting": handwriting,
    "bullet_list": bullet_list,
}
