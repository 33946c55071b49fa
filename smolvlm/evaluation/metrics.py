"""How good one answer is: pure functions of (answer, accepted answers), and their names.

Every metric gives one number for one item; the score of a task is their mean. Which metric a task
uses is the suite's business, intervals are `bootstrap.py`'s. Edit distances come from rapidfuzz
(extra `eval`).

Definitions: CER and WER are edits per character or word of the truth, at most 1. ANLS is the
document-question metric (1 - normalised edit distance, 0 from a distance of 0.5 on). Relaxed
accuracy is the chart-question metric (numbers within 5 %). VQA accuracy compares with several
people's answers, three who agree make it right.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from smolvlm.errors import InputError

ANLS_THRESHOLD = 0.5  # of the normalised distance; from here on an answer is simply wrong
RELAXED_SHARE = 0.05  # of the true value that a number read from a chart may be off
AGREEING = 3  # people whose agreement makes a VQA answer wholly right
NO_NUMBER_ERROR = 10.0  # how far off an answer without any number counts

_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_ARTICLES = {"a", "an", "the"}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\.\d+")
_INNER_SIGNS = re.compile(r"(?<=\d)\.(?=\d)|(?<!\w)-(?=\.?\d)")  # decimal points and minus signs


def normalise(text: str) -> str:
    """Lower case, NFKC, no punctuation, articles or thousands separators, single spaces.

    Decimal points and minus signs of numbers stay: 3.5 is not 35.
    """
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).lower())
    kept = {match.start() for match in _INNER_SIGNS.finditer(text)}
    letters = (c if i in kept or not _is_punctuation(c) else " " for i, c in enumerate(text))
    words = "".join(letters).split()
    return " ".join(word for word in words if word not in _ARTICLES) or " ".join(words)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P"


def number_in(text: str) -> float | None:
    """The first number of a text, in digits or as a word up to twelve; None if there is none."""
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).lower())
    digits = _NUMBER.search(plain)
    words = re.search(rf"\b({'|'.join(_NUMBER_WORDS)})\b", plain)
    if digits and (not words or digits.start() < words.start()):
        return float(digits[0])
    return float(_NUMBER_WORDS.index(words[1])) if words else None


def exact(answer: str, targets: Sequence[str]) -> float:
    """1 if the normalised answer is one of the normalised targets."""
    return float(normalise(answer) in {normalise(target) for target in targets})


def cer(answer: str, targets: Sequence[str]) -> float:
    """Character error rate against the nearest target, at most 1; spaces collapsed, case counts."""
    said = _plain(answer)
    return min(_error_rate(said, _plain(target)) for target in targets)


def wer(answer: str, targets: Sequence[str]) -> float:
    """Word error rate against the nearest target, at most 1."""
    said = _plain(answer).split()
    return min(_error_rate(said, _plain(target).split()) for target in targets)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _error_rate(said: Sequence[str], truth: Sequence[str]) -> float:
    if not truth:
        return float(bool(said))
    return min(1.0, _edits()(said, truth) / len(truth))


def anls(answer: str, targets: Sequence[str]) -> float:
    """Best similarity to a target, in [0, 1], lower-cased; 0 where more than half would change."""
    said = _plain(answer).lower()
    return max(_similarity(said, _plain(target).lower()) for target in targets)


def _similarity(said: str, truth: str) -> float:
    longest = max(len(said), len(truth))
    distance = _edits()(said, truth) / longest if longest else 0.0
    return 1.0 - distance if distance < ANLS_THRESHOLD else 0.0


def relaxed(answer: str, targets: Sequence[str]) -> float:
    """1 if the number is within 5 % of a target's (0: exactly); words must match exactly."""
    said = number_in(answer)
    return max(_relaxed(answer, said, target) for target in targets)


def _relaxed(answer: str, said: float | None, target: str) -> float:
    truth = _as_number(target)
    if truth is None:
        return exact(answer, [target])
    return float(said is not None and abs(said - truth) <= RELAXED_SHARE * abs(truth))


def _as_number(text: str) -> float | None:
    """The value of a text that is only a number, perhaps with a sign for money or percent."""
    bare = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text)).strip().strip("$€£% .")
    return float(bare) if _NUMBER.fullmatch(bare) else None


def number(answer: str, targets: Sequence[str]) -> float:
    """1 if the first number of the answer is a target's number."""
    said = number_in(answer)
    return float(said is not None and said in {number_in(target) for target in targets})


