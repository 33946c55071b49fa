"""What generators say: no withheld concept, no test drawing, enough wordings, right English."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recipes.embedded.generators import (
    composites,
    digits,
    english,
    games,
    instruments,
    objects,
    questions,
    several,
    words_only,
)
from recipes.embedded.generators import sprites as nouns
from recipes.embedded.materials import Materials
from recipes.embedded.pack import AssetPack, Row
from recipes.embedded.synthetic import SyntheticDrawings
from smolvlm.weights.cache import cache_folder
from tests.recipes.scene_reading import pictures, small_materials, words

WITHHELD_HERE = ("moose", "wrench", "camel")


class Leaky(SyntheticDrawings):
    """The synthetic drawings, some of which are withheld concepts that a pack should not hold."""

    def row(self, index: int) -> Row:
        row = super().row(index)
        if index % 7 == 4:
            name = WITHHELD_HERE[index % 3]
            return {**row, "label": name, "answers": [name], "sentence": f"A big {name}"}
        return row


@pytest.fixture
def materials() -> Materials:
    return small_materials()


def texts_of(materials: Materials, count: int) -> Iterator[tuple[str, str]]:
    """(task, question and answer) of many seeds without painting where that can be helped."""
    makers: dict[str, Callable[[int], list[questions.Turn]]] = {}
    for task in composites.SCENES:
        makers[task] = lambda seed, task=task: composites.made(task, materials, seed)[1]
    for task in objects.SCENES:
        makers[task] = lambda seed, task=task: objects.made(task, materials, seed)[1]
    for task in several.GROUPS:
        makers[task] = lambda seed, task=task: several.made(task, materials, seed)[1]
    for task, make in makers.items():
        for seed in range(count):
            yield task, " ".join(f"{t.question} {t.answer}" for t in make(seed))
    for task in words_only.GENERATORS:
        for seed in range(count):
            yield task, words(words_only.GENERATORS[task](materials, seed))


def test_withheld_concepts_never_come_up() -> None:
    base = small_materials()
    leaky = Materials([], b"", Leaky())
    assert any(Leaky().row(i)["label"] in WITHHELD_HERE for i in Leaky().indices("train"))
    for source in (base, leaky):
        for task, text in texts_of(source, 120):
            assert not nouns.withheld().mentions(text), (task, text)


@pytest.mark.parametrize("split", ["train", "test"])
def test_splits_keep_to_their_artists(split: Any) -> None:
    drawings = small_materials().drawings
    known = nouns.sprites(drawings, split)
    for seed in range(40):
        scene, _ = composites.made("composite_count", small_materials(), seed, split=split)
        sources = {drawings.row(t.sprite)["source"] for t in scene.things if t.sprite is not None}
        assert (sources == {"openmoji"}) == (split == "test")
        assert {t.name for t in scene.things} <= {n.name for n in known.countable}


@pytest.mark.parametrize("licence", ["green", "all"])
def test_the_real_pack_gives_no_withheld_noun(licence: str) -> None:
    folder: Path = cache_folder() / "assets" / licence
    if not (folder / "pack.jsonl").is_file():
        pytest.skip("no asset pack has been built on this machine")
    pack = AssetPack(folder)
    for split in ("train", "test"):
        known = nouns.sprites(pack, split)
        assert len(known.countable) > 200
        assert not any(nouns.withheld().mentions(n.name, *n.accepted) for n in known.nouns)
        rows = {pack.row(i)["split"] for n in known.nouns for i in n.rows}
        assert rows == {split}
        plurals = [english.plural(n.name) for n in known.countable]
        assert len(set(plurals)) == len(plurals)
    materials = Materials([], b"", pack)
    for task in ("object_name", "object_describe", "object_category", "object_presence"):
        for seed in range(600):
            _, turns = objects.made(task, materials, seed)
            assert not nouns.withheld().mentions(*(f"{t.question} {t.answer}" for t in turns))


def test_every_format_has_five_wordings() -> None:
    local = [
        value
        for module in (instruments, games, digits)
        for name, value in vars(module).items()
        if name.startswith("_") and isinstance(value, tuple) and isinstance(value[0], str)
        if value[0].endswith("?")
    ]
    assert len(local) >= 10
    for wordings in (*questions.WORDINGS.values(), *local):
        assert len(set(wordings)) >= 5


def test_without_a_picture_the_model_says_so(materials: Materials) -> None:
    for seed in range(50):
        sample = words_only.GENERATORS["text_refusal"](materials, seed)
        for message in sample.messages[1::2]:
            assert message.parts[0].text in words_only.REFUSALS
        assert not pictures(sample)


@pytest.mark.parametrize(
    ("one", "many"),
    [("fox", "foxes"), ("mouse", "mice"), ("red knife", "red knives"), ("ferry", "ferries"),
     ("toy", "toys"), ("sheep", "sheep"), ("bus", "buses"), ("Christmas tree", "Christmas trees")],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert english.plural(one) == many
    assert english.counted(3, one) == f"three {many}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unicorn", "a unicorn"),
        ("owl", "an owl"),
        ("hourglass", "an hourglass"),
        ("jeans", "jeans"),
        ("bread", "bread"),
        ("sun", "the sun"),
        ("hippopotamus", "a hippopotamus"),
        ("two red dice", "two red dice"),
    ],
)
def test_articles(name: str, said: str) -> None:
    assert english.with_article(name) == said


def test_names_that_are_both_true_are_not_apart() -> None:
    def noun(name: str, *accepted: str) -> nouns.Noun:
        return nouns.Noun(name, "g", "c", None, (0,), frozenset({name, *accepted}), True)

    assert not nouns.apart(noun("duck", "bird"), noun("bird"))
    assert not nouns.apart(noun("horse"), noun("horse face"))
    assert not nouns.apart(noun("car"), noun("taxi"))
    assert not nouns.apart(noun("leopard"), noun("cheetah"))  # they look alike when drawn small
    assert nouns.apart(noun("dog"), noun("wolf"))


def test_too_few_drawings_are_refused() -> None:
    class Few(SyntheticDrawings):
        def indices(self, split: str = "train", licence_class: str | None = None) -> list[int]:
            return [4, 5]

    with pytest.raises(ValueError, match="cannot be mistaken"):
        composites.GENERATORS["composite_relation"](Materials([], b"", Few()), 0)
