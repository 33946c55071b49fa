"""Little samples with pictures, made from a seed; what the training tests train on."""

from __future__ import annotations

import random

from PIL import Image

from smolvlm.types import ImagePart, Message, Part, Sample, TextPart

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}


def message(role: str, *parts: str | Image.Image) -> Message:
    made: tuple[Part, ...] = tuple(
        TextPart(part) if isinstance(part, str) else ImagePart(part) for part in parts
    )
    return Message(role, made)  # type: ignore[arg-type]


def colour_sample(seed: int) -> Sample:
    """One or two questions about a picture of one colour."""
    rng = random.Random(seed)
    name = rng.choice(list(COLOURS))
    picture = Image.new("RGB", (rng.randint(3, 40), rng.randint(3, 40)), COLOURS[name])
    turns = [message("user", picture, "Which colour?"), message("assistant", f"It is {name}.")]
    if rng.random() < 0.5:
        turns += [
            message("user", "Is it red?"),
            message("assistant", "Yes." if name == "red" else "No."),
        ]
    return Sample(tuple(turns), "colour", f"colour:{seed}")


def text_sample(seed: int) -> Sample:
    """Words without a picture."""
    words = " ".join(
        random.Random(seed).choices(list(COLOURS), k=random.Random(seed).randint(1, 9))
    )
    turns = (message("user", f"Repeat: {words}"), message("assistant", words))
    return Sample(turns, "repeat", f"repeat:{seed}")


def mixed_sample(seed: int) -> Sample:
    """Either of the two."""
    return colour_sample(seed) if seed % 3 else text_sample(seed)
