"""Setting text in pictures: a face that has every character, ink that stands out, blocks of lines.

A block is a grey mask (255 where ink goes), so that it can be slanted, roughened and turned before
it is inked. What is written is left to the generators, photographs and camera traces to `canvas`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from recipes.embedded.generators.colours import RGB
from recipes.embedded.materials import Font, Materials, Split
from smolvlm.errors import InputError

LEAST_CONTRAST = 3.0  # ratio of luminances, data-sources.md 3.1
PRINTED = ("sans-serif", "serif", "monospace", "display")
PLAIN = ("sans-serif", "serif", "monospace")


@dataclass(frozen=True)
class Style:
    """How a text is set: its face, size in pixels per em, line spacing and alignment."""

    font: Font
    size: int
    spacing: float = 1.2
    align: str = "left"  # or "center", "right"


def choose_font(
    materials: Materials,
    rng: random.Random,
    text: str,
    *,
    categories: Sequence[str] = PLAIN,
    split: Split = "train",
    caps: bool = False,
) -> Font:
    """A face with every character of `text`; one that shows capitals only if `caps` allows it.

    Where the materials have no such face of these categories, any face that covers the text.
    """
    fonts = [font for font in materials.fonts(split) if caps or not font.caps]
    wanted = [font for font in fonts if font.category in categories]
    for pool in (wanted, fonts):
        covering = [font for font in pool if font.covers(text)]
        if covering:
            return rng.choice(covering)
    raise InputError(f"no font of the {split} split can draw {text!r}")


def bold_of(materials: Materials, font: Font, split: Split) -> Font:
    """The bold face of the same family with the same characters, or the face itself."""
    same = (
        other
        for other in materials.fonts(split)
        if other.family == font.family and other.weight == 700 and other.chars >= font.chars
    )
    return next(same, font)


def shown(font: Font, text: str) -> str:
    """`text` as it looks in `font`: in capitals where the face has nothing else."""
    return text.upper() if font.caps else text


def contrast(one: RGB, other: RGB) -> float:
    """Ratio of the luminances of two colours, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: RGB) -> float:
    parts = [c / 255 for c in colour]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(rng: random.Random, paper: RGB, *, least: float = LEAST_CONTRAST + 1.5) -> RGB:
    """A colour that reads on `paper`: usually black or white, sometimes a colour."""
    plain = (0, 0, 0) if _luminance(paper) > 0.25 else (255, 255, 255)
    for _ in range(8 if rng.random() < 0.45 else 0):
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        if contrast(colour, paper) >= least:
            return colour
    return plain


def width_of(materials: Materials, style: Style, text: str) -> float:
    """Pixels that `text` takes on one line."""
    return materials.font(style.font.name, style.size).getlength(text)


def line_height(materials: Materials, style: Style) -> int:
    """Pixels from one baseline to the next."""
    ascent, descent = materials.font(style.font.name, style.size).getmetrics()
    return round((ascent + descent) * style.spacing)


def wrap(materials: Materials, style: Style, text: str, width: float) -> list[str]:
    """`text` as lines of whole words no wider than `width` (a longer word has its own line)."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(materials, style, longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def block(materials: Materials, style: Style, lines: Sequence[str]) -> Image.Image:
    """The mask of some lines, tightly cut; mode "L"."""
    face = materials.font(style.font.name, style.size)
    height, pad = line_height(materials, style), style.size
    width = max(round(face.getlength(line)) for line in lines)
    mask = Image.new("L", (width + 2 * pad, height * len(lines) + 2 * pad))
    draw = ImageDraw.Draw(mask)
    for number, line in enumerate(lines):
        spare = width - face.getlength(line)
        left = {"left": 0.0, "center": spare / 2, "right": spare}[style.align]
        draw.text((pad + left, pad + number * height), line, 255, face)
    box = mask.getbbox()
    assert box is not None, "text without ink"
    return mask.crop(box)


def written(
    materials: Materials, style: Style, lines: Sequence[str], rng: random.Random
) -> Image.Image:
    """As `block`, with the unsteadiness of a hand: each word is placed and turned a little."""
    face = materials.font(style.font.name, style.size)
    height, pad = line_height(materials, style), style.size
    width = max(round(face.getlength(line)) for line in lines)
    page = (round(width * 1.15) + 4 * pad, height * (len(lines) + 1) + 2 * pad)
    mask = Image.new("L", page)
    for number, line in enumerate(lines):
        left, slope = float(pad), rng.uniform(-0.015, 0.015)
        for word in line.split(" "):
            top = pad + number * height + slope * left + rng.uniform(-0.05, 0.05) * style.size
            piece = _word(face, word, rng)
            place = (round(left) - pad // 2, round(top) - pad // 2)
            above = Image.new("L", page)
            above.paste(piece, place)
            mask = ImageChops.lighter(mask, above)
            left += face.getlength(word) + face.getlength(" ") * rng.uniform(0.9, 1.6)
    box = mask.getbbox()
    assert box is not None, "text without ink"
    return mask.crop(box)


def _word(face: ImageFont.FreeTypeFont, word: str, rng: random.Random) -> Image.Image:
    """One word in ink of uneven strength, turned by up to two degrees."""
    pad = round(face.size)
    ascent, descent = face.getmetrics()
    size = (round(face.getlength(word)) + pad, ascent + descent + pad)
    piece = Image.new("L", size)
    ImageDraw.Draw(piece).text((pad // 2, pad // 2), word, rng.randint(195, 255), face)
    return piece.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC)


def turned(mask: Image.Image, angle: float) -> Image.Image:
    """The mask turned by `angle` degrees, grown so that nothing is lost."""
    return mask.rotate(angle, Image.Resampling.BICUBIC, expand=True) if angle else mask


def inked(picture: Image.Image, mask: Image.Image, place: tuple[int, int], ink: RGB) -> None:
    """Put ink on `picture` where `mask` says, its top left corner at `place`."""
    picture.paste(ink, (*place, place[0] + mask.width, place[1] + mask.height), mask)


def paper(rng: random.Random, width: int, height: int, colour: RGB) -> Image.Image:
    """A sheet of `colour`, plain or with the grain of paper."""
    sheet = Image.new("RGB", (width, height), colour)
    if rng.random() < 0.65:
        return sheet
    noise = np.random.default_rng(rng.getrandbits(32))
    coarse = noise.normal(0, rng.uniform(1.5, 7), (height // 2 + 1, width // 2 + 1))  # (H/2, W/2)
    grain = np.kron(coarse, np.ones((2, 2)))[:height, :width, None]  # (H, W, 1)
    grained = np.asarray(sheet) + grain  # (H, W, 3)
    return Image.fromarray(grained.clip(0, 255).astype(np.uint8))


def paper_colour(rng: random.Random) -> RGB:
    """White, a pale tint, or now and then something dark."""
    draw = rng.random()
    if draw < 0.45:
        return 255, 255, 255
    if draw < 0.85:
        return rng.randint(205, 255), rng.randint(205, 255), rng.randint(205, 255)
    return rng.randint(5, 80), rng.randint(5, 80), rng.randint(5, 80)
