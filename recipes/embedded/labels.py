"""Turning what packages say about their drawings into short natural nouns.

The labels are what the model learns to say, so a drawing whose name is doubtful is dropped rather
than guessed. Three readers (emoji, Tux Paint sentences, Open Clip Art titles) share one notion of
a head noun. Also holds the rules that keep withheld concepts out of training. Finding the drawings
is left to `drawings`, the words to `wordnet`, the word lists to `vocabulary`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from recipes.embedded.vocabulary import (
    COLOURS,
    DROPPED,
    GENERAL,
    JUNK_HEADS,
    JUNK_WORDS,
    MOODS,
    PARTITIVES,
    RENAMED,
    SPLITTERS,
    WITHHELD_ALIASES,
)
from recipes.embedded.wordnet import Nouns

_DESCRIBES = re.compile(r"^(?:A|An|The|Some|Our|Another|Two|Three|Four) ")
_ADDRESSES = re.compile(r"\b(?:you|your|draw)\b|\?")
_CLAUSE = re.compile(
    r",| (?:that|which|is|are|was|resembles|made|worn|used|called|to|for|from|playing|dancing"
    r"|making|hatched|with|in|on|at|inside|by)\b"
)
CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
OBJECT_GROUPS = ("animals-nature", "food-drink", "travel-places", "activities", "objects")
SENSE_FILES = {  # the WordNet files in which a group's nouns are looked up for synonyms
    "animals-nature": ("05", "20", "13", "08"),
    "food-drink": ("13", "20", "05", "06"),
    "objects": ("06", "17", "19"),
}
PEOPLE_GROUPS = ("smileys-emotion", "people-body")


def is_withheld(label: str) -> bool:
    """The hold-out rule: one label in twenty, chosen by its SHA-1 (first 8 hex digits)."""
    return int(hashlib.sha1(label.encode()).hexdigest()[:8], 16) % 20 == 0


class Withheld:
    """Recognises withheld concepts in any text by whole words, plurals and known other names."""

    def __init__(self, labels: Iterable[str]) -> None:
        names = sorted({label.lower().replace(CURLY, "'") for label in labels})
        names += [alias for name in names for alias in WITHHELD_ALIASES.get(name, ())]
        self._phrases = {" ".join(map(_stem, _words(name))) for name in names}

    def mentions(self, *texts: str | None) -> bool:
        """True when any text contains a withheld name as consecutive whole words."""
        joined = [f" {' '.join(map(_stem, _words(text)))} " for text in texts if text]
        return any(f" {phrase} " in text for text in joined for phrase in self._phrases)


def emoji_label(label: str) -> str:
    """A CLDR label as one would say it: "oncoming bus" -> "bus", "man: bald" -> "bald man"."""
    label = label.replace(CURLY, "'")
    if re.fullmatch(r"[a-z]+ o'clock|[a-z]+-thirty", label):
        return "clock"
    label = re.sub(r"^(.*): bald$", r"bald \1", label)
    label = re.sub(r": ((?:\w+ )?(?:hair|beard))$", r" with \1", label).split(":")[0]
    label = RENAMED.get(label, label)
    return re.sub(r"^(oncoming|medium-sized) ", "", label)


def emoji_sentence(label: str) -> str | None:
    """A sentence where the label alone hides something the drawing shows (the time on a clock)."""
    label = label.replace(CURLY, "'")
    if label.endswith("o'clock"):
        return f"A clock showing {label}"
    if label.endswith("-thirty"):
        return f"A clock showing half past {label.removesuffix('-thirty')}"
    return None


def heads(label: str, nouns: Nouns) -> list[str]:
    """Shorter names that are still true of `label`, longest first.

    "big polar bear" -> "polar bear", "bear"; but "hot dog" is no dog.
    """
    words = label.lower().split()
    cut = next((i for i, word in enumerate(words) if i and word in SPLITTERS), len(words))
    core, rest = words[:cut], words[cut + 1 :]
    found = _core_heads(core, nouns)
    if rest and (words[cut] == "and" or (words[cut] == "of" and core[-1] in PARTITIVES)):
        tail = " ".join(word for word in rest if word not in ("a", "an", "the"))
        found += (
            [tail, *_core_heads(tail.split(), nouns)] if nouns.object_form(tail.split()[-1]) else []
        )
    return list(dict.fromkeys(found))


def head_noun(label: str, nouns: Nouns) -> str:
    """The one noun that sorts `label` among others: "blue heron" -> "heron"; else the label."""
    words = label.lower().split()
    cut = next((i for i, word in enumerate(words) if i and word in SPLITTERS), len(words))
    return (_core_heads(words[:cut], nouns) or [label.lower()])[-1]


def _core_heads(core: list[str], nouns: Nouns) -> list[str]:
    """Heads of a phrase without prepositions, longest suffix first."""
    if core and core[-1] == "face" and len(core) > 1:
        core = core[:-1]
    while core and not nouns.object_form(core[-1]) and nouns.is_word(core[-1]):
        core = core[:-1]
    suffixes = [" ".join(core[start:]) for start in range(len(core))]
    named = [(phrase, form) for phrase in suffixes if (form := nouns.object_form(phrase))]
    if not named or not nouns.object_form(core[-1]):
        return []
    whole = named[0][0]
    return [
        name
        for phrase, form in named
        if phrase == whole or nouns.is_a(whole, form, levels=5)
        for name in (phrase, form)
    ]


def answers(label: str, tags: Sequence[str], nouns: Nouns, group: str = "objects") -> list[str]:
    """Accepted names: the label, its heads, synonyms, and tags that name the same kind of thing."""
    files = SENSE_FILES.get(group, SENSE_FILES["objects"])
    names = [label.lower(), *heads(label, nouns)]
    anchors = names[:3]
    names += [
        name
        for anchor in names[:2]
        for name in nouns.synonyms(anchor, files)
        if len(name.split()) <= 2
    ]
    for tag in (tag.lower() for tag in tags):
        form = nouns.object_form(tag)
        if form and any(nouns.is_a(a, form) or nouns.is_a(form, a, levels=2) for a in anchors):
            names += [tag, form]
    kept = [name for name in dict.fromkeys(names) if name == label.lower() or name not in GENERAL]
    return kept[:12]


def stamp_text(line: str, name: str, nouns: Nouns) -> tuple[str | None, str | None]:
    """(label, sentence) of a Tux Paint stamp from its English line and file name; either is None.

    "A huge dump truck." -> ("dump truck", "A huge dump truck"); "Eat your broccoli!" with the file
    name "broccoli" -> ("broccoli", None).
    """
    line = re.sub(r"[\u201c\u201d\"]", "", line.replace(CURLY, "'")).strip()
    first = re.split(r"(?<=[.!?])\s", line)[0].rstrip(".!? ")
    if not (_DESCRIBES.match(first) and not _ADDRESSES.search(first)):
        return _plain(_words(name), nouns, others=_words(line)), None
    phrase = re.sub(r"\([^)]*\)", "", first.split("—")[0].split(" – ")[0])
    phrase = _DESCRIBES.sub("", phrase)
    phrase = _CLAUSE.split(re.sub(r"^(?:\w+ )?(?:pair|couple) of ", "", phrase))[0].strip()
    label = _plain(phrase.split(), nouns)
    short = first.endswith(f" {phrase}") and first.count(" ") == len(phrase.split()) <= 2
    if label is None and short and phrase.split()[-1].lower() not in JUNK_HEADS:
        label = phrase
    return label, first if len(first) <= 110 else None


def _plain(words: list[str], nouns: Nouns, others: Sequence[str] | None = None) -> str | None:
    """Words as a label of at most four without mood and size words, or None if none is a thing.

    With `others`, every word must be among them.
    """
    if "of" in words and words[words.index("of") - 1] not in PARTITIVES:
        return None
    words = [word for word in words if word.lower() not in MOODS and not word.isdigit()]
    if not 1 <= len(words) <= 4:
        return None
    last = words[-1].lower()
    if others is not None and not {_stem(w) for w in words} <= {_stem(w) for w in others}:
        return None
    return " ".join(words) if nouns.object_form(last) and last not in JUNK_HEADS else None


def clipart_label(
    title: str, name: str, hints: Sequence[str], authors: Iterable[str], nouns: Nouns
) -> str | None:
    """Label of an Open Clip Art drawing, or None when its texts do not agree on a thing.

    `hints` are the keywords and folder names; the head noun must be repeated by a second witness
    (title, file name or hint), or be a kind of some hint ("dall sheep" under "mammal").
    """
    author_words = {word for author in authors for word in _words(author)}
    if "flag" in _words(name):
        return None
    if re.search(r"theme|collection|clip ?art", title.lower()):
        title = ""
    cleaned = re.sub(r"\([^)]*\)", " ", title.split(" - ")[0])
    candidates = [
        _clipart_words(cleaned, set(), nouns),
        _clipart_words(name, author_words, nouns, from_name=True),
    ]
    witnesses = [set(map(_stem, _words(name))), set(map(_stem, _words(title)))]
    hint_stems = {_stem(word) for hint in hints for word in _words(hint)}
    for words, other, is_name in zip(candidates, witnesses, (False, True), strict=True):
        label = _plain(words, nouns)
        if label is None or not _natural(words, nouns) or (is_name and not _ordered(words, nouns)):
            continue
        if label in DROPPED or (len(words) > 1 and words[-1] in COLOURS):
            continue
        if words[-1] not in _words(name) and (single := nouns.forms(words[-1])[-1]) in _words(name):
            label = " ".join([*label.split()[:-1], single])
        head = next(iter(heads(label, nouns)), words[-1]).split()[-1]
        if _stem(head) in other | hint_stems or any(
            nouns.is_a(head, hint, levels=8) for hint in hint_stems
        ):
            return "house" if label == "home" else label
    return None


def _clipart_words(
    text: str, authors: set[str], nouns: Nouns, from_name: bool = False
) -> list[str]:
    """Words of a title or file name without numbers, junk, author names and trailing fragments."""
    words = [
        word
        for word in _words(text)
        if not any(c.isdigit() for c in word) and word not in JUNK_WORDS
    ]
    words = [word for word in words if not any(author.startswith(word) for author in authors)]
    while from_name and words and not nouns.is_word(words[-1]):
        words.pop()
    return [] if from_name and not SPLITTERS.isdisjoint(words) else words


def _ordered(words: Sequence[str], nouns: Nouns) -> bool:
    """False for file names that may put the kind first: "pizza_cheese", "dodge_neon_pink"."""
    if len(words) > 1 and words[-1] in COLOURS:
        return False
    return nouns.is_noun(" ".join(words)) or all(
        word in COLOURS or (nouns.is_adjective(word) and not nouns.object_form(word))
        for word in words[:-1]
    )


def _natural(words: Sequence[str], nouns: Nouns) -> bool:
    """True when every word is English as WordNet knows it, and none is a scrap of letters."""
    known = [
        w
        for w in words
        if w in SPLITTERS or w in COLOURS or nouns.is_adjective(w) or nouns.is_noun(w)
    ]
    return len(known) == len(words) and all(len(w) > 2 or w in SPLITTERS for w in words)


def _words(text: str) -> list[str]:
    """Lower-case words of a text or file name, split at camelCase; apostrophes are dropped."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace(CURLY, "").replace("'", ""))
    return re.findall(r"[a-z]+|\d+", text.lower())


def _stem(word: str) -> str:
    """A word without a plural ending, for comparing words only."""
    for end, new in (
        ("ies", "y"),
        ("ves", "f"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("xes", "x"),
        ("s", ""),
    ):
        if word.endswith(end) and not word.endswith("ss") and len(word) > len(end) + 2:
            return word[: -len(end)] + new
    return word
