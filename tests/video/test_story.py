"""The rolling description: what it keeps, what it drops, and that it never grows."""

from __future__ import annotations

from smolvlm.video.story import MAX_CHARACTERS, MAX_LINES, Story


def test_lines_stand_before_the_question_with_their_times() -> None:
    story = Story().add(2.0, "A door.").add(75.5, " A man\n opens it. ")
    assert story.before("Who is it?") == (
        "Seen before:\n0:02 A door.\n1:15.5 A man opens it.\n\nWho is it?"
    )
    assert Story().before("Who is it?") == "Who is it?"


def test_the_same_words_again_and_no_words_add_nothing() -> None:
    story = Story().add(1.0, "A cat.")
    assert story.add(2.0, "A cat.") is story
    assert story.add(2.0, " \n") is story
    assert len(story.add(2.0, "A dog.").add(3.0, "A cat.").lines) == 3


def test_it_never_grows_beyond_its_bounds() -> None:
    story = Story()
    for number in range(1000):
        story = story.add(float(number), f"{number} " + "word " * (number % 200))
        assert 1 <= len(story.lines) <= MAX_LINES
        assert sum(len(words) for _, words in story.lines) <= MAX_CHARACTERS
        assert story.lines[-1][0] == number  # the newest line is always there
