"""Pieces of real printed pages on a sheet, with the text they show.

Row 2 of the mixture. The pieces are cut and their text is known beforehand (`printed_pages`); here
they are put on paper and asked about.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from PIL import Image, ImageOps

from recipes.embedded.generators import canvas
from recipes.embedded.generators.questions import Generator, Turn, sample
from recipes.embedded.generators.wordings import ORDINALS, ask
from recipes.embedded.materials import Materials, Split
from smolvlm.errors import InputError
from smolvlm.types import Sample

TINTS = ((255, 255, 255), (255, 255, 255), (250, 247, 238), (240, 240, 240))
SHAPES = (0.4, 0.6, 0.75, 1.0)  # height of the sheet as a share of its width
WIDTH = 448  # pixels


def page(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A piece of a printed page; `InputError` when the pack was built without them."""
    rng = random.Random(f"page/{seed}")
    crops = materials.crops(split)
    if not crops:
        raise InputError(f"the material pack has no printed pages of the {split} split")
    crop = rng.choice(crops)
    print_ = ImageOps.grayscale(materials.picture(crop.name))
    height = max(round(WIDTH * rng.choice(SHAPES)), print_.height + 12)
    sheet = Image.new("L", (WIDTH, height), 255)
    room = (WIDTH - print_.width, height - print_.height)
    sheet.paste(print_, (rng.randint(0, room[0]), rng.randint(6, room[1] - 6)))
    picture = ImageOps.colorize(sheet, (0, 0, 0), rng.choice(TINTS))
    turns = [Turn(ask(rng, "read page"), crop.text)]
    lines = crop.text.split("\n")
    if len(lines) > 1:
        number = rng.randrange(len(lines))
        extra = [
            Turn(ask(rng, "read line", ORDINALS[number]), lines[number]),
            Turn(ask(rng, "count lines"), str(len(lines))),
        ]
        turns += rng.sample(extra, rng.randint(0, 2))
    return sample("page", seed, [canvas.finish(picture, rng)], turns)


GENERATORS: Mapping[str, Generator] = {"page": page}
