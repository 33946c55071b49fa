"""A small reader of WordNet's noun files: which words name things, and which name the same thing.

Reads the plain files of the Debian package `wordnet-base` (`index.noun`, `data.noun`, `noun.exc`,
`index.adj`). Knows nothing about pictures or labels; `labels` asks it questions.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

# Lexicographer files whose nouns can be drawn: tops, animal, artifact, body, food, object,
# phenomenon, plant.
OBJECT_FILES = frozenset({"03", "05", "06", "08", "13", "17", "19", "20"})
_SUFFIXES = (
    ("ies", "y"),
    ("ves", "f"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("s", ""),
)


class Nouns:
    """WordNet nouns by lemma. `folder` holds the database files."""

    def __init__(self, folder: Path) -> None:
        self._senses: dict[str, list[str]] = {}
        self._file: dict[str, str] = {}
        self._words: dict[str, list[str]] = {}
        self._parents: dict[str, list[str]] = {}
        self._read_index(folder / "index.noun")
        self._read_synsets(folder / "data.noun")
        self._plurals = dict(line.split()[:2] for line in _lines(folder / "noun.exc"))
        self._adjectives = {line.split(" ", 1)[0] for line in _lines(folder / "index.adj")}

    def _read_index(self, path: Path) -> None:
        for line in _lines(path):
            fields = line.split()
            self._senses[fields[0]] = fields[-int(fields[2]) :]

    def _read_synsets(self, path: Path) -> None:
        for line in _lines(path):
            fields = line.partition(" | ")[0].split()
            offset, count = fields[0], int(fields[3], 16)
            self._file[offset] = fields[1]
            self._words[offset] = [word for word in fields[4 : 4 + 2 * count : 2] if word.islower()]
            pointers = fields[5 + 2 * count :]
            self._parents[offset] = [
                pointers[i + 1]
                for i in range(0, len(pointers) - 1, 4)
                if pointers[i] in ("@", "@i")
            ]

    def is_adjective(self, word: str) -> bool:
        """True when `word` is listed as an adjective."""
        return word.lower() in self._adjectives

    def is_noun(self, phrase: str) -> bool:
        """True when `phrase`, or its singular, is listed as a noun of any kind."""
        return any(_key(form) in self._senses for form in self.forms(phrase))

    def is_word(self, word: str) -> bool:
        """True when `word` is listed as a noun or an adjective."""
        return self.is_noun(word) or self.is_adjective(word)

    def forms(self, phrase: str) -> list[str]:
        """`phrase` as written, then its singular forms that are nouns."""
        phrase = phrase.lower()
        found = [phrase]
        head, last = phrase[: -len(phrase.split(" ")[-1])], phrase.split(" ")[-1]
        singulars = [self._plurals[last]] if last in self._plurals else []
        singulars += [
            last[: -len(end)] + new
            for end, new in _SUFFIXES
            if last.endswith(end) and not last.endswith("ss") and len(last) > len(end) + 1
        ]
        return found + [head + word for word in singulars if _key(head + word) in self._senses]

    def object_form(self, phrase: str, senses: int = 2) -> str | None:
        """The form of `phrase` (as is, else singular) with a thing among its first senses."""
        for form in self.forms(phrase):
            if any(
                self._file[s] in OBJECT_FILES for s in self._senses.get(_key(form), [])[:senses]
            ):
                return form
        return None

    def synonyms(self, phrase: str, files: Collection[str] = OBJECT_FILES) -> list[str]:
        """Up to four words of the first sense of `phrase` in `files`, if that is their main one."""
        for form in self.forms(phrase):
            senses = self._senses.get(_key(form), [])[:3]
            sense = next((s for s in senses if self._file[s] in files), "")
            same = [word for word in self._words.get(sense, ()) if word != _key(form)]
            if sense:
                return [w.replace("_", " ") for w in same if self._senses[w][0] == sense][:4]
        return []

    def is_a(self, phrase: str, kind: str, levels: int = 3) -> bool:
        """True when an object sense of `phrase` is one of `kind`, or at most `levels` below one."""
        kinds = set(self._object_senses(kind))
        current = self._object_senses(phrase)
        for _ in range(levels + 1):
            if kinds.intersection(current):
                return True
            current = [parent for sense in current for parent in self._parents[sense]]
        return False

    def _object_senses(self, phrase: str) -> list[str]:
        return [
            s
            for form in self.forms(phrase)
            for s in self._senses.get(_key(form), [])[:3]
            if self._file[s] in OBJECT_FILES
        ]


def _key(phrase: str) -> str:
    return phrase.replace(" ", "_")


def _lines(path: Path) -> list[str]:
    """Lines of a WordNet file without its licence header, which is indented by two spaces."""
    return [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")
    ]
