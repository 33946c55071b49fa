"""E1c and E1a: what counts as right, what is reported, and both through the product's own API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from recipes.embedded import choice, openmoji, recall
from recipes.embedded.openmoji import Item, on_white, read_items
from recipes.embedded.recall import hit
from smolvlm.errors import InputError
from tests.checkpoints import make_tiny
from tests.recipes.small_pack import make_pack, make_row

ITEMS = [
    Item("a-0", "apple", "food-drink", ("apple", "fruit"), False, ("pear", "plum", "fig")),
    Item("b-0", "drum", "objects", ("drum",), True, ("horn", "bell", "flute")),
    Item("c-0", "snail", "objects", ("snail",), False, ("fox", "owl", "bee")),
]


@pytest.mark.parametrize(
    ("answer", "keywords", "counts"),
    [
        ("An apple.", ["apple"], True),
        ("Two apples on a table.", ["apple"], True),
        ("Boxes.", ["box"], True),
        ("It is a HOT DOG!", ["hot dog"], True),
        ("A christmas tree", ["Christmas tree"], True),
        ("A pineapple.", ["apple"], False),
        ("A caravan.", ["car", "van"], False),
        ("A dog that is hot.", ["hot dog"], False),
        ("A tree, a lorry and a cart.", ["truck", "lorry"], True),
        ("", ["apple"], False),
    ],
)
def test_a_hit_is_a_whole_word(answer: str, keywords: list[str], counts: bool) -> None:
    assert hit(answer, keywords) is counts


def test_items_come_in_a_fixed_order() -> None:
    items = read_items()
    assert len(items) == 861 and sum(item.withheld for item in items) == 46
    assert read_items(20) == items[:20]
    assert len({item.group for item in items[:40]}) > 3


def test_a_drawing_stands_on_white_in_the_middle() -> None:
    picture = on_white(Image.new("RGBA", (100, 40), (200, 0, 0, 255)))
    assert picture.size == (110, 110) and picture.mode == "RGB"
    dark = np.asarray(picture)[..., 1] == 0
    assert dark.sum() == 100 * 40 and dark[35:75, 5:105].all()
    clear = on_white(Image.new("RGBA", (50, 50), (200, 0, 0, 0)))
    assert (np.asarray(clear) == 255).all()


def test_a_pack_without_the_drawings_is_a_clear_error(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack", [make_row("a", source="openmoji"), make_row("b")])
    with pytest.raises(InputError, match="lacks 2 test drawings, such as 'drum'"):
        openmoji.pictures(pack, ITEMS)
    assert len(list(openmoji.pictures(pack, ITEMS[:1]))) == 1


def test_recall_levels_and_baselines() -> None:
    report = recall.judge(ITEMS, ["A fruit.", "An apple.", "Snails."], grey="A drum.")
    assert report["score"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["score"]["n"] == 3
    assert report["score"]["low"] <= report["score"]["value"] <= report["score"]["high"]
    assert report["withheld"] == {"n": 1, "value": 0.0, "low": 0.0, "high": 0.0}
    assert report["not_withheld"]["value"] == 1.0
    assert {g: s["value"] for g, s in report["groups"].items()} == {
        "food-drink": 1.0,
        "objects": 0.5,
    }
    assert report["grey"]["answer"] == "A drum."
    assert report["grey"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["shuffled"]["value"] == 0.0
    assert report["answers"]["b-0"] == "An apple."


class Scorer:
    """Finds each answer as likely as it is told to."""

    def __init__(self, likely: dict[str, Sequence[float]]) -> None:
        self.likely = likely
        self.calls = 0

    def score(self, messages: Any, answers: Sequence[str]) -> list[NDArray[np.float32]]:
        self.calls += 1
        return [np.array(self.likely.get(answer, (-9.0,)), dtype=np.float32) for answer in answers]


def choose(likely: dict[str, Sequence[float]], item: Item) -> str:
    assistant: Any = Scorer(likely)
    found = choice.likelihoods(assistant, Image.new("RGB", (8, 8)), choice.names(item))
    return choice.likeliest(item, found)


def test_the_choice_is_the_likeliest_per_token() -> None:
    apple = ITEMS[0]
    assert choose({"An apple.": (-1.0, -1.0, -1.0), "A pear.": (-1.5,)}, apple) == "apple"
    assert choose({"A plum.": (-0.1, -0.1), "An apple.": (-0.5,)}, apple) == "plum"
    assert choose({}, apple) != "apple", "a tie must not help"


def test_blind_choices_look_once() -> None:
    assistant: Any = Scorer({"A pear.": (-1.0,), "A bell.": (-2.0,), "A snail.": (-3.0,)})
    assert choice.blind(assistant, ITEMS) == ["pear", "bell", "snail"]
    assert assistant.calls == 1


def test_choice_levels_and_baselines() -> None:
    report = choice.judge(ITEMS, ["apple", "drum", "fox"], guesses=["fig", "horn", "snail"])
    assert report["score"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["withheld"]["value"] == 1.0
    assert report["grey"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["chance"] == 0.25


def test_through_the_api_from_command_line_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "SmolVLM2-256M-Video-Instruct"
    model = make_tiny(name, tmp_path / "tiny", tied=True, tokenizer=True)
    make_pack(tmp_path / "pack", [make_row(item.id[0], source="openmoji") for item in ITEMS])
    lines = [json.dumps(vars(item)) for item in ITEMS]
    (tmp_path / "items.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(openmoji, "ITEMS", tmp_path / "items.jsonl")
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    for task in (recall, choice):
        out = tmp_path / "out" / "report.json"
        options = ("--pack", tmp_path / "pack", "--out", out, "--model", model, "--limit", 2)
        monkeypatch.setattr("sys.argv", ["prog", *map(str, options)])
        task.main()
        report = json.loads(out.read_text())
        assert report["score"]["n"] == report["grey"]["n"] == 2
        assert report["model"] == "tiny" and str(tmp_path) not in out.read_text()
        assert report["engine"]["name"] and report["date"]
