"""Mixture row 7, the plain case: one drawing on a plain background, and what it is called.

The same views that the tower was aligned on (`align`), so that the language model can learn to read
what stands there before scenes and photographs (`objects`) are mixed in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from PIL import Image

from recipes.embedded.generators import canvas
from recipes.embedded.generators.english import sentence, with_article
from recipes.embedded.generators.objects import EMPTY_ANSWER, EMPTY_SHARE
from recipes.embedded.generators.questions import Generator, Turn, ask, sample
from recipes.embedded.generators.sprites import sprites
from recipes.embedded.materials import Materials
from recipes.embedded.views import blank, varied_view
from smolvlm.types import Sample


def drawing_name(materials: Materials, seed: int) -> Sample:
    """What is this? Every name as often as another."""
    rng = random.Random(f"drawing_name/{seed}")
    if rng.random() < EMPTY_SHARE:
        tile = blank(side=canvas.SIDE, seed=rng.getrandbits(32))
        turn = Turn(ask(rng, rng.choice(("name", "describe"))), EMPTY_ANSWER)
    else:
        known = sprites(materials.drawings, "train")
        noun = rng.choice(known.things)
        drawing = known.drawings.image(rng.choice(noun.rows))
        tile = varied_view(drawing, side=canvas.SIDE, seed=rng.getrandbits(32))
        turn = Turn(ask(rng, "name"), sentence(with_article(noun.name)))
    return sample("drawing_name", seed, [Image.fromarray(tile)], [turn])


GENERATORS: Mapping[str, Generator] = {"drawing_name": drawing_name}
