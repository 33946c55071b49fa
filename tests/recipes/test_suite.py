"""The embedded suite: balanced lists, pictures that agree with them, a folder that can be read."""

from __future__ import annotations

import dataclasses
import gzip
import sys
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes.embedded.generators import clips, shapes, text
from recipes.embedded.generators.questions import WORDINGS
from recipes.embedded.materials import Materials
from recipes.embedded.suite import __main__ as command
from recipes.embedded.suite import digits, drawn, named, texts
from recipes.embedded.suite.build import build, list_path, write_lists
from recipes.embedded.suite.drawn import FIRST_SEED, Drawn, fits_wording, turns
from recipes.embedded.suite.moving import Clips
from recipes.embedded.suite.plans import ALL_SHAPES, PLANS, mixed, seeds_only
from recipes.embedded.suite.points import Points
from recipes.embedded.suite.rows import ITEMS, Plan, read_rows
from smolvlm.errors import InputError
from smolvlm.evaluation.suite import read_suite
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy
from smolvlm.types import ImagePart, Message, TextPart, VideoPart
from smolvlm.weights.cache import cache_folder

SHAPE = Drawn(
    seeds_only(shapes.GENERATORS["shape_name"]), 16,
    wordings=WORDINGS["shape"], answers=ALL_SHAPES, choices=ALL_SHAPES,
)  # fmt: skip
WORD = Drawn(text.word, 5)
SMALL = (
    Plan("T1-shape", "shapes", "choice", ("accuracy",), SHAPE, 0.9),
    Plan("T2", "words", "open", ("exact", "cer"), WORD, max_new_tokens=9),
)


REAL = cache_folder("assets") / "materials" / "materials.jsonl"


def is_from_pack(plan: Plan) -> bool:
    """Whether a plan's list can be checked with the packs alone, quickly."""
    drawn = plan.listed and isinstance(plan.source, Drawn | Clips | Points)
    return drawn and (find_spec("vl_convert") is not None or not plan.name.startswith("E5"))


@cache
def real_materials() -> Materials:
    return Materials.open(cache_folder("assets"))


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials.synthetic()


def silent(task: str, items: int) -> None:
    pass


@pytest.mark.parametrize(
    ("question", "form", "fits"),
    [
        ("How many red ducks are there?", "count", True),
        ("How many are there?", "count", False),
        ("What shape is this?", "shape", True),
        ("What shape is this? No.", "shape", False),
        ("Is the cat left of, right of, above or below the dog?", "which side", True),
    ],
)
def test_wordings_are_recognised(question: str, form: str, fits: bool) -> None:
    assert fits_wording(question, WORDINGS[form]) is fits


def test_every_answer_is_right_as_often(materials: Materials) -> None:
    rows = SHAPE.rows(materials, "T")
    assert Counter(row["targets"][0] for row in rows) == dict.fromkeys(ALL_SHAPES, 2)
    assert [row["id"] for row in rows] == [f"T/{number}" for number in range(16)]
    assert all(row["seed"] >= FIRST_SEED and row["choices"] == list(ALL_SHAPES) for row in rows)
    assert [row["seed"] for row in rows] != sorted(row["seed"] for row in rows)
    assert SHAPE.rows(materials, "T") == rows


def test_the_picture_of_a_row_is_that_of_its_sample(materials: Materials) -> None:
    row = SHAPE.rows(materials, "T")[3]
    message = SHAPE.message(row, materials)
    sample = shapes.GENERATORS["shape_name"](materials, row["seed"])
    assert turns(sample)[row["turn"]] == (row["question"], row["targets"][0])
    assert message.parts[-1] == TextPart(row["question"])
    [picture, wanted] = [m.parts[0] for m in (message, sample.messages[0])]
    assert isinstance(picture, ImagePart) and isinstance(wanted, ImagePart)
    np.testing.assert_array_equal(picture.source, wanted.source)


