"""Printable pieces against a slow twin that looks at the whole text again after every piece."""

from __future__ import annotations

import random

import pytest

from smolvlm.generation.stopping import AnswerText, StopMatcher
from tests.mock_engine import ByteDecoder, spell


def slow_twin(pieces: list[str], stops: tuple[str, ...]) -> str:
    """The text before the first stop string, found by searching everything after each piece."""
    text = ""
    for piece in pieces:
        text += piece
        starts = [text.index(stop) for stop in stops if stop in text]
        if starts:
            return text[: min(starts)]
    return text


def cut(text: str, rng: random.Random) -> list[str]:
    pieces = []
    while text:
        size = rng.randint(1, 4)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def test_matches_the_slow_twin_on_random_texts() -> None:
    rng = random.Random(0)
    stopped = 0
    for _ in range(3000):
        text = "".join(rng.choices("ab", k=rng.randint(0, 12)))
        stops = tuple("".join(rng.choices("ab", k=rng.randint(1, 5))) for _ in range(2))
        pieces = cut(text, rng)
        matcher = StopMatcher(stops)
        emitted = ""
        wanted = slow_twin(pieces, stops)
        for piece in pieces:
            emitted += matcher.push(piece)
            assert wanted.startswith(emitted)  # nothing was printed that had to be taken back
        emitted += matcher.flush()
        assert emitted == wanted, (pieces, stops)
        stopped += matcher.stopped
    assert 500 < stopped < 2900


def test_text_is_held_only_while_it_may_begin_a_stop_string() -> None:
    matcher = StopMatcher(("</end>",))
    assert matcher.push("a <") == "a "
    assert matcher.push("/e") == ""
    assert matcher.push("x") == "</ex"
    assert matcher.push("y") == "y"


def test_nothing_comes_after_a_match() -> None:
    matcher = StopMatcher(("\n",))
    assert matcher.push("one\ntwo") == "one"
    assert (matcher.push("three"), matcher.flush(), matcher.stopped) == ("", "", True)


def pieces_of(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], AnswerText]:
    answer = AnswerText(ByteDecoder(), stops)
    return [answer.push(token) for token in spell(text)], answer


@pytest.mark.parametrize("text", ["Grüße", "日本語です", "🙂👍🏽", "a\u0301e"])
def test_pieces_never_end_inside_a_character(text: str) -> None:
    pieces, answer = pieces_of(text)
    assert [piece for piece in pieces if piece] == list(text)
    assert answer.text == text


def test_an_unfinished_character_shows_at_the_end_only() -> None:
    answer = AnswerText(ByteDecoder())
    pieces = [answer.push(token) for token in spell("x日")[:-1]]
    assert pieces == ["x", "", ""]
    assert answer.finish() == "�"
    assert answer.text == "x�"


def test_leading_white_space_goes_and_inner_stays() -> None:
    pieces, answer = pieces_of(" \n A  cat. ")
    assert "".join(pieces) == answer.text == "A  cat. "


def test_a_reply_of_white_space_is_empty() -> None:
    _, answer = pieces_of("  \n ")
    assert (answer.finish(), answer.text) == ("", "")


def test_stop_strings_see_the_trimmed_text() -> None:
    _, answer = pieces_of("\nfirst\nsecond", ("\n",))
    assert (answer.text, answer.stopped) == ("first", True)


def test_finish_gives_what_was_held() -> None:
    _, answer = pieces_of("no end <", ("<end>",))
    assert answer.text == "no end "
    assert (answer.finish(), answer.text) == ("<", "no end <")
