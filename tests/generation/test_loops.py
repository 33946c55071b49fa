"""Endless repetition is noticed, and repetition that is meant is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from smolvlm.generation.generate import Generation
from smolvlm.generation.loops import (
    LONGEST_PERIOD,
    TIMES,
    TOKENS_WITH_WORDS,
    TOKENS_WITHOUT_WORDS,
    LoopWatch,
)
from smolvlm.generation.sequence import Request
from smolvlm.types import GenerationSettings
from tests.mock_engine import BYTES, ByteDecoder, MockEngine, mock_config, spell


def text_of(tokens: Sequence[int]) -> str:
    return bytes(token - BYTES for token in tokens).decode(errors="replace")


def noticed_at(text: str) -> int | None:
    """After how many tokens (bytes here) the watch sees a loop."""
    watch = LoopWatch(text_of)
    return next((place for place, t in enumerate(spell(text), start=1) if watch.push(t)), None)


def naive(text: str) -> int | None:
    """The same by the definition: compare the end with itself, period by period."""
    for end in range(1, len(text) + 1):
        for period in range(1, LONGEST_PERIOD + 1):
            run = 0
            while run + period < end and text[end - 1 - run] == text[end - 1 - run - period]:
                run += 1
            length = run + period
            if run and length >= max(TIMES * period, TOKENS_WITH_WORDS):
                spoken = text[end - period : end]
                words = any(c.isalpha() for c in spoken) and "|" not in spoken
                if words or length >= TOKENS_WITHOUT_WORDS:
                    return end
                break
    return None


@pytest.mark.parametrize(
    "period", ["no ", "a", "the cat sat on the mat. ", "日本語", "x" * 3 + "y"]
)
def test_words_without_end_are_noticed(period: str) -> None:
    length = len(period.encode())
    found = noticed_at("It says: " + period * 80)
    assert found is not None
    assert found - len("It says: ") <= max(TOKENS_WITH_WORDS, TIMES * length) + length


@pytest.mark.parametrize(
    "text",
    [
        "| 0 | 0 | 0 |\n" * 11,  # rows of a table
        "| yes | no |\n" * 12,
        "Chapter 1 " + "." * 150 + " 7",  # leaders
        "-" * 150,
        "1 000 000 000 000 000 000 000 000 000 000 000 000 000 000 000 000",
        "ha ha ha ha, he laughed, ha ha ha ha",
        "Row, row, row your boat, " * 3,  # a refrain
        "\n".join(f"{n}. apple" for n in range(1, 40)),  # a list is no loop: its numbers go on
        "\n".join(f"| {n} | 0 | 0 |" for n in range(40)),
        "no " * 21,
    ],
)
def test_repetition_that_is_meant_is_left_alone(text: str) -> None:
    assert noticed_at(text) is None


@pytest.mark.parametrize("text", ["." * 400, "| 0 |\n" * 100, "0" * 400, "| yes | no |\n" * 40])
def test_signs_and_tables_end_later_but_end(text: str) -> None:
    found = noticed_at(text)
    assert found is not None and found >= TOKENS_WITHOUT_WORDS


def test_the_longest_period_and_one_beyond_it() -> None:
    rng = np.random.default_rng(0)
    letters = "".join(rng.choice(list("abcdefghij "), LONGEST_PERIOD + 1))
    assert noticed_at(letters[:-1] * 8) == TIMES * LONGEST_PERIOD
    assert noticed_at(letters * 8) is None


def test_a_loop_that_is_broken_starts_anew() -> None:
    assert noticed_at("no " * 20 + "yes " + "no " * 20) is None


@pytest.mark.parametrize("seed", range(6))
def test_as_by_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    period = "".join(rng.choice(list("ab|. 0"), rng.integers(1, 9)))
    text = "".join(rng.choice(list("ab|. 0"), rng.integers(0, 90))) + period * 60
    assert noticed_at(text) == naive(text) is not None


def say(text: str, **settings: object) -> tuple[str, str]:
    engine = MockEngine(mock_config(context=2000), [spell(text)])
    request = Request(
        np.array([5, 6, 7], dtype=np.int64),
        np.zeros((0, 16, 16, 3), np.uint8),
        GenerationSettings(**{"max_new_tokens": 1000, **settings}),
    )
    [answer] = Generation(engine, [request], ByteDecoder).run()
    return answer.finish_reason, answer.text


def test_an_answer_in_a_loop_ends_with_its_own_reason() -> None:
    reason, text = say("It is red. " * 50)
    assert reason == "repetition"
    assert text.startswith("It is red. It is red. ") and len(text) <= TOKENS_WITH_WORDS + 11


def test_a_loop_may_go_on() -> None:
    assert say("It is red. " * 50, keep_repeating=True) == ("stop", "It is red. " * 50)
    assert say("It is red. " * 50, max_new_tokens=20)[0] == "length"
    assert say("| 0 | 0 |\n" * 10) == ("stop", "| 0 | 0 |\n" * 10)


def test_other_reasons_come_first() -> None:
    long = "no " * 21 + "n"  # the next token would be the last of a loop
    assert say(long + "o ", max_new_tokens=TOKENS_WITH_WORDS)[0] == "length"
    assert say(long + "o ", stop=("no " * 21 + "n",))[0] == "stop_string"
