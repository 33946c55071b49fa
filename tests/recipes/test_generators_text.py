"""Generators of written things: a seed gives one sample, and answers are what was drawn.

Words and sizes are hashed (glyph pixels differ between builds of FreeType); pixels are compared
between two runs. All on the synthetic materials.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFont

from recipes.embedded.generators import (
    chart_drawing,
    charts,
    documents,
    layouts,
    lettering,
    records,
    screens,
    sheet,
    skins,
    tables,
    values,
    wordings,
)
from recipes.embedded.generators.chart_drawing import Chart, Drawn
from recipes.embedded.generators.questions import Generator
from recipes.embedded.materials import Materials, Table
from smolvlm.types import ImagePart, Sample, TextPart

MODULES = ("text", "pdf", "documents", "tables", "charts", "screens")
GENERATORS: dict[str, Generator] = {
    name: make
    for module in MODULES
    for name, make in import_module(f"recipes.embedded.generators.{module}").GENERATORS.items()
}
MATERIALS = Materials.synthetic()
DIGESTS = {
    "word": ["b21815519193", "9e620e4c97ec"],
    "line": ["c12c473b9bf5", "95eeccd738ae"],
    "paragraph": ["12c361b87f39", "026995ce1c8f"],
    "sign": ["f25e92cd8ca1", "c1229c0246ef"],
    "handwriting": ["91eda7c1bca4", "73b8a78a1dd8"],
    "bullet_list": ["fdf66e068e1e", "81e3222676ac"],
    "page": ["7da661faa630", "4f2b70d6536c"],
    "receipt": ["61041bdda274", "4a02cd0c7f84"],
    "invoice": ["85e4a455b5f9", "b625642a83e0"],
    "letter": ["a2456e98d3d6", "8d9dde4b49da"],
    "form": ["ea9591185717", "218b5634a726"],
    "business_card": ["5ee7af716df4", "cf0e364921dd"],
    "menu": ["5ac069733415", "c9c546c5a750"],
    "ticket": ["645ef58bbaff", "799796962bae"],
    "schedule": ["2d13584a321a", "b1e648d029fe"],
    "table": ["7e139b3ac2e7", "c856f6fba6f7"],
    "chart": ["fe5cdbd8fbea", "481ac2dbc349"],
    "screen": ["c4921962e27e", "c719d770fd63"],
}


def digest(sample: Sample) -> str:
    """The words of a sample and the sizes of its pictures as one short hash."""
    parts = [
        part.text if isinstance(part, TextPart) else str(part.source.size)
        for message in sample.messages
        for part in message.parts
    ]
    return hashlib.sha1("\n".join(parts).encode()).hexdigest()[:12]


def picture(sample: Sample) -> Image.Image:
    found = [part.source for part in sample.messages[0].parts if isinstance(part, ImagePart)]
    assert len(found) == 1
    made = found[0]
    assert isinstance(made, Image.Image)
    return made


def turns(sample: Sample) -> list[tuple[str, str]]:
    """(question, answer) pairs."""
    texts = []
    for message in sample.messages:
        texts.append("".join(p.text for p in message.parts if isinstance(p, TextPart)))
    return list(zip(texts[::2], texts[1::2], strict=True))


@pytest.mark.parametrize("name", GENERATORS)
def test_words_and_sizes_of_a_seed_stay(name: str) -> None:
    made = [digest(GENERATORS[name](MATERIALS, seed)) for seed in range(2)]
    assert made == DIGESTS[name]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_seed_gives_the_same_pixels_again(name: str) -> None:
    random.seed(1)
    first = GENERATORS[name](MATERIALS, 5)
    random.seed(2)  # a generator depends on its own seed only
    second = GENERATORS[name](Materials.synthetic(), 5)
    assert turns(first) == turns(second)
    assert (np.asarray(picture(first)) == np.asarray(picture(second))).all()
    assert digest(GENERATORS[name](MATERIALS, 6)) != digest(first)


@pytest.mark.parametrize("name", GENERATORS)
def test_samples_are_well_formed(name: str) -> None:
    for seed in range(6):
        sample = GENERATORS[name](MATERIALS, seed)
        assert sample.task == name
        assert sample.key == f"{name}/{seed}"
        assert [m.role for m in sample.messages] == ["user", "assistant"] * (
            len(sample.messages) // 2
        )
        assert 1 <= len(turns(sample)) <= 5
        assert len({question for question, _ in turns(sample)}) == len(turns(sample))
        assert all(question and answer for question, answer in turns(sample))
        image = picture(sample)
        assert image.mode == "RGB"
        assert max(image.size) <= 448
        assert min(image.size) >= 120
        assert np.asarray(image.convert("L")).std() > 1  # something is drawn


def test_every_wording_has_five_forms_that_differ() -> None:
    for form, texts in wordings.WORDINGS.items():
        assert len(set(texts)) >= 5, form
        names = {frozenset(re.findall(r"{\d?}", text)) for text in texts}
        assert len(names) == 1, (form, names)


def test_test_split_shows_other_material_and_only_held_out_looks() -> None:
    train = " ".join(MATERIALS.words("train")) + " ".join(MATERIALS.sentences("train"))
    for seed in range(8):
        for name in ("line", "paragraph", "page"):
            sample = GENERATORS[name](MATERIALS, seed, split="test")  # type: ignore[call-arg]
            assert turns(sample)[0][1].split("\n")[0] not in train
    for kind in layouts.HELD_OUT:
        held = layouts.look_names(kind, "test")
        assert len(held) == 1
        assert held[0] not in layouts.look_names(kind, "train")
        assert len(layouts.look_names(kind, "train")) >= 6
    assert set(layouts.HELD_OUT) == {
        make(MATERIALS, random.Random(0), "train").kind for make in records.RECORDS.values()
    }
    for looks, held_out in (
        (tables.LOOKS, tables.HELD_OUT),
        (chart_drawing.LOOKS, chart_drawing.HELD_OUT),
        (skins.SKINS, skins.HELD_OUT),
    ):
        assert held_out in looks
        assert len(looks) >= 6


@pytest.mark.parametrize("kind", records.RECORDS)
def test_fields_of_a_record_are_printed(kind: str) -> None:
    for seed in range(10):
        record = records.RECORDS[kind](MATERIALS, random.Random(seed), "train")
        for value in record.fields.values():
            assert value in record.text
        for name, facts in record.items.items():
            assert name in record.text
            assert all(value in record.text for value in facts.values())


def test_sums_of_a_receipt_add_up() -> None:
    for seed in range(10):
        record = records.receipt(MATERIALS, random.Random(seed), "train")
        amount = documents._amount
        items = sum(amount(facts["price"]) for facts in record.items.values())
        assert items == pytest.approx(amount(record.fields["subtotal"]))
        tax = amount(record.fields["tax"])
        assert amount(record.fields["total"]) == pytest.approx(items + tax)


def test_dearest_item_must_be_dearest_by_price_and_amount() -> None:
    items = {"a": {"price": "5.00", "amount": "5.00"}, "b": {"price": "2.00", "amount": "8.00"}}
    record = records.Record("invoice", {}, (), items)
    asked = [t.answer for s in range(30) for t in documents._about_items(random.Random(s), record)]
    assert not {"a", "b"} & set(asked)
    plain = records.Record("menu", {}, (), {"a": {"price": "5.00"}, "b": {"price": "2.00"}})
    answers = [t.answer for t in documents._about_items(random.Random(0), plain)]
    assert answers[-2:] == ["a", "b"]


def test_json_answers_are_json_of_the_record() -> None:
    made = records.business_card(MATERIALS, random.Random(1), "train")
    turn = documents._as_json(random.Random(2), made)
    assert json.loads(turn.answer).items() <= dict(made.fields).items()


def test_missing_fields_are_missing() -> None:
    for seed in range(40):
        rng = random.Random(seed)
        record = rng.choice(list(records.RECORDS.values()))(MATERIALS, rng, "train")
        turn = documents._missing(rng, record)
        name = turn.answer.removeprefix("There is no ").removesuffix(" in the image.")
        assert name in turn.question
        assert name not in record.fields


def test_unanswerable_questions_are_about_one_in_twenty() -> None:
    asked = [pair for seed in range(150) for pair in turns(GENERATORS["receipt"](MATERIALS, seed))]
    share = sum(answer.startswith("There is no ") for _, answer in asked) / len(asked)
    assert 0.01 < share < 0.1


def test_table_answers_come_from_the_cells() -> None:
    printed = tables.Printed(
        None, ("City", "Rain"), (("Oslo", "1,200"), ("Rome", "300"), ("Bari", "300")), (False, True)
    )
    assert printed.numbers(1) == [1200.0, 300.0, 300.0]
    for seed in range(60):
        for turn in tables.about(random.Random(seed), printed):
            if "largest" in turn.question:
                assert turn.answer == "Oslo"
            assert "smallest" not in turn.question  # two towns share the smallest value
            if turn.answer in ("Rome", "Bari"):
                assert "300" not in turn.question


def test_a_table_that_is_too_wide_loses_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ("key", *("a rather long text",) * 4)
    wide = Table("t", "T", tuple(f"Column {i}" for i in range(5)), (cells,) * 4)
    monkeypatch.setattr(values, "table", lambda *_, **__: wide)
    sample = tables.table(MATERIALS, 0)
    assert picture(sample).width <= 448


def test_numbers_of_a_column_are_written_alike() -> None:
    assert values.written([1.0, 2.5]) == ["1.0", "2.5"]
    assert values.written([1990.0, 2001.0]) == ["1990", "2001"]
    assert values.written([12000.0, 7.0]) == ["12,000", "7"]
    assert values.written([12000.0], commas=False) == ["12000"]
    assert values.written(["a"]) == ["a"]


def chart(**changes: object) -> Chart:
    made = {
        "kind": "bar",
        "title": "Rain",
        "x_name": "City",
        "y_name": "Rain",
        "labels": ("Oslo", "Rome", "Bari"),
        "series": {"Rain": (90.0, 31.0, 30.5)},
        "texts": {"Rain": ("90.0", "31.0", "30.5")},
        "printed": True,
    }
    return Chart(**{**made, **changes})  # type: ignore[arg-type]


def test_chart_answers_are_what_the_eye_can_tell() -> None:
    drawn = Drawn(Image.new("RGB", (8, 8)), 20.0)
    for seed in range(80):
        for turn in charts.about(random.Random(seed), chart(), drawn):
            assert "lowest" not in turn.question
            assert "smallest" not in turn.question  # Rome and Bari look the same
            if "Oslo" in turn.question and turn.answer[0].isdigit():
                assert turn.answer == "90.0"
    values_ = [charts._value(random.Random(s), chart(printed=False), drawn) for s in range(20)]
    assert {turn.answer for turn in values_ if turn} == {"90", "31", "30"}


def test_value_axis_step_is_read_from_the_drawing() -> None:
    look = chart_drawing.LOOKS["framed"]
    drawn = chart_drawing.draw(chart(), random.Random(0), look, (448, 336))
    assert drawn.picture.size == (448, 336)
    assert drawn.step == 20.0
    pie = chart(kind="pie", series={"Rain": (50.0, 25.0, 25.0)}, texts={"Rain": ("50%",) * 3})
    assert chart_drawing.draw(pie, random.Random(0), look, (448, 336)).step == 0.0


def test_pies_with_thin_slices_are_refused() -> None:
    source = Table("t", "T", ("Key", "N"), (("a", 98.0), ("b", 1.0), ("c", 1.0)))
    assert charts._from_table(random.Random(0), source, "pie") is None
    fair = Table("t", "T", ("Key", "N"), (("a", 1.0), ("b", 1.0), ("c", 2.0)))
    made = charts._from_table(random.Random(0), fair, "pie")
    assert made is not None
    assert made.texts["N"] == ("25%", "25%", "50%")


def test_points_lie_on_the_controls() -> None:
    """The place of a coloured button is where its colour is."""
    window = skins.Window(
        "Print", (skins.Control("box", "Mute", on=False),),
        (skins.Control("button", "Save", colour="red"), skins.Control("button", "Stop")),
    )  # fmt: skip
    for seed in range(8):
        rng = random.Random(seed)
        skin = skins.SKINS[rng.choice(list(skins.SKINS))]
        image, placed = skins.draw(MATERIALS, rng, window, skin, "train")
        spot = next(p for p in placed if p.control.name == "Save")
        x, y = round(spot.centre[0] * image.width), round(spot.centre[1] * image.height)
        near = np.asarray(image)[y - 8 : y + 9, x - 25 : x + 26].reshape(-1, 3)
        red = np.array(skins.COLOURS["red"])
        assert (np.abs(near.astype(int) - red).sum(1) < 10).mean() > 0.3


def test_states_of_boxes_are_balanced() -> None:
    answers = Counter(
        control.on
        for seed in range(200)
        for control in screens._window(random.Random(seed)).rows
        if control.kind in ("box", "switch")
    )
    assert 0.4 < answers[True] / sum(answers.values()) < 0.6


def test_ink_always_stands_out() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        paper = lettering.paper_colour(rng)
        assert lettering.contrast(lettering.ink_on(rng, paper), paper) >= lettering.LEAST_CONTRAST


def test_wrapped_text_is_the_same_text() -> None:
    style = lettering.Style(MATERIALS.fonts()[0], 18)
    text = MATERIALS.sentences()[0]
    lines = lettering.wrap(MATERIALS, style, text, 200)
    assert " ".join(lines) == text
    assert all(lettering.width_of(MATERIALS, style, line) <= 200 for line in lines)
    for line, following in pairwise(lines):
        longer = f"{line} {following.split()[0]}"
        assert lettering.width_of(MATERIALS, style, longer) > 200


def test_block_and_written_hold_all_the_ink() -> None:
    style = lettering.Style(MATERIALS.fonts()[0], 24)
    for mask in (
        lettering.block(MATERIALS, style, ["one", "three words here"]),
        lettering.written(MATERIALS, style, ["one", "three words here"], random.Random(0)),
    ):
        assert mask.getbbox() == (0, 0, *mask.size)
        assert mask.height > 30
        assert mask.width > 120


def test_contact_sheet_shows_twenty_samples() -> None:
    samples = [GENERATORS["word"](MATERIALS, seed) for seed in range(21)]
    face = ImageFont.load_default(12)
    assert isinstance(face, ImageFont.FreeTypeFont)
    made = sheet.contact_sheet(samples, face)
    wide, high = sheet.PICTURE + 10, sheet.PICTURE + sheet.TEXT
    assert made.size == (sheet.COLUMNS * wide, sheet.ROWS * high)
    last = made.crop((made.width - wide, made.height - high, *made.size))
    assert np.asarray(last.convert("L")).std() > 5