def test_a_list_that_no_longer_fits_the_generators_is_refused(materials: Materials) -> None:
    row = WORD.rows(materials, "T")[0]
    for change in ({"targets": ["other"]}, {"question": "Other?"}, {"turn": 9}):
        with pytest.raises(InputError, match=r"T/0 is no longer .*suite list"):
            WORD.message({**row, **change}, materials)  # type: ignore[typeddict-item]


def test_a_plan_that_cannot_be_filled_says_how_far_it_came(
    materials: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "MOST_TRIES", 3)
    plan = Drawn(text.word, 4, accept=lambda question, answer: False)
    with pytest.raises(InputError, match="T: after 13 seeds only 0 of 4 items"):
        plan.rows(materials, "T")


def test_mixed_generators_take_turns(materials: Materials) -> None:
    generator = mixed({"b": text.word, "a": text.line})
    tasks = [generator(materials, seed, split="test").task for seed in range(4)]
    assert tasks == ["line", "word", "line", "word"]


def test_clips_run_both_ways_and_the_answer_flips(materials: Materials) -> None:
    plan = Clips("clip_number", 3)
    rows = plan.rows(materials, "T")
    assert len(rows) == 6
    for forwards, backwards in zip(rows[::2], rows[1::2], strict=True):
        assert forwards["meta"]["pair"] == backwards["meta"]["pair"]
        assert forwards["targets"] != backwards["targets"]
        frames = [frames_of(plan.message(row, materials)) for row in (forwards, backwards)]
        assert len(frames[0]) >= 4
        np.testing.assert_array_equal(frames[0], frames[1][::-1])
    clip, question = plan.message(rows[0], materials).parts
    assert isinstance(clip, VideoPart) and question == TextPart(rows[0]["question"])


def frames_of(message: Message) -> list[Any]:
    (clip,) = [part for part in message.parts if isinstance(part, VideoPart)]
    return [np.asarray(frame) for frame in clip.source]


def test_a_clip_is_asked_about_as_training_spells_it(
    materials: Materials, tokenizer_gen2_folder: Path
) -> None:
    """The same ids and tiles by way of the clip as by the words of the training samples."""
    plan = Clips("clip_number", 2)
    processor = Processor.from_folder(tokenizer_gen2_folder, BudgetPolicy(1))
    for row in plan.rows(materials, "T"):
        reverse = row["meta"]["way"] == "backwards"
        sample = clips.GENERATORS["clip_number"](
            materials, row["seed"], split="test", reverse=reverse
        )
        spelt = processor([processor.open(sample.messages[:1])])
        asked = processor([processor.open([plan.message(row, materials)])])
        np.testing.assert_array_equal(spelt.input_ids, asked.input_ids)
        np.testing.assert_array_equal(spelt.tiles, asked.tiles)


def test_a_clip_is_written_as_its_frames(materials: Materials, tmp_path: Path) -> None:
    plan = Plan("T-clips", "clips", "open", ("exact",), Clips("clip_number", 1))
    write_lists((plan,), materials, silent, folder=tmp_path)
    build((plan,), materials, tmp_path / "suite", silent, lists=tmp_path)
    first, back = read_suite(tmp_path / "suite").tasks[0].items
    clip, question = first.messages[0].parts
    assert isinstance(clip, VideoPart) and isinstance(question, TextPart)
    assert first.pictures == clip.source == back.pictures[::-1]
    assert all(path.is_file() for path in clip.source)


def test_naming_tasks(materials: Materials) -> None:
    four = named.Named("distractors").rows(materials, "E1a")
    assert len(four) == len({row["id"] for row in four}) == 861
    assert {len(row["choices"]) for row in four} == {4}
    assert all(row["targets"][0] in row["choices"] for row in four)
    places = Counter(row["choices"].index(row["targets"][0]) for row in four)
    assert min(places.values()) > 180  # the right name stands anywhere
    few = named.Named("distractors_20", most=10).rows(materials, "E1b")
    assert [row["drawing"] for row in few] == [row["drawing"] for row in four[:10]]
    opened = named.Named(None, wanted=lambda item: item["withheld"]).rows(materials, "E1d")
    assert len(opened) == 46 and not any("choices" in row for row in opened)


