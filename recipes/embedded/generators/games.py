"""Mixture row 11, games: dice, dominoes and playing cards, drawn here.

The cards of package `arcade` stay unseen, since the counting test uses them. Each function returns
the picture, what is on it (so that a test can add up again) and the turns.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PIL import Image, ImageDraw, ImageFont

from recipes.embedded.generators import canvas, colours, english
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.instruments import LARGE, Drawn
from recipes.embedded.generators.outlines import outline
from recipes.embedded.generators.questions import Generator, Turn, ask, sample
from recipes.embedded.materials import Materials
from smolvlm.types import Sample

RANKS = (
    "ace",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "jack",
    "queen",
    "king",
)
LETTERS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")
SUITS = ("hearts", "diamonds", "clubs", "spades")
CARD = (300, 420)  # pixels
# pip places in a unit square for each number; a domino half uses the same
PIPS: dict[int, tuple[tuple[float, float], ...]] = {
    0: (),
    1: ((0.5, 0.5),),
    2: ((0.25, 0.25), (0.75, 0.75)),
    3: ((0.25, 0.25), (0.5, 0.5), (0.75, 0.75)),
    4: ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)),
    5: ((0.25, 0.25), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.75, 0.75)),
    6: ((0.25, 0.22), (0.25, 0.5), (0.25, 0.78), (0.75, 0.22), (0.75, 0.5), (0.75, 0.78)),
}
_DIE = (
    "What number does the die show?", "How many dots are on the die?", "Which number was rolled?",
    "Read the die.", "What does the die show?",
)  # fmt: skip
_DICE_SUM = (
    "What is the sum of the dice?", "How many dots are there altogether?", "Add up the dice.",
    "What do the dice add up to?", "What is the total of the dice?",
)  # fmt: skip
_DOMINO = (
    "Which domino is this?", "What are the two numbers on the domino?", "Read the domino.",
    "How many dots are on each half of the domino?", "Which numbers does the domino show?",
)  # fmt: skip
_CARD = (
    "Which card is this?",
    "What playing card is shown?",
    "Name the card.",
    "Read the playing card.",
    "What card do you see?",
)
_SUIT = (
    "What suit is the card?", "Which suit does the card have?", "Name the suit.",
    "The card belongs to which suit?", "What is the suit of this card?",
)  # fmt: skip


def _tile(rng: random.Random, number: int, size: int, paper: RGB, ink: RGB) -> Image.Image:
    """A square with pips, RGBA."""
    tile = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(tile)
    pen.rounded_rectangle((0, 0, size - 1, size - 1), size * 0.12, paper, ink, max(2, size // 50))
    radius = size * 0.085
    quarter = rng.random() < 0.5
    for x, y in PIPS[number]:
        at = (y, x) if quarter else (x, y)
        box = [size * c + r for r in (-radius, radius) for c in at]
        pen.ellipse(box, ink)
    return tile


def _paper_and_ink(rng: random.Random) -> tuple[RGB, RGB]:
    if rng.random() < 0.6:
        return (250, 250, 246), (20, 20, 20)
    paper = colours.sample(rng.choice(("red", "blue", "green", "purple", "black", "brown")), rng)
    return paper, (250, 250, 250)


def dice(rng: random.Random, materials: Materials) -> Drawn:
    """One to three dice: the number of one, or the sum of all."""
    numbers = [rng.randint(1, 6) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    paper, ink = _paper_and_ink(rng)
    back = canvas.backdrop(rng, avoid=[paper])
    picture = canvas.paint_backdrop(back, canvas.SIDE, canvas.SIDE, materials)
    sizes = [(side, side) for side in [rng.randint(110, 180)] * len(numbers)]
    for number, box in zip(numbers, canvas.place(rng, sizes, *picture.size), strict=True):
        tile = _tile(rng, number, box.width * 2, paper, ink)
        if rng.random() < 0.5:  # turned in place; the corners stay inside the box
            turned = tile.rotate(rng.uniform(-40, 40), Image.Resampling.BILINEAR, expand=True)
            tile = turned
        canvas.paste(picture, tile, canvas.Thing("die", box))
    question = rng.choice(_DIE if len(numbers) == 1 else _DICE_SUM)
    turns = [Turn(question, str(sum(numbers)))]
    if len(numbers) > 1 and rng.random() < 0.4:
        turns.insert(0, Turn(ask(rng, "count", "dice"), str(len(numbers))))
    return canvas.finish(picture, rng), {"numbers": numbers}, turns


def domino(rng: random.Random, materials: Materials) -> Drawn:
    """A domino upright or lying: both numbers, read from the left or from the top."""
    numbers = (rng.randint(0, 6), rng.randint(0, 6))
    paper, ink = _paper_and_ink(rng)
    half, lying = rng.randint(120, 200), rng.random() < 0.5
    tiles = [_tile(rng, number, half * 2, paper, ink) for number in numbers]
    size = (half * 2, half) if lying else (half, half * 2)
    stone = Image.new("RGBA", (size[0] * 2, size[1] * 2))
    for place, tile in enumerate(tiles):
        stone.paste(tile, (half * 2 * place, 0) if lying else (0, half * 2 * place))
    back = canvas.backdrop(rng, avoid=[paper])
    picture = canvas.paint_backdrop(back, canvas.SIDE, canvas.SIDE, materials)
    canvas.paste(
        picture, stone, canvas.Thing("domino", canvas.place(rng, [size], *picture.size)[0])
    )
    turns = [Turn(rng.choice(_DOMINO), f"{numbers[0]} and {numbers[1]}.")]
    if rng.random() < 0.4:
        question = ask(rng, "count", "dots")
        turns.append(Turn(question, str(sum(numbers))))
    return canvas.finish(picture, rng), {"numbers": list(numbers)}, turns


def card(rng: random.Random, materials: Materials) -> Drawn:
    """One to three playing cards side by side; the card, its suit, or how many there are."""
    count = rng.choice((1, 1, 1, 2, 3))
    shown = [(rng.randrange(13), rng.choice(SUITS)) for _ in range(count)]
    back = canvas.backdrop(rng, avoid=[(252, 252, 252)])
    picture = canvas.paint_backdrop(back, LARGE, LARGE, materials)
    face = canvas.typeface(materials, rng, 74, text="AJQK0123456789")
    scale = rng.uniform(1.2, 1.9) if count == 1 else rng.uniform(0.85, 0.95)
    for place, (rank, suit) in enumerate(shown):
        drawing = _card(rank, suit, face)
        drawing = drawing.resize((int(CARD[0] * scale), int(CARD[1] * scale)))
        drawing = drawing.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, expand=True)
        x = LARGE * (2 * place + 1) / (2 * count) - drawing.width / 2
        y = LARGE / 2 - drawing.height / 2 + rng.uniform(-30, 30)
        picture.paste(drawing, (int(x), int(y)), drawing)
    names = [f"the {RANKS[rank]} of {suit}" for rank, suit in shown]
    if count == 1:
        turns = [Turn(rng.choice(_CARD), english.sentence(names[0]))]
        if rng.random() < 0.4:
            turns.append(Turn(rng.choice(_SUIT), english.sentence(shown[0][1])))
    else:
        turns = [Turn(ask(rng, "describe"), english.sentence(english.listed(names)))]
        if rng.random() < 0.5:
            turns.insert(0, Turn(ask(rng, "count", "cards"), str(count)))
    picture = picture.resize((canvas.SIDE, canvas.SIDE), Image.Resampling.BOX)
    return canvas.finish(picture, rng), {"cards": shown}, turns


def _card(rank: int, suit: str, face: ImageFont.FreeTypeFont) -> Image.Image:
    """A card as RGBA: rank and suit in two corners, pips or one large suit in the middle."""
    wide, high = CARD
    ink = (200, 25, 30) if suit in ("hearts", "diamonds") else (20, 20, 20)
    drawing = Image.new("RGBA", CARD)
    pen = ImageDraw.Draw(drawing)
    pen.rounded_rectangle((0, 0, wide - 1, high - 1), 22, (252, 252, 252), (120, 120, 120), 3)
    pen.text((44, 48), LETTERS[rank], ink, face, anchor="mm")
    _suit(pen, suit, (44, 112), 50, ink)
    for x, y in _middle(rank):
        _suit(pen, suit, (wide * x, high * y), 52 if 0 < rank < 10 else 140, ink)
    corner = drawing.crop((12, 12, 86, 150)).rotate(180)
    drawing.paste(corner, (wide - 86, high - 150))
    return drawing


def _middle(rank: int) -> Sequence[tuple[float, float]]:
    """Where the suit stands in the middle of a card: once on court cards, else by number."""
    number = rank + 1
    if number == 1 or number > 10:
        return [(0.5, 0.5)]
    left, right, centre = 0.38, 0.62, 0.5
    pairs, single = divmod(number, 2)
    rows = [0.2 + 0.6 * k / max(1, pairs - 1) for k in range(pairs)] if pairs > 1 else [0.5]
    places = [(x, y) for y in rows for x in (left, right)]
    if single:
        gap = (rows[0] + rows[1]) / 2 if pairs > 1 else 0.2
        places.append((centre, gap))
    return places


def _suit(
    pen: ImageDraw.ImageDraw, suit: str, at: tuple[float, float], size: int, ink: RGB
) -> None:
    """One suit symbol of `size` pixels around `at`."""
    if suit in ("hearts", "diamonds"):
        points = outline("heart" if suit == "hearts" else "diamond")
        narrow = 1.0 if suit == "hearts" else 0.75
        pen.polygon(
            [(at[0] + (x - 0.5) * size * narrow, at[1] + (y - 0.5) * size) for x, y in points], ink
        )
        return
    if suit == "spades":
        points = outline("heart")
        pen.polygon(
            [(at[0] + (x - 0.5) * size, at[1] + (0.4 - y * 0.85) * size) for x, y in points], ink
        )
    else:
        for angle in (0, 120, 240):
            x = at[0] + 0.25 * size * math.sin(math.radians(angle))
            y = at[1] - 0.24 * size * math.cos(math.radians(angle)) - 0.03 * size
            pen.ellipse((x - 0.23 * size, y - 0.23 * size, x + 0.23 * size, y + 0.23 * size), ink)
    stem = [(0, 0), (0.16, 0.5), (-0.16, 0.5)]
    pen.polygon([(at[0] + x * size, at[1] + y * size) for x, y in stem], ink)


DRAWN: Mapping[str, Callable[[random.Random, Materials], Drawn]] = {
    "dice": dice,
    "domino": domino,
    "card": card,
}


def made(task: str, materials: Materials, seed: int) -> Drawn:
    """The picture, what is on it and the turns."""
    return DRAWN[task](random.Random(f"{task}/{seed}"), materials)


def _generate(task: str, materials: Materials, seed: int) -> Sample:
    picture, _, turns = made(task, materials, seed)
    return sample(task, seed, [picture], turns)


GENERATORS: Mapping[str, Generator] = {task: partial(_generate, task) for task in DRAWN}
