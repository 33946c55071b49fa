"""Answers that do not flicker: thresholds, hold, and what holds for any course of probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from smolvlm.errors import InputError
from smolvlm.video.hysteresis import Decision, Thresholds, decide


def course(probabilities: list[float], thresholds: Thresholds) -> str:
    """The answers, one a second, as a string of y and n."""
    decision, said = None, ""
    for time, probability in enumerate(probabilities):
        decision = decide(decision, probability, float(time), thresholds)
        said += "y" if decision.yes else "n"
    return said


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        ([0.0, 0.5, 0.59, 0.6, 0.5, 0.41, 0.4, 0.5, 0.6], "nnnyyynny"),
        ([0.5, 0.45, 0.55], "nnn"),  # the first answer is yes only from the upper threshold
        ([0.6, 0.45], "yy"),
        ([1.0, 0.0, 1.0, 0.0], "ynyn"),
    ],
)
def test_two_thresholds(probabilities: list[float], said: str) -> None:
    assert course(probabilities, Thresholds(0.6, 0.4)) == said


def test_one_threshold_for_both() -> None:
    assert course([0.5, 0.5, 0.49, 0.51], Thresholds(0.5, 0.5)) == "ynny"


def test_an_answer_is_held() -> None:
    held = Thresholds(0.6, 0.4, hold=3.0)
    assert course([0, 1, 1, 1, 1, 0, 0, 0, 0], held) == "nnnyyyn" + "nn"
    # Since when it holds counts from the change, not from the last probability.
    before = Decision(True, since=10.0)
    assert decide(before, 0.0, 12.9, held) is before
    assert decide(before, 0.0, 13.0, held) == Decision(False, since=13.0)
    # The clock on the wall was put back by an hour.
    assert decide(before, 0.0, 10.0 - 3600.0, held).yes is False


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    thresholds = Thresholds(0.7, 0.3, hold=float(rng.integers(0, 6)))
    decision: Decision | None = None
    changes: list[float] = []
    for time, probability in enumerate(rng.uniform(0, 1, 200)):
        after = decide(decision, float(probability), float(time), thresholds)
        if decision is not None and after is not decision:
            assert probability >= 0.7 if after.yes else probability <= 0.3
            changes.append(float(time))
        decision = after
    assert all(b - a >= thresholds.hold for a, b in zip([0.0, *changes], changes, strict=False))
    assert changes


def test_the_usual_gap() -> None:
    assert Thresholds.around(0.6).off == pytest.approx(0.4)
    assert Thresholds.around(0.1) == Thresholds(0.1, 0.0)
    assert Thresholds.around(0.9, 0.2, 5.0) == Thresholds(0.9, 0.2, 5.0)


@pytest.mark.parametrize(
    ("on", "off", "hold", "words"),
    [
        (1.2, 0.4, 0, r"the threshold for yes is 1.2; wanted a probability from 0 to 1"),
        (-0.1, 0.0, 0, "the threshold for yes is -0.1"),
        (float("nan"), 0.0, 0, "the threshold for yes is nan"),
        (0.6, -1.0, 0, "the threshold for no is -1"),
        (0.4, 0.6, 0, r"no \(0.6\) is above that for yes \(0.4\)"),
        (0.6, 0.4, -1.0, "the hold time is -1"),
        (0.6, 0.4, float("inf"), "the hold time is inf"),
    ],
)
def test_thresholds_that_cannot_be(on: float, off: float, hold: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Thresholds(on, off, hold)