def test_a_drawing_stands_on_white() -> None:
    drawing = Image.new("RGBA", (100, 50), (255, 0, 0, 255))
    picture = named.on_white(drawing)
    assert picture.size == (448, 448) and picture.mode == "RGB"
    pixels = np.asarray(picture)
    red = (pixels == (255, 0, 0)).all(-1)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (202, 403)
    assert abs(rows[0] - (447 - rows[-1])) <= 1 and abs(columns[0] - (447 - columns[-1])) <= 1


def test_digits(tmp_path: Path, materials: Materials) -> None:
    file = tmp_path / digits.SMALL.member
    file.parent.mkdir(parents=True)
    scans = np.zeros((40, 65))
    scans[:, -1] = np.arange(40) % 10
    scans[:, 0] = 16  # ink in the first corner
    with gzip.open(file, "wt") as out:
        np.savetxt(out, scans, delimiter=",", fmt="%.18e")
    plan = digits.Digits(2, folder=tmp_path)
    rows = plan.rows(materials, "T")
    assert Counter(row["targets"][0] for row in rows) == dict.fromkeys(digits.NAMES, 2)
    assert all(int(row["drawing"]) % 10 == int(row["targets"][0]) for row in rows)
    drawn, question = plan.message(rows[0], materials).parts
    assert isinstance(drawn, ImagePart) and question == TextPart(rows[0]["question"])
    picture = np.asarray(drawn.source)
    assert picture.shape == (224, 224, 3)
    assert picture[30, 30].max() < 60 and picture[30, -30].min() == picture[-30, 30].min() == 255


def test_only_the_last_digits_of_a_table_that_is_partly_trained_on(
    tmp_path: Path, materials: Materials
) -> None:
    table = dataclasses.replace(digits.MNIST, last=3)
    file = tmp_path / table.member
    file.parent.mkdir(parents=True)
    scans = np.zeros((100, 28 * 28 + 1))
    scans[:, -1] = np.arange(100) // 10
    with gzip.open(file, "wt") as out:
        np.savetxt(out, scans, delimiter=",", fmt="%d")
    rows = digits.Digits(3, table, tmp_path).rows(materials, "T")
    assert sorted(int(row["drawing"]) for row in rows) == [i for i in range(100) if i % 10 >= 7]


def test_texts() -> None:
    sentences = [f"Sentence {number}." for number in range(160)]
    source: Any = SimpleNamespace(sentences=lambda split: {"test": sentences}[split])
    rows = texts.Texts().rows(source, "E15")
    assert len(rows) == len(texts.INSTRUCTIONS) + texts.PASSAGES == 100
    passages = [row["targets"][0] for row in rows if row["question"] == texts.SPEECH_QUESTION]
    assert "Sentence 0. Sentence 1. Sentence 2." in passages and len(set(passages)) == 50


def test_a_suite_is_built_and_can_be_read(tmp_path: Path, materials: Materials) -> None:
    told: list[tuple[str, int]] = []
    lists, out = tmp_path / "lists", tmp_path / "suite"
    lists.mkdir()
    write_lists(SMALL, materials, silent, folder=lists)
    assert list_path(SMALL[0], lists).name == "t1_shape.jsonl"
    for _ in range(2):  # the second replaces the first
        build(SMALL, materials, out, lambda *what: told.append(what), lists=lists)
    assert told == [("T1-shape", 16), ("T2", 5)] * 2
    shape, word = read_suite(out).tasks
    assert (shape.kind, shape.target, len(shape.items)) == ("choice", 0.9, 16)
    assert (word.metrics, word.target, word.max_new_tokens) == (("exact", "cer"), None, 9)
    rows = read_rows(list_path(SMALL[1], lists))
    assert [item.targets for item in word.items] == [tuple(row["targets"]) for row in rows]
    [shown] = word.items[0].pictures
    drawn_again = WORD.message(rows[0], materials).parts[0]
    assert isinstance(drawn_again, ImagePart)
    np.testing.assert_array_equal(Image.open(shown), drawn_again.source)
    assert len(list((out / "pictures").iterdir())) == 16 + 5
    assert not out.with_name("suite.part").exists()


