"""Mixture row 14: conversations without a picture.

Small tasks about the same domains, so that the language half keeps following instructions; and
questions about a picture that was not given, which are answered with a refusal. Numbers stay small
and answers short, as a 135M model can keep them.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable, Mapping
from functools import partial

from recipes.embedded.generators import english
from recipes.embedded.generators.english import with_article
from recipes.embedded.generators.questions import WORDINGS, Generator, Turn, sample
from recipes.embedded.generators.sprites import Noun, sprites
from recipes.embedded.materials import Materials
from smolvlm.types import Sample

REFUSALS = (
    "I cannot see a picture. Please show me one.",
    "There is no picture here. Please give me one.",
    "I cannot see an image. Please add one and ask again.",
    "No picture was given, so I cannot answer that.",
    "I do not see a picture. Could you show it to me?",
)
_ABOUT_PICTURE = (
    "How many {plural} are in the picture?",
    "Is there {one} in the image?",
    "What colour is the {name} in the picture?",
    "Where is the {name} in the image?",
    "What is left of the {name} in the picture?",
)
_READING = (
    "Read the text in the image.",
    "What does the sign in the picture say?",
    "What is the total on the receipt in the image?",
    "Which bar of the chart in the picture is highest?",
    "What time does the clock in the picture show?",
    "Who is in the photo?",
    "Where was this photo taken?",
    "What happens in the video?",
    "Are these two pictures the same?",
    "What changed between the two pictures?",
)
FACTS: dict[str, tuple[tuple[str, str], ...]] = {
    "What colour is {}?": (
        ("a banana", "Yellow."),
        ("snow", "White."),
        ("grass", "Green."),
        ("coal", "Black."),
        ("a lemon", "Yellow."),
        ("a ripe tomato", "Red."),
        ("the sky on a clear day", "Blue."),
        ("a carrot", "Orange."),
        ("chocolate", "Brown."),
        ("a cucumber", "Green."),
        ("milk", "White."),
        ("a flamingo", "Pink."),
        ("an elephant", "Grey."),
    ),
    "What sound does {} make?": (
        ("a dog", "A dog barks."),
        ("a cat", "A cat meows."),
        ("a cow", "A cow moos."),
        ("a duck", "A duck quacks."),
        ("a lion", "A lion roars."),
        ("a sheep", "A sheep bleats."),
        ("a horse", "A horse neighs."),
        ("a bee", "A bee buzzes."),
        ("a frog", "A frog croaks."),
        ("a wolf", "A wolf howls."),
    ),
    "How many legs does {} have?": (
        ("a dog", "Four."),
        ("a bird", "Two."),
        ("a spider", "Eight."),
        ("a bee", "Six."),
        ("a horse", "Four."),
        ("a snake", "None."),
        ("a butterfly", "Six."),
        ("a chicken", "Two."),
        ("a fish", "None."),
    ),
    "How many sides does {} have?": (
        ("a triangle", "Three."),
        ("a square", "Four."),
        ("a rectangle", "Four."),
        ("a hexagon", "Six."),
        ("a pentagon", "Five."),
        ("an octagon", "Eight."),
        ("a diamond", "Four."),
    ),
    "What is the opposite of {}?": (
        ("left", "Right."),
        ("up", "Down."),
        ("big", "Small."),
        ("black", "White."),
        ("hot", "Cold."),
        ("open", "Closed."),
        ("above", "Below."),
        ("first", "Last."),
        ("full", "Empty."),
        ("long", "Short."),
        ("old", "New."),
        ("day", "Night."),
    ),
    "What do you use {} for?": (
        ("a hammer", "A hammer is used for driving nails."),
        ("a broom", "A broom is used for sweeping the floor."),
        ("an umbrella", "An umbrella is used to stay dry in the rain."),
        ("a clock", "A clock is used to tell the time."),
        ("a key", "A key is used to open a lock."),
        ("a thermometer", "A thermometer is used to measure temperature."),
        ("a camera", "A camera is used to take pictures."),
        ("a pencil", "A pencil is used for writing and drawing."),
        ("a magnet", "A magnet is used to attract iron."),
        ("a toothbrush", "A toothbrush is used to clean teeth."),
    ),
    "What is {}?": (
        ("a photo", "A photo is a picture taken with a camera."),
        ("a caption", "A caption is a short text that describes a picture."),
        ("a bar chart", "A bar chart shows values as bars of different lengths."),
        ("an invoice", "An invoice is a bill that lists what must be paid."),
        ("a receipt", "A receipt is a slip that shows what was bought and paid."),
        ("a table", "A table shows values in rows and columns."),
        ("a pixel", "A pixel is one dot of a digital picture."),
        ("a legend in a chart", "A legend says what the colours or marks of a chart mean."),
    ),
}
_ASKED = (
    "{}",
    "{}",
    "Please answer: {}",
    "Answer briefly: {}",
    "A question: {}",
    "{} Keep it short.",
)


def refusal(rng: random.Random, nouns: list[Noun]) -> Turn:
    """A question about a picture that is not there."""
    draw = rng.random()
    if draw < 0.35:
        form = rng.choice(("name", "describe", "shape", "odd", "medium"))
        question = rng.choice(WORDINGS[form])
    elif draw < 0.65:
        question = rng.choice(_READING)
    else:
        name = rng.choice(nouns).name
        words = {"name": name, "one": with_article(name), "plural": english.plural(name)}
        question = rng.choice(_ABOUT_PICTURE).format(**words)
    return Turn(question, rng.choice(REFUSALS))


def fact(rng: random.Random, nouns: list[Noun]) -> Turn:
    """Something everybody knows about colours, animals, shapes, tools, documents."""
    form = rng.choice(tuple(FACTS))
    thing, answer = rng.choice(FACTS[form])
    return Turn(form.format(thing), answer)


def arithmetic(rng: random.Random, nouns: list[Noun]) -> Turn:
    """Sums and differences up to twenty, and which of two numbers is larger."""
    one, other = rng.randint(2, 10), rng.randint(1, 10)
    form = rng.choice(("plus", "minus", "larger", "smaller", "story"))
    if form == "plus":
        wording = rng.choice(("What is {} + {}?", "Add {} and {}.", "How much is {} plus {}?"))
        return Turn(wording.format(one, other), str(one + other))
    if form == "minus":
        high, low = max(one, other), min(one, other)
        wording = rng.choice(
            ("What is {} - {}?", "How much is {} minus {}?", "Subtract {1} from {0}.")
        )
        return Turn(wording.format(high, low), str(high - low))
    if form == "story":
        plural = english.plural(rng.choice(nouns).name)
        question = f"There are {one} {plural}. {other} more are added. How many are there now?"
        return Turn(question, str(one + other))
    other += one == other
    pick = max if form == "larger" else min
    return Turn(f"Which number is {form}, {one} or {other}?", str(pick(one, other)))


def order(rng: random.Random, nouns: list[Noun]) -> Turn:
    """Days, months, counting, sorting."""
    form = rng.randrange(4)
    if form == 0:
        names = tuple(calendar.day_name) if rng.random() < 0.5 else tuple(calendar.month_name)[1:]
        place, step = rng.randrange(len(names)), rng.choice((1, -1))
        word = "after" if step == 1 else "before"
        kind = "day" if len(names) == 7 else "month"
        return Turn(
            f"Which {kind} comes {word} {names[place]}?", f"{names[(place + step) % len(names)]}."
        )
    if form == 1:
        top = rng.randint(3, 10)
        return Turn(
            f"Count from one to {english.NUMBERS[top]}.",
            f"{', '.join(map(str, range(1, top + 1)))}.",
        )
    if form == 2:
        numbers = rng.sample(range(1, 30), 4)
        shown, ordered = (", ".join(map(str, n)) for n in (numbers, sorted(numbers)))
        return Turn(f"Sort these numbers from small to large: {shown}.", f"{ordered}.")
    words = rng.sample([noun.name for noun in nouns], 3)
    return Turn(
        f"Put these words in alphabetical order: {', '.join(words)}.",
        f"{', '.join(sorted(words))}.",
    )


def spelling(rng: random.Random, nouns: list[Noun]) -> Turn:
    """Capitals, plurals, first letters, copying."""
    name = rng.choice(
        [noun.name for noun in nouns if " " not in noun.name and "-" not in noun.name]
    )
    return rng.choice(
        (
            Turn(f"Write the word {name} in capital letters.", name.upper()),
            Turn(f"What is the plural of {name}?", english.sentence(english.plural(name))),
            Turn(f"What is the first letter of the word {name}?", name[0].upper()),
            Turn(f"Spell the word {name}.", "-".join(name)),
            Turn(f"How many letters does the word {name} have?", str(len(name))),
            Turn(f"Repeat the word {name}.", english.sentence(name)),
        )
    )


def kinds(rng: random.Random, nouns: list[Noun]) -> Turn:
    """What kind of thing a noun is, and which nouns are of a kind."""
    named = [noun for noun in nouns if noun.kind and noun.kind != "food"]
    kind = rng.choice(sorted({str(noun.kind) for noun in named}))
    noun = rng.choice([noun for noun in named if noun.kind == kind])
    others = [n for n in named if n.kind != noun.kind]
    if rng.random() < 0.5 or not others:
        question = f"What kind of thing is {with_article(noun.name)}?"
        return Turn(question, english.sentence(with_article(kind)))
    pair = [noun.name, rng.choice(others).name]
    rng.shuffle(pair)
    question = f"Which of these is {with_article(kind)}: {english.listed(pair, 'or')}?"
    return Turn(question, english.sentence(with_article(noun.name)))


TASKS: Mapping[str, Callable[[random.Random, list[Noun]], Turn]] = {
    "text_refusal": refusal,
    "text_fact": fact,
    "text_arithmetic": arithmetic,
    "text_order": order,
    "text_spelling": spelling,
    "text_kind": kinds,
}


def _generate(task: str, materials: Materials, seed: int) -> Sample:
    rng = random.Random(f"{task}/{seed}")
    known = sprites(materials.drawings, "train").countable
    turns = []
    for _ in range(rng.choice((1, 1, 2))):
        turn = TASKS[task](rng, known)
        form = "{}" if TASKS[task] is refusal else rng.choice(_ASKED)
        turns.append(Turn(form.format(turn.question), turn.answer))
    return sample(task, seed, [], turns)


GENERATORS: Mapping[str, Generator] = {task: partial(_generate, task) for task in TASKS}
