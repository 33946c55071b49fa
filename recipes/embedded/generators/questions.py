"""How questions are worded, and how turns about pictures become a `Sample`.

Each answer format has at least five wordings (data-sources.md 4.1); a generator names the format
and fills in its nouns. Answers are words with a capital and a full stop, or bare digits. What is
true of a picture is decided elsewhere (`asking` and the generators).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from recipes.embedded.generators import english
from recipes.embedded.materials import Materials
from smolvlm.types import ImagePart, Message, Part, Sample, TextPart

Generator = Callable[[Materials, int], Sample]

WORDINGS: dict[str, tuple[str, ...]] = {
    "name": (
        "What is this?",
        "What is shown here?",
        "Name the object.",
        "What does the picture show?",
        "What do you see?",
        "What is the thing in the image called?",
        "What is in the picture?",
    ),
    "describe": (
        "Describe the image.",
        "Describe the picture.",
        "What is in the image?",
        "Write a caption.",
        "What does the image show?",
        "Caption this picture.",
        "Describe what you see.",
    ),
    "kind": (
        "What kind of thing is this: {}?",
        "What category is this: {}?",
        "Which of these is it: {}?",
        "Is this {}?",
        "Choose the right category: {}.",
        "Does the picture show {}?",
    ),
    "medium": (
        "Is this a photo or a drawing?",
        "Photo or drawing?",
        "Is the picture a photograph or a drawing?",
        "Was this drawn or photographed? Answer photo or drawing.",
        "Is this a real photo or a drawing?",
        "Say whether this is a photo or a drawing.",
    ),
    "presence": (
        "Is there {} in the image?",
        "Does the picture show {}?",
        "Can you see {}?",
        "Do you see {} here?",
        "Is {} in the picture?",
        "Does the image contain {}?",
    ),
    "colour": (
        "What colour is the {}?",
        "What color is the {}?",
        "Which colour does the {} have?",
        "Name the colour of the {}.",
        "The {} is which colour?",
        "Tell me the color of the {}.",
    ),
    "shape": (
        "What shape is this?",
        "Which shape is shown?",
        "Name the shape.",
        "What is the shape in the picture?",
        "Which shape do you see?",
        "What shape does the image show?",
    ),
    "shape of": (
        "What shape is the {} object?",
        "Which shape is {}?",
        "Name the shape that is {}.",
        "What is the shape of the {} object?",
        "Which shape is drawn in {}?",
    ),
    "count": (
        "How many {} are there?",
        "How many {} do you see?",
        "Count the {}.",
        "How many {} are in the image?",
        "What is the number of {}?",
        "Give the number of {} in the picture.",
    ),
    "more": (
        "Are there more {0} or {1}?",
        "Which are there more of, {0} or {1}?",
        "What is more numerous, {0} or {1}?",
        "Do you see more {0} or more {1}?",
        "Of which are there more: {0} or {1}?",
    ),
    "side": (
        "Is the {0} {2} the {1}?",
        "Is the {0} placed {2} the {1}?",
        "Can the {0} be found {2} the {1}?",
        "Do you see the {0} {2} the {1}?",
        "Does the {0} lie {2} the {1}?",
    ),
    "which side": (
        "Where is the {0} compared to the {1}: left, right, above or below?",
        "Is the {0} left of, right of, above or below the {1}?",
        "Seen from the {1}, where is the {0}: left, right, above or below?",
        "In which direction from the {1} is the {0}: left, right, above or below?",
        "The {0} is where in relation to the {1}? Answer left, right, above or below.",
    ),
    "what is": (
        "What is {1} the {0}?",
        "Which object is {1} the {0}?",
        "Name the thing {1} the {0}.",
        "What do you see {1} the {0}?",
        "Which thing lies {1} the {0}?",
    ),
    "position": (
        "Where is the {}?",
        "In which part of the picture is the {}?",
        "Where in the image is the {}?",
        "Which part of the image shows the {}?",
        "Where do you see the {}?",
        "Give the position of the {}.",
    ),
    "bigger": (
        "Which is bigger, the {0} or the {1}?",
        "What is larger, the {0} or the {1}?",
        "Which looks bigger: the {0} or the {1}?",
        "Of the {0} and the {1}, which is bigger?",
        "Which one is drawn larger, the {0} or the {1}?",
    ),
    "smaller": (
        "Which is smaller, the {0} or the {1}?",
        "Which one is drawn smaller, the {0} or the {1}?",
        "What is smaller, the {0} or the {1}?",
        "Which looks smaller: the {0} or the {1}?",
        "Of the {0} and the {1}, which is smaller?",
    ),
    "odd": (
        "Which is the odd one out?",
        "What does not belong with the others?",
        "Which thing is different from the rest?",
        "Find the odd one out.",
        "One thing is not like the others. Which?",
        "Which object does not fit?",
    ),
    "direction": (
        "Which way does the {} move?",
        "In which direction does the {} go?",
        "Where does the {} move?",
        "What is the direction of the {}?",
        "The {} moves in which direction?",
        "Which direction does the {} move in?",
    ),
    "last": (
        "What appears last?",
        "Which thing is shown last?",
        "What is seen at the end?",
        "Which one comes last?",
        "Name what appears last.",
        "What is the last thing to appear?",
    ),
    "moved": (
        "Which object moved?",
        "What moves in the video?",
        "Which thing does not stay in its place?",
        "Who moved?",
        "Name the object that moves.",
        "Which one changes its place?",
    ),
    "last number": (
        "What number is shown at the end?",
        "Which number comes last?",
        "What is the final number?",
        "What does the counter show in the last frame?",
        "Read the last number.",
    ),
    "last colour": (
        "What colour is the {} at the end?",
        "Which color does the {} have in the last frame?",
        "What colour does the {} turn into?",
        "What is the final colour of the {}?",
        "The {} ends up in which colour?",
    ),
    "bounces": (
        "How many times does the {} bounce?",
        "How often does the {} hit the ground?",
        "Count the bounces of the {}.",
        "How many times does the {} touch the ground?",
        "What is the number of bounces of the {}?",
    ),
    "same": (
        "Are these the same object?",
        "Do both pictures show the same thing?",
        "Is the thing in both images the same?",
        "Do the two images show the same kind of thing?",
        "Same or not: is it the same thing in both pictures?",
        "Do the first and the second picture show the same kind of object?",
    ),
    "which picture": (
        "Which image shows {}: {}?",
        "In which picture is {}: {}?",
        "Where do you see {}: in the {}?",
        "Which of the pictures has {}, the {}?",
        "{} is in which image: {}?",
    ),
    "change": (
        "What changed between the two pictures?",
        "What is different in the second image?",
        "Spot the change.",
        "How does the second picture differ from the first?",
        "What has changed?",
        "Find the difference between the two images.",
    ),
}


@dataclass(frozen=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


def ask(rng: random.Random, form: str, *names: str) -> str:
    """A wording of the format `form` with the names filled in."""
    return rng.choice(WORDINGS[form]).format(*names)


def yes_no(truth: bool) -> str:
    """`Yes.` or `No.`."""
    return "Yes." if truth else "No."


def sample(task: str, seed: int, pictures: Sequence[Image.Image], turns: Sequence[Turn]) -> Sample:
    """A conversation: the pictures stand before the first question."""
    shown: list[Part] = [ImagePart(picture) for picture in pictures]
    return _conversation(task, seed, shown, turns)


def clip(task: str, seed: int, frames: Sequence[Image.Image], turns: Sequence[Turn]) -> Sample:
    """A conversation about frames one second apart, in the published wording for video."""
    count = english.NUMBERS[len(frames)]
    length = f"0:00:{len(frames):02}"
    shown: list[Part] = [
        TextPart(
            f"You are provided the following series of {count} frames"
            f" from a {length} [H:MM:SS] video.\n"
        )
    ]
    for second, frame in enumerate(frames):
        shown += [TextPart(f"\nFrame from 00:{second:02}:"), ImagePart(frame)]
    first = Turn(f"\n\n{turns[0].question}", turns[0].answer)
    return _conversation(task, seed, shown, [first, *turns[1:]])


def _conversation(task: str, seed: int, shown: Sequence[Part], turns: Sequence[Turn]) -> Sample:
    messages: list[Message] = []
    for number, turn in enumerate(turns):
        before = tuple(shown) if number == 0 else ()
        messages.append(Message("user", (*before, TextPart(turn.question))))
        messages.append(Message("assistant", (TextPart(turn.answer),)))
    return Sample(tuple(messages), task, f"{task}/{seed}")
