"""Tasks: what is asked, how replies become values, and what guessing scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from smolvlm.evaluation.tasks import Item, Reply, Task, answer, plain_question
from smolvlm.types import ImagePart, Message, TextPart, VideoOptions, VideoPart
from tests.evaluation.players import ANSWERS, blind, make_task, oracle, show


@pytest.mark.parametrize("kind", ["choice", "open"])
def test_an_oracle_is_always_right(kind: str) -> None:
    task = make_task(kind)
    replies = answer(task, task.items, oracle())
    assert set(task.values("accuracy", task.items, replies)) == {1.0}


@pytest.mark.parametrize("kind", ["choice", "open"])
def test_who_never_looks_scores_chance(kind: str) -> None:
    task = make_task(kind)
    replies = answer(task, task.items, blind())
    values = task.values("accuracy", task.items, replies)
    assert sum(values) / len(values) == task.chance("accuracy") == 0.25


def test_open_questions_go_in_one_batch_and_others_one_by_one() -> None:
    task = make_task("open", count=6)
    player = oracle()
    answer(task, task.items, player)
    assert player.calls == [("ask_batch", 6)]
    frames = Message("user", (TextPart("frames:"), ImagePart(show("hen")), TextPart("Which?")))
    clip = Item("clip", (frames,), ("hen",))
    player = oracle()
    [reply] = answer(replace(task, items=(clip,)), [clip], player)
    assert reply.text == "hen" and player.calls == [("chat", 1)]


def test_plain_question() -> None:
    ask = Message("user", (ImagePart("a"), ImagePart("b"), TextPart("Which?")))
    said = Message("assistant", (TextPart("A."),))
    assert plain_question(Item("1", (ask,), ("x",))) == (["a", "b"], "Which?")
    assert plain_question(Item("1", (ask, said, ask), ("x",))) is None
    assert plain_question(Item("1", (Message("system", ask.parts),), ("x",))) is None
    clip = VideoPart(["a", "b"])
    watch = Message("user", (clip, TextPart("Which?")))
    assert plain_question(Item("1", (watch,), ("x",))) == ([clip], "Which?")


def test_the_likeliest_choice_is_taken_and_all_scores_are_kept() -> None:
    task = make_task()
    [reply] = answer(task, task.items[2:3], oracle())
    assert reply.text == "cow" and len(reply.scores) == len(ANSWERS)
    assert reply.scores[2] == max(reply.scores)


def test_likelihood_is_reported_as_perplexity_of_tokens() -> None:
    item = Item("1", (Message("user", (TextPart("Go on."),)),), ("dog",))
    task = Task("E15", "text", "likelihood", ("perplexity",), (item,))
    [reply] = answer(task, [item], blind())
    assert reply.scores == pytest.approx((-0.1, -0.1))
    assert task.values("perplexity", [item], [reply]) == pytest.approx([0.1])
    assert task.values("perplexity", [item], [Reply(problem="too long")]) == []
    assert task.chance("perplexity") is None and not task.has_pictures


def test_chance_is_worked_out_from_the_items() -> None:
    counts = [
        Item(f"{n}/{i}", (Message("user", (TextPart("?"),)),), (str(n),))
        for n in range(11)
        for i in range(3)
    ]
    task = Task("E7", "counting", "open", ("number", "mae"), tuple(counts))
    assert task.chance("number") == pytest.approx(1 / 11)
    # The best constant count of 0 to 10 is 5, which is off by (0+1+...+5 + 1+...+5) / 11.
    assert task.chance("mae") == pytest.approx(30 / 11)
    few = replace(make_task("open"), metrics=("cer",))
    assert 0.0 < (few.chance("cer") or 0.0) < 1.0


def test_chance_of_yes_and_no_and_of_pairs() -> None:
    ask, both = (Message("user", (TextPart("?"),)),), ("Yes.", "No.")
    items = tuple(
        Item(str(i), ask, both[i % 2 : i % 2 + 1], both, {"pair": i // 2}) for i in range(8)
    )
    task = Task("E16", "presence", "choice", ("accuracy", "yes_rate", "flip_rate"), items)
    assert [task.chance(metric) for metric in task.metrics] == [0.5, 0.5, 0.25]
    same = [Reply("Yes.")] * 8
    assert task.values("flip_rate", items, same) == [0.0] * 4
    right = [Reply(item.targets[0]) for item in items]
    assert task.values("flip_rate", items, right) == [1.0] * 4
    opened = replace(task, kind="open")
    assert opened.chance("flip_rate") == 0.0 and opened.chance("yes_rate") is None


def test_an_item_shows_other_pictures_in_the_same_places() -> None:
    parts = (TextPart("a"), ImagePart("1"), TextPart("b"), ImagePart("2"), TextPart("c"))
    item = Item("x", (Message("user", parts),), ("y",)).showing(["3", "4"])
    assert item.pictures == ["3", "4"]
    kinds = Counter(type(part).__name__ for part in item.messages[0].parts)
    assert kinds == {"TextPart": 3, "ImagePart": 2}
    assert isinstance(item.messages[0].parts[1], ImagePart)


def test_the_pictures_of_a_clip_are_its_frames() -> None:
    parts = (ImagePart("1"), VideoPart(["2", "3"], VideoOptions(rate=2)), TextPart("?"))
    item = Item("x", (Message("user", parts),), ("y",))
    assert item.pictures == ["1", "2", "3"]
    other = item.showing(["4", "5", "6"])
    assert other.messages[0].parts == (
        ImagePart("4"),
        VideoPart(["5", "6"], VideoOptions(rate=2)),
        TextPart("?"),
    )
