"""Metrics against values worked out by hand, and edit distance against the textbook recurrence."""

from __future__ import annotations

import builtins
import random
from collections.abc import Sequence
from typing import Any

import pytest

from smolvlm.errors import InputError
from smolvlm.evaluation import metrics
from smolvlm.evaluation.metrics import METRICS, normalise, number_in, pairs_right


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  The Cat. ", "cat"),
        ("An apple, a pear!", "apple pear"),
        ("1,234,567", "1234567"),
        ("1,23", "1 23"),  # no thousands separator
        ("$3.50", "$3.50"),
        ("-3.5%", "-3.5"),
        ("Yes.", "yes"),
        ("well-known", "well known"),
        ("\uff21\uff22", "ab"),  # full-width letters
        ("ﬁne", "fine"),
        ("the", "the"),  # nothing else is left
        ("", ""),
    ],
)
def test_normalise(text: str, wanted: str) -> None:
    assert normalise(text) == wanted
    assert normalise(wanted) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("There are 3 ducks.", 3.0),
        ("three ducks, 4 cats", 3.0),
        ("4 cats, three ducks", 4.0),
        ("1,200.5 dollars", 1200.5),
        ("-2", -2.0),
        ("none", None),
        ("Ten.", 10.0),
        ("someone", None),
    ],
)
def test_number_in(text: str, wanted: float | None) -> None:
    assert number_in(text) == wanted


def slow_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """The recurrence, without any cleverness."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return slow_distance(one[1:], other[1:])
    tails = ((one[1:], other), (one, other[1:]), (one[1:], other[1:]))
    return 1 + min(slow_distance(*pair) for pair in tails)


def test_error_rates_follow_the_recurrence() -> None:
    rng = random.Random(0)
    for _ in range(40):
        said, truth = ("".join(rng.choices("ab", k=rng.randint(1, 6))) for _ in range(2))
        wanted = min(1.0, slow_distance(said, truth) / len(truth))
        assert metrics.cer(said, [truth]) == pytest.approx(wanted)
        words = min(1.0, slow_distance([*said], [*truth]) / len(truth))
        assert metrics.wer(" ".join(said), [" ".join(truth)]) == pytest.approx(words)


@pytest.mark.parametrize(
    ("metric", "answer", "targets", "wanted"),
    [
        ("exact", "The cat.", ["dog", "Cat"], 1.0),
        ("exact", "a black cat", ["cat"], 0.0),
        ("cer", "hello", ["hello"], 0.0),
        ("cer", "hallo", ["hello"], 0.2),
        ("cer", "Hello", ["hello"], 0.2),
        ("cer", "a  b\nc", ["a b c"], 0.0),
        ("cer", "", ["hello"], 1.0),
        ("cer", "quite another thing", ["hello"], 1.0),  # capped
        ("cer", "hallo", ["xxxxx", "hello"], 0.2),
        ("wer", "the cat sat", ["the dog sat"], 1 / 3),
        ("anls", "Paris", ["paris"], 1.0),
        ("anls", "pariz", ["paris"], 0.8),
        ("anls", "parzz", ["paris"], 0.6),
        ("anls", "abzz", ["abcd"], 0.0),  # half is wrong
        ("anls", "pariz", ["london", "paris"], 0.8),
        ("relaxed", "about 104", ["100"], 1.0),
        ("relaxed", "105", ["100"], 1.0),
        ("relaxed", "105.1", ["100"], 0.0),
        ("relaxed", "0.01", ["0"], 0.0),
        ("relaxed", "0", ["0"], 1.0),
        ("relaxed", "1,020", ["$1,000"], 1.0),
        ("relaxed", "March.", ["march"], 1.0),
        ("relaxed", "April", ["march"], 0.0),
        ("relaxed", "ten", ["10%"], 1.0),
        ("number", "There are three.", ["3"], 1.0),
        ("number", "many", ["3"], 0.0),
        ("mae", "7", ["3"], 4.0),
        ("mae", "none", ["0"], 10.0),
        ("keyword", "Two big dogs.", ["dog"], 1.0),
        ("keyword", "Cherries!", ["cherry"], 1.0),
        ("keyword", "A hot-dog stand", ["dog"], 1.0),
        ("keyword", "A dogma", ["dog"], 0.0),
        ("keyword", "An ice cream", ["ice cream", "cone"], 1.0),
        ("vqa", "yes", ["yes"] * 10, 1.0),
        ("vqa", "two", ["2"] * 2 + ["3"] * 8, 0.6),
        ("vqa", "2", ["2"] * 3 + ["3"] * 7, 0.9),
        ("vqa", "2", ["2"] * 4 + ["3"] * 6, 1.0),
        ("vqa", "2", ["3"] * 10, 0.0),
        ("point", "50, 20", ["40,10,60,30"], 1.0),
        ("point", "(50, 31)", ["40,10,60,30"], 0.0),
        ("point", "left", ["40,10,60,30"], 0.0),
        ("yes_rate", "Yes, it is.", ["No."], 1.0),
        ("yes_rate", "No, yes", ["Yes."], 0.0),
    ],
)
def test_values(metric: str, answer: str, targets: list[str], wanted: float) -> None:
    value = METRICS[metric].value
    assert value is not None
    assert value(answer, targets) == pytest.approx(wanted)


def test_a_pair_is_right_when_both_are() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    pairs = ["a", "a", "b", "b", "c", "c", "alone"]
    assert pairs_right(values, pairs) == [1.0, 0.0, 0.0]


def test_rapidfuzz_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("rapidfuzz"):
            raise ImportError(name)
        return real(name, *rest)

    metrics._edits.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"rapidfuzz.*smolvlm\[eval\]"):
        metrics.cer("a", ["b"])