def absolute_error(answer: str, targets: Sequence[str]) -> float:
    """How far the answer's number is from the (first) target's; 10 for no number at all."""
    said, truth = number_in(answer), number_in(targets[0])
    assert truth is not None, targets
    return NO_NUMBER_ERROR if said is None else abs(said - truth)


def keyword(answer: str, targets: Sequence[str]) -> float:
    """1 if any target stands in the answer as whole words; plurals are accepted."""
    said = _plain(answer).lower()
    return float(any(_mentions(said, _plain(target).lower()) for target in targets))


def _mentions(said: str, word: str) -> bool:
    stem = re.escape(word)
    plural = rf"{stem}(?:e?s)?" if not word.endswith("y") else rf"(?:{stem}s?|{stem[:-1]}ies)"
    return re.search(rf"(?<!\w){plural}(?!\w)", said) is not None


def vqa(answer: str, targets: Sequence[str]) -> float:
    """Agreement with several people's answers: mean over all but one of min(1, agreeing / 3)."""
    said = _vqa_form(answer)
    agree = [_vqa_form(target) == said for target in targets]
    if len(agree) == 1:
        return float(agree[0])
    return sum(min(1.0, (sum(agree) - own) / AGREEING) for own in agree) / len(agree)


def _vqa_form(text: str) -> str:
    words = normalise(text).split()
    return " ".join(
        str(_NUMBER_WORDS.index(word)) if word in _NUMBER_WORDS else word for word in words
    )


def point_in_box(answer: str, targets: Sequence[str]) -> float:
    """1 if the answer's first two numbers "x,y" lie in a target "left,top,right,bottom"."""
    numbers = [float(found) for found in _NUMBER.findall(answer)]
    if len(numbers) < 2:
        return 0.0
    x, y = numbers[:2]
    boxes = [[float(found) for found in _NUMBER.findall(target)] for target in targets]
    return float(any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in boxes))


def middle(box: str) -> str:
    """The answer "x,y" that points at the middle of a target of `point_in_box`."""
    left, top, right, bottom = (float(found) for found in _NUMBER.findall(box))
    return f"{(left + right) / 2:.1f},{(top + bottom) / 2:.1f}"


def yes_rate(answer: str, targets: Sequence[str]) -> float:
    """1 for an answer that begins with yes, whatever would be right."""
    return float(normalise(answer).split()[:1] == ["yes"])


def pairs_right(values: Sequence[float], pairs: Sequence[str]) -> list[float]:
    """One value per pair of items: 1 if both are right. `pairs` names the pair of each item.

    For clips shown forwards and backwards this is the flip rate: who ignores the order of frames
    says the same twice, and is right at most once. Items whose partner is missing are left out.
    """
    sizes = Counter(pairs)
    least: dict[str, float] = {}
    for pair, value in zip(pairs, values, strict=True):
        if sizes[pair] == 2:
            least[pair] = min(value, least.get(pair, 1.0))
    return [float(value == 1.0) for value in least.values()]


class Edits(Protocol):
    """The least number of insertions, deletions and substitutions between two sequences."""

    def __call__(self, first: Sequence[str], second: Sequence[str], /) -> int: ...  # noqa: D102


@cache
def _edits() -> Edits:
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise InputError(
            "evaluation needs the package rapidfuzz; install it with pip install 'smolvlm[eval]'"
        ) from None
    return Levenshtein.distance


@dataclass(frozen=True)
class Metric:
    """A named metric.

    value: of one item; None where the task brings its own values (likelihoods).
    higher: whether more is better, None for neither.
    paired: whether values are joined by `pairs_right` before they are averaged.
    shown: turns the mean into what is reported.
    answer: what somebody would say who means a target.
    """

    value: Callable[[str, Sequence[str]], float] | None
    higher: bool | None = True
    paired: bool = False
    shown: Callable[[float], float] = float
    answer: Callable[[str], str] = str


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(exact),
    "exact": Metric(exact),
    "cer": Metric(cer, higher=False),
    "wer": Metric(wer, higher=False),
    "anls": Metric(anls),
    "relaxed": Metric(relaxed),
    "number": Metric(number),
    "mae": Metric(absolute_error, higher=False),
    "keyword": Metric(keyword),
    "vqa": Metric(vqa),
    "point": Metric(point_in_box, answer=middle),
    "yes_rate": Metric(yes_rate, higher=None),
    "flip_rate": Metric(exact, paired=True),
    "perplexity": Metric(None, higher=False, shown=math.exp),  # values: nats per token
}
