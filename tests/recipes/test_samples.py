"""Questions and answers: articles, balance, and never a wrong "No."."""

from __future__ import annotations

from collections import Counter

import pytest

from recipes.embedded.samples import (
    DESCRIBE_QUESTIONS,
    EMPTY_ANSWER,
    NAME_QUESTIONS,
    PRESENCE_QUESTIONS,
    name_answer,
    turns,
    with_article,
)
from tests.recipes.small_pack import LABELS, make_row


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("orangutan", "an orangutan"),
        ("dump truck", "a dump truck"),
        ("Eiffel tower", "an Eiffel tower"),
        ("scissors", "scissors"),
        ("pair of glasses", "pair of glasses"),
        ("bus", "a bus"),
        ("wine glass", "a wine glass"),
        ("iris", "an iris"),
        ("the moon", "the moon"),
        ("two dogs", "two dogs"),
    ],
)
def test_articles(label: str, said: str) -> None:
    assert with_article(label) == said
    assert name_answer(label) == f"{said[0].upper()}{said[1:]}."


def nouns_asked_about(question: str) -> list[str]:
    """The labels a yes/no question may be about, by its wording alone."""
    forms = {
        form.format(with_article(label)): label for label in LABELS for form in PRESENCE_QUESTIONS
    }
    return [forms[question]] if question in forms else []


def test_every_noun_is_there_as_often_as_it_is_not() -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for label in LABELS:
        for seed in range(1200):
            _, yes_or_no = turns(make_row(label), LABELS, seed=seed, second=True)
            [noun] = nouns_asked_about(yes_or_no.question)
            assert yes_or_no.answer == ("Yes." if noun == label else "No.")
            counts[noun, yes_or_no.answer] += 1
    for noun in LABELS:
        yes, no = counts[noun, "Yes."], counts[noun, "No."]
        assert abs(yes - no) < 0.15 * (yes + no)
        assert yes + no > 800


def test_a_wrong_noun_is_never_another_name_of_the_thing() -> None:
    row = make_row("spanner", answers=["spanner", "wrench"])
    labels = ["hammer", "spanner", "wrench"]
    said = {turns(row, labels, seed=seed, second=True)[1] for seed in range(300)}
    assert {turn.answer for turn in said if "hammer" in turn.question} == {"No."}
    assert {turn.answer for turn in said if "spanner" in turn.question} == {"Yes."}
    assert not any("wrench" in turn.question for turn in said)


def test_an_empty_tile_shows_nothing() -> None:
    for seed in range(100):
        [only] = turns(None, LABELS, seed=seed, second=False)
        first, other = turns(None, LABELS, seed=seed, second=True)
        assert only.answer == ("No." if nouns_asked_about(only.question) else EMPTY_ANSWER)
        assert first.answer == EMPTY_ANSWER and other.answer == "No."
        assert first.question in NAME_QUESTIONS + DESCRIBE_QUESTIONS
        assert nouns_asked_about(other.question)


def first_turns(**row: object) -> set[tuple[str, str]]:
    made = make_row(**row)  # type: ignore[arg-type]
    found = [turns(made, LABELS, seed=seed, second=False) for seed in range(200)]
    assert all(len(turns_) == 1 for turns_ in found)
    return {(turn.question, turn.answer) for [turn] in found}


def test_names_answer_names_and_captions_answer_descriptions() -> None:
    for question, answer in first_turns(label="apple"):
        named = question in NAME_QUESTIONS
        assert named != (question in DESCRIBE_QUESTIONS)
        assert answer == ("An apple." if named else "A picture of an apple.")


def test_a_sentence_is_the_caption() -> None:
    found = first_turns(label="clock", sentence="a clock showing noon.")
    captions = {answer for question, answer in found if question in DESCRIBE_QUESTIONS}
    assert captions == {"A clock showing noon."}
    assert {answer for question, answer in found if question in NAME_QUESTIONS} == {"A clock."}


def test_without_a_name_only_the_sentence_is_told() -> None:
    row = make_row(None, sentence="Two friends at sea.")
    for seed in range(50):
        [turn] = turns(row, LABELS, seed=seed, second=True)
        assert turn.question in DESCRIBE_QUESTIONS and turn.answer == "Two friends at sea."


def test_the_same_seed_gives_the_same_turns() -> None:
    row = make_row("apple")
    for seed in range(20):
        again = turns(row, LABELS, seed=seed, second=True)
        assert turns(row, LABELS, seed=seed, second=True) == again
    assert len({turns(row, LABELS, seed=seed, second=True)[1] for seed in range(50)}) > 5
