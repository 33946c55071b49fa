"""E2a-degraded: pictures as bad cameras, printers and senders leave them.

A generator whose pictures are softened, faded, strewn with noise and saved as a poor JPEG; the text
stays readable to a person. The same seed always gives the same picture.
"""

from __future__ import annotations

import io
import random
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from recipes.embedded.materials import Materials, Split
from recipes.embedded.suite.drawn import SplitGenerator
from smolvlm.types import ImagePart, Message, Sample

SOFTEST = 2.2  # pixels of blur
FAINTEST = 0.55  # of the contrast that is left
NOISIEST = 22.0  # grey values, standard deviation
POOREST, BEST = 12, 40  # quality of the JPEG


def worn(generator: SplitGenerator) -> SplitGenerator:
    """The same samples with worn pictures."""

    def generate(materials: Materials, seed: int, *, split: Split) -> Sample:
        sample = generator(materials, seed, split=split)
        rng = random.Random(f"worn/{seed}")
        messages = tuple(
            Message(
                m.role,
                tuple(ImagePart(wear(p.source, rng)) if isinstance(p, ImagePart) else p
                      for p in m.parts),
            )
            for m in sample.messages
        )  # fmt: skip
        return replace(sample, messages=messages)

    return generate


def wear(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A picture after everything that can happen to it, RGB."""
    soft = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, SOFTEST)))
    kept, level = rng.uniform(FAINTEST, 0.9), rng.uniform(90, 165)
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(soft, np.float32)  # (height, width, 3)
    grain = noise.normal(0, rng.uniform(6, NOISIEST), (*pixels.shape[:2], 1))
    faded = level + (pixels - level) * kept + grain  # (height, width, 3)
    buffer = io.BytesIO()
    shown = Image.fromarray(np.clip(faded, 0, 255).astype(np.uint8))
    shown.save(buffer, "JPEG", quality=rng.randint(POOREST, BEST))
    return Image.open(buffer).convert("RGB")
