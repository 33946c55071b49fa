"""Grey and shuffled pictures: they hide the answer, and change nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from smolvlm.evaluation.baselines import GREY, alike, answer_alike, grey_like, shuffled, under
from smolvlm.evaluation.tasks import Item, Task, answer
from smolvlm.types import ImagePart, Message, TextPart, VideoPart
from tests.evaluation.players import blind, make_task, oracle, seen, show


def test_grey_pictures_show_nothing_and_keep_their_size(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (30, 20), "red").save(path)
    for source in (path, str(path), Image.open(path)):
        grey = grey_like(source)
        assert (grey.size, grey.getcolors()) == ((30, 20), [(600, (128, 128, 128))])
    task = make_task()
    hidden = under("grey", task, task.items)
    assert {seen(item.pictures[0]) for item in hidden} == {None}
    assert [item.targets for item in hidden] == [item.targets for item in task.items]


def test_shuffled_pictures_are_those_of_another_item() -> None:
    task = make_task(count=9)
    pictures = [id(item.pictures[0]) for item in task.items]
    others = [id(item.pictures[0]) for item in under("shuffled", task, task.items)]
    assert sorted(pictures) == sorted(others)
    assert not any(one == other for one, other in zip(pictures, others, strict=True))


def test_a_partner_does_not_depend_on_how_many_are_asked() -> None:
    task = make_task()
    whole = under("shuffled", task, task.items)
    few = under("shuffled", task, task.items[3:5])
    assert [item.pictures for item in few] == [item.pictures for item in whole[3:5]]


def test_items_are_shuffled_among_those_with_as_many_pictures() -> None:
    def item(name: str, count: int) -> Item:
        parts = [ImagePart(f"{name}{index}") for index in range(count)]
        return Item(name, (Message("user", (*parts, TextPart("?"))),), ("x",))

    items = [item("a", 1), item("b", 2), item("c", 1), item("d", 3), item("e", 2)]
    assert [other.id for other in shuffled(items)] == ["c", "e", "a", "d", "b"]


def test_clips_of_as_many_frames_are_alike_and_shuffled() -> None:
    def item(name: str, count: int) -> Item:
        clip = VideoPart([Image.new("RGB", (8, 8), (index, 0, 0)) for index in range(count)])
        return Item(name, (Message("user", (clip, TextPart("?"))),), ("x",))

    items = [item("a", 2), item("b", 3), item("c", 2)]
    assert [other.id for other in shuffled(items)] == ["c", "b", "a"]
    task = Task("T", "clips", "open", ("exact",), tuple(items))
    hidden = under("grey", task, items)
    assert [[one.id for one in group] for group in alike(hidden)] == [["a", "c"], ["b"]]
    assert {picture.getpixel((0, 0)) for one in hidden for picture in one.pictures} == {GREY}


@pytest.mark.parametrize("kind", ["choice", "open"])
def test_equal_prompts_are_read_once_and_answered_as_if_alone(kind: str) -> None:
    task = make_task(kind, count=8)
    hidden = under("grey", task, task.items)
    [group] = alike(hidden)
    player = blind()
    together = answer_alike(task, group, player)
    assert len(player.calls) == 1
    assert together == answer(task, hidden, blind())


def test_many_different_choices_are_searched_item_by_item() -> None:
    task = make_task(count=4)
    items = [
        replace(item, choices=(*item.choices, *(f"{item.id} {number}" for number in range(6))))
        for item in under("grey", task, task.items)
    ]
    player = blind()
    together = answer_alike(task, items, player)
    assert player.calls == [("likeliest", 10)] * 4
    assert [reply.text for reply in together] == ["dog"] * 4


def test_prompts_that_differ_in_words_or_size_are_not_alike() -> None:
    task = make_task(count=3)
    one, two, three = under("grey", task, task.items)
    two = two.showing([Image.new("RGB", (4, 4))])
    assert [len(group) for group in alike([one, two, three])] == [2, 1]


def test_an_oracle_without_the_picture_falls_to_chance() -> None:
    task = make_task(count=400)
    for condition in ("grey", "shuffled"):
        items = under(condition, task, task.items)
        values = task.values("accuracy", items, answer(task, items, oracle()))
        assert sum(values) / len(values) == pytest.approx(0.25, abs=0.08)
    assert seen(show("hen")) == "hen"