def test_a_missing_list_is_named(tmp_path: Path, materials: Materials) -> None:
    with pytest.raises(InputError, match=r"t1_shape\.jsonl is missing; run .*suite list"):
        build(SMALL, materials, tmp_path / "suite", silent, lists=tmp_path)
    assert not (tmp_path / "suite").exists()


@pytest.mark.parametrize("plan", [p for p in PLANS if p.listed], ids=lambda plan: plan.name)
def test_the_committed_lists_are_what_the_plans_ask_for(plan: Plan) -> None:
    rows = read_rows(list_path(plan))
    assert [row["id"].partition("/")[0] for row in rows] == [plan.name] * len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert all("choices" in row for row in rows) == (plan.kind == "choice")
    assert all(set(row["targets"]) <= set(row.get("choices", row["targets"])) for row in rows)
    if isinstance(plan.source, Drawn):
        assert len(rows) == plan.source.items
        seen = Counter(row["targets"][0] for row in rows)
        assert not plan.source.answers or len(set(seen.values())) == 1
        assert all(row["seed"] >= FIRST_SEED for row in rows)


# Shapes need nothing of the pack but a background, so their lists can be checked anywhere.
@pytest.mark.parametrize("name", ["E8-colour", "E8-shape", "E12-change"])
def test_the_committed_lists_are_what_the_generators_draw(name: str, materials: Materials) -> None:
    [plan] = [plan for plan in PLANS if plan.name == name]
    for row in read_rows(list_path(plan))[:6]:
        assert plan.source.message(row, materials).parts[-1] == TextPart(row["question"])


@pytest.mark.skipif(not REAL.is_file(), reason="the material pack is not built here")
@pytest.mark.parametrize("plan", [p for p in PLANS if is_from_pack(p)], ids=lambda plan: plan.name)
def test_the_committed_lists_are_what_the_real_pack_gives(plan: Plan) -> None:
    materials = real_materials()
    for row in read_rows(list_path(plan))[:2]:
        words = plan.source.message(row, materials).parts[-1]
        assert isinstance(words, TextPart) and words.text.strip() == row["question"]


def test_there_is_no_list_without_a_plan() -> None:
    by_hand = {"e1_openmoji.jsonl", "e1e_words.jsonl", "e14_photos.jsonl", "e10_gnome.jsonl"}
    known = {list_path(plan).name for plan in PLANS if plan.listed} | by_hand
    assert {path.name for path in ITEMS.glob("e*.jsonl")} == known


def test_the_command(
    tmp_path: Path, materials: Materials, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(
        command, "PLANS", (Plan("T2", "words", "open", ("exact",), WORD, listed=False),)
    )
    monkeypatch.setattr(command, "Materials", SimpleNamespace(open=lambda folder: materials))
    monkeypatch.setattr(
        sys, "argv", ["suite", "build", "--out", str(tmp_path / "s"), "--assets", "a"]
    )
    command.main()
    assert capsys.readouterr().out == "T2: 5 items\n"
    assert len(read_suite(tmp_path / "s").tasks) == 1
    monkeypatch.setattr(sys, "argv", ["suite", "list", "--tasks", "T9"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no task T9" in capsys.readouterr().err


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["suite", "build", "--assets", str(tmp_path)])
    with pytest.raises(SystemExit, match="error: no material pack in"):
        command.main()
