"""What a font file can draw: its characters, and whether its small letters are mere capitals.

A missing glyph is a silent label error, so every face is asked, glyph by glyph, before it enters
the pack. Only Pillow looks at the file; where the files come from is left to `material_sources`.
"""

from __future__ import annotations

import io
import string

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

PRINTABLE = "".join(chr(code) for code in range(33, 127)) + "£€é–°×"
# Letters whose small form differs in outline, not only in size, from the capital one.
TELLING = "abdeghnqrt"
SIZE = 48  # pixels per em; enough to tell glyphs apart
SAME = 0.85  # share of pixels in which two glyphs of one size agree when they are the same
MISSING = "\U0010fffe"  # no font has this character: it shows the font's sign for "missing"


def drawable(blob: bytes) -> str:
    """The characters of `PRINTABLE`, and the space, that the font has glyphs for."""
    face = ImageFont.truetype(io.BytesIO(blob), SIZE)
    missing = _shape(face, MISSING)
    shapes = {char: _shape(face, char) for char in PRINTABLE}
    found = "".join(
        char for char, shape in shapes.items() if shape is not None and shape != missing
    )
    return " " + found if face.getlength(" ") > 0 else found


def is_caps_only(blob: bytes) -> bool:
    """True when most telling small letters look like their capitals, whatever their size."""
    face = ImageFont.truetype(io.BytesIO(blob), SIZE)
    same = [_agreement(_square(face, c), _square(face, c.upper())) >= SAME for c in TELLING]
    return sum(same) > len(same) / 2


def is_complete(chars: str) -> bool:
    """True when all letters and digits are there; signs are asked for text by text."""
    return set(chars) >= set(string.ascii_letters + string.digits + " ")


def _shape(face: ImageFont.FreeTypeFont, text: str) -> tuple[tuple[int, int], bytes] | None:
    """The glyph's bitmap as something to compare, or None for an empty one."""
    mask = face.getmask(text)
    data = bytes(mask)
    return (mask.size, data) if any(data) else None


def _square(face: ImageFont.FreeTypeFont, char: str) -> NDArray[np.bool_]:
    """The glyph stretched to a square of 32 x 32, black or white."""
    mask = face.getmask(char)
    if 0 in mask.size:
        return np.zeros((32, 32), bool)
    picture = Image.frombytes("L", mask.size, bytes(mask))
    return np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR)) > 127


def _agreement(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first == second).mean())
