"""The little English that generated questions and answers need: articles, plurals, lists, numbers
in words.
"""

from __future__ import annotations

from collections.abc import Sequence

from recipes.embedded.generators.sprite_words import BARE, WITH_THE

NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth")
_IRREGULAR = {
    "mouse": "mice",
    "goose": "geese",
    "wolf": "wolves",
    "leaf": "leaves",
    "knife": "knives",
    "loaf": "loaves",
    "scarf": "scarves",
    "calf": "calves",
    "sheep": "sheep",
    "deer": "deer",
    "reindeer": "reindeer",
    "fish": "fish",
    "blowfish": "blowfish",
    "jellyfish": "jellyfish",
    "clownfish": "clownfish",
    "bison": "bison",
    "ox": "oxen",
    "aircraft": "aircraft",
    "tooth": "teeth",
    "snowman": "snowmen",
    "die": "dice",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "mango": "mangoes",
    "mosquito": "mosquitoes",
    "volcano": "volcanoes",
    "tornado": "tornadoes",
    "squid": "squid",
    "shrimp": "shrimp",
    "person": "people",
    "seahorse": "seahorses",
    "foot": "feet",
}
_DETERMINERS = ("a", "an", "the", "some", "two", "three")
_LIKE_Y = ("uni", "ura", "use", "eu", "ewe", "ukulele", "one")  # spoken with a consonant
_LIKE_VOWEL = ("hour", "heir", "honest", "x-ray", "f-22", "suv")
_SINGULAR_IN_S = frozenset(
    [
        "bus",
        "glass",
        "dress",
        "compass",
        "cactus",
        "octopus",
        "walrus",
        "hippopotamus",
        "rhinoceros",
        "lotus",
        "abacus",
        "hibiscus",
        "minibus",
        "trolleybus",
        "cross",
        "press",
    ]
)


def with_article(phrase: str) -> str:
    """`orangutan` -> `an orangutan`; plurals, masses and sports stay, `sun` -> `the sun`.

    A phrase that brings its own article or number stays as well.
    """
    if phrase in BARE:
        return phrase
    if phrase in WITH_THE:
        return f"the {phrase}"
    words = phrase.lower().split()
    if words[0] in _DETERMINERS or _looks_plural(words[-1]):
        return phrase
    vowel = words[0][0] in "aeiou" and not words[0].startswith(_LIKE_Y)
    return f"{'an' if vowel or words[0].startswith(_LIKE_VOWEL) else 'a'} {phrase}"


def _looks_plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "os"))


def is_plural(phrase: str) -> bool:
    """True when a label names several, or a mass that ends like a plural."""
    last = phrase.split()[-1].lower()
    return last.endswith("s") and last not in _SINGULAR_IN_S


def plural(phrase: str) -> str:
    """`red fox` -> `red foxes`."""
    head, _, last = phrase.rpartition(" ")
    head = f"{head} " if head else ""
    if last in _IRREGULAR:
        return head + _IRREGULAR[last]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return f"{head}{last}es"
    if last.endswith("y") and last[-2] not in "aeiou":
        return f"{head}{last[:-1]}ies"
    return f"{head}{last}s"


def counted(number: int, phrase: str) -> str:
    """`1, duck` -> `a duck`; `3, duck` -> `three ducks`."""
    return with_article(phrase) if number == 1 else f"{NUMBERS[number]} {plural(phrase)}"


def listed(phrases: Sequence[str], word: str = "and") -> str:
    """`a, b and c`."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} {word} {phrases[-1]}"


def sentence(text: str) -> str:
    """With a capital at the start and a full stop at the end."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
