"""The asset pack: labels read naturally, packs read back, and no test picture is trained on."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recipes.embedded import assets, drawings, labels, pack, sources
from recipes.embedded.drawings import Drawing, Emoji
from recipes.embedded.pack import AssetPack, Row
from recipes.embedded.wordnet import Nouns
from smolvlm.errors import InputError

# lemma -> (file number, parent lemma or None); a word in two files has its main sense first
WORDS = {
    "animal": ("05", None),
    "bear": ("05", "animal"),
    "polar_bear": ("05", "bear"),
    "dog": ("05", "animal"),
    "hot_dog": ("13", None),
    "frank": ("13", None),
    "cherry": ("13", None),
    "truck": ("06", None),
    "dump_truck": ("06", "truck"),
    "lorry": ("06", "truck"),
    "glass": ("06", None),
    "milk": ("13", None),
    "hammer": ("06", None),
    "wrench": ("06", None),
    "joy": ("12", None),
    "nail": ("06", None),
    "puller": ("18", None),
    "camel": ("05", "animal"),
}


@pytest.fixture
def nouns(tmp_path: Path) -> Nouns:
    """A WordNet of a few words, in the files' own format."""
    offsets = {word: f"{number:08}" for number, word in enumerate(WORDS, start=1)}
    index = ["  1 licence header"]
    data = ["  1 licence header"]
    for word, (file, parent) in WORDS.items():
        index.append(f"{word} n 1 0 1 0 {offsets[word]}  ")
        pointers = f"001 @ {offsets[parent]} n 0000" if parent else "000"
        data.append(f"{offsets[word]} {file} n 01 {word} 0 {pointers} | gloss  ")
    (tmp_path / "index.noun").write_text("\n".join(index))
    (tmp_path / "data.noun").write_text("\n".join(data))
    (tmp_path / "noun.exc").write_text("geese goose\n")
    (tmp_path / "index.adj").write_text("huge a 1 0 1 0 00000001\n")
    return Nouns(tmp_path)


def test_singulars_and_kinds(nouns: Nouns) -> None:
    assert nouns.object_form("cherries") == "cherry"
    assert nouns.object_form("joy") is None
    assert nouns.is_a("polar bear", "animal")
    assert not nouns.is_a("hot dog", "dog")


def test_heads_are_still_true(nouns: Nouns) -> None:
    assert labels.heads("polar bear", nouns) == ["polar bear", "bear"]
    assert labels.heads("hot dog", nouns) == ["hot dog"]
    assert labels.heads("hammer and wrench", nouns) == ["hammer", "wrench"]
    assert labels.heads("glass of milk", nouns) == ["glass", "milk"]
    assert labels.head_noun("huge polar bear", nouns) == "bear"


def test_answers_take_tags_of_the_same_kind_only(nouns: Nouns) -> None:
    found = labels.answers("dump truck", ("lorry", "truck", "milk", "joy"), nouns)
    assert found[0] == "dump truck"
    assert "truck" in found
    assert not {"milk", "joy"} & set(found)
    assert labels.answers("bear", ("animal",), nouns) == ["bear"]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("oncoming bus", "bus"),
        ("1st place medal", "gold medal"),
        ("man: bald", "bald man"),
        ("woman: red hair", "woman with red hair"),
        ("three o\N{RIGHT SINGLE QUOTATION MARK}clock", "clock"),
        ("orangutan", "orangutan"),
    ],
)
def test_emoji_labels_are_what_one_would_say(raw: str, said: str) -> None:
    assert labels.emoji_label(raw) == said


def test_stamp_sentences(nouns: Nouns) -> None:
    read = labels.stamp_text
    assert read("A huge dump truck.", "terex", nouns) == ("dump truck", "A huge dump truck")
    assert read("Drink your milk!", "milk", nouns) == ("milk", None)
    assert read("The joy of it all!", "xyz", nouns)[0] is None


def test_clip_art_needs_two_witnesses(nouns: Nouns) -> None:
    read = labels.clipart_label
    assert read("Hammer", "hammer_peterm_01", (), ("Peter M",), nouns) == "hammer"
    assert read("nosmoke", "hammer_01", ("hammer",), (), nouns) == "hammer"
    assert read("nosmoke", "hammer_01", ("icon",), (), nouns) is None
    assert read("", "nail_puller_peterm_", ("nail",), (), nouns) is None


def test_withheld_rule_is_the_documented_one() -> None:
    for label in ("moose", "camel", "cat", "wrench"):
        number = int(hashlib.sha1(label.encode()).hexdigest()[:8], 16)
        assert labels.is_withheld(label) == (number % 20 == 0)


def test_withheld_names_are_recognised_in_text() -> None:
    withheld = labels.Withheld(["camel", "ice cream", "wrench"])
    assert withheld.mentions("Two camels.")
    assert withheld.mentions(None, "two-hump camel")
    assert withheld.mentions("spanner_jdoe_01")
    assert withheld.mentions("soft ice cream")
    assert not withheld.mentions("a caramel", "ice", "cream")


def test_items_match_the_rule_and_name_no_answer_among_distractors() -> None:
    items = [json.loads(line) for line in assets.ITEMS.read_text("utf-8").splitlines()]
    assert len(items) == 861
    assert sum(item["withheld"] for item in items) == 46
    for item in items:
        assert item["withheld"] == labels.is_withheld(item["label"])
        assert item["group"] in labels.OBJECT_GROUPS
        assert item["answer"].lower() in item["keywords"]
        assert len(set(item["distractors_20"])) == 19
        assert item["distractors"] == item["distractors_20"][:3]
        assert not {d.lower() for d in item["distractors_20"]} & set(item["keywords"])


def _row(identity: str, label: str, concept: str, source: str, split: str = "train") -> Row:
    licence = sources.BY_KEY[source]
    return Row(
        id=f"{source}/{identity}",
        label=label,
        answers=[label],
        sentence=None,
        group="objects",
        category="tool",
        concept=concept,
        source=source,
        licence=licence.licence,
        licence_class=licence.licence_class,
        split=split,
    )


def _picture(draw: Callable[[ImageDraw.ImageDraw], object]) -> Image.Image:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    draw(ImageDraw.Draw(image))
    return image


@pytest.fixture
def built(tmp_path: Path) -> AssetPack:
    """A pack made by the real steps from five drawings, three of which must not be trained on."""
    disc = _picture(lambda d: d.ellipse((4, 4, 60, 60), fill="black"))
    bars = _picture(
        lambda d: d.polygon(
            [(3, 0), (9, 0), (9, 60), (43, 60), (43, 0), (49, 0), (49, 63), (3, 63)], fill="red"
        )
    )
    wedge = _picture(lambda d: d.polygon([(0, 63), (63, 63), (63, 0)], fill="blue"))
    found = [
        (_row("1", "button", "1", "openmoji", split="test"), disc),
        (_row("1", "button", "1", "noto"), disc),  # looks like the test picture
        (_row("2", "fence", "2", "noto"), bars),
        (_row("3", "spanner", "3", "noto"), wedge),  # a withheld concept by another name
        (_row("4", "ramp", "4", "tuxpaint"), wedge),  # share-alike
    ]
    renders = tmp_path / "renders"
    for row, image in found:
        (renders / row["source"]).mkdir(parents=True, exist_ok=True)
        image.save(renders / row["source"] / f"{row['id'].split('/')[1]}.png")
    kept = assets.without_withheld(
        [Drawing(row, path=renders / f"{row['id']}.png") for row, _ in found], {"9": "wrench"}
    )
    hashes = assets.render_all(kept, tmp_path / "out")
    rows = assets.select([drawing.row for drawing in kept], hashes, "green")
    blobs = [(row, (tmp_path / "out" / f"{row['id']}.webp").read_bytes()) for row in rows]
    pack.write_pack(tmp_path / "pack", blobs)
    return AssetPack(tmp_path / "pack")


def check_hygiene(opened: AssetPack) -> None:
    """What must hold of every pack: sources keep to their split, and no picture is in both."""
    train = [opened.row(i) for i in opened.indices("train")]
    test = [opened.row(i) for i in opened.indices("test")]
    assert {row["source"] for row in test} <= {"openmoji"}
    assert all(sources.BY_KEY[row["source"]].use == "train" for row in train)
    tests = [pack.difference_hash(opened.image(i)) for i in opened.indices("test")]
    some = opened.indices("train")[:: max(1, len(train) // 400)]
    hashes = [pack.difference_hash(opened.image(i)) for i in some]
    # WebP is lossy, so a hash taken from the pack may differ by a bit or two from the original's
    assert not any(pack.near_any(hashes, tests, bits=pack.NEAR_BITS - 2))


def test_split_hygiene_on_a_small_pack(built: AssetPack) -> None:
    check_hygiene(built)
    assert [built.row(i)["label"] for i in built.indices("train")] == ["fence"]
    assert len(built.indices("test")) == 1


@pytest.mark.parametrize("licence", ["green", "all"])
def test_split_hygiene_on_the_real_pack(licence: str) -> None:
    from smolvlm.weights.cache import cache_folder

    folder = cache_folder() / "assets" / licence
    if not (folder / "pack.jsonl").is_file():
        pytest.skip("no asset pack has been built on this machine")
    opened = AssetPack(folder)
    check_hygiene(opened)
    listed = [json.loads(line) for line in assets.ITEMS.read_text("utf-8").splitlines()]
    names = labels.Withheld(item["label"] for item in listed if item["withheld"])
    codes = {item["id"] for item in listed if item["withheld"]}
    for row in map(opened.row, opened.indices("train")):
        assert row["concept"] not in codes
        assert not names.mentions(row["label"], row["sentence"], *row["answers"])
        assert licence == "all" or row["licence_class"] == "G"


def test_pack_reads_back_and_survives_pickling(built: AssetPack) -> None:
    again: AssetPack = pickle.loads(pickle.dumps(built))
    for opened in (built, again):
        index = opened.indices("train")[0]
        image, row = opened.image(index), opened.row(index)
        assert image.mode == "RGBA"
        assert image.size == (row["width"], row["height"]) == (64, 64)
        assert np.asarray(image)[30, 5, 3] == 255  # a bar
        assert np.asarray(image)[30, 15, 3] == 0  # between bars
    assert len(built) == 2


def test_missing_pack_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"assets build"):
        AssetPack(tmp_path)


def test_fit_never_enlarges() -> None:
    assert pack.fit(Image.new("RGB", (900, 300))).size == (448, 149)
    assert pack.fit(Image.new("RGB", (50, 20))).size == (50, 20)
    assert not pack.is_usable(Image.new("RGBA", (448, 448), (0, 0, 0, 0)))


def test_difference_hash_is_the_obvious_one() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS)).tolist()
    bits = "".join(str(int(row[x] > row[x + 1])) for row in grey for x in range(8))
    value = pack.difference_hash(image.convert("RGBA"))
    assert value == int(bits, 2)
    assert pack.near_any([value ^ 0b111111, value ^ 0b1111111], [value]) == [True, False]


def test_emoji_codes_are_matched_by_table_and_by_name(tmp_path: Path, nouns: Nouns) -> None:
    (tmp_path / "package").mkdir()
    icons = {"bear": {"body": "<g/>"}, "bear-dark": {"body": "<g/>"}, "polar-bear": {"body": ""}}
    body = {"icons": icons, "width": 8, "height": 8}
    (tmp_path / "package/icons.json").write_text(json.dumps(body))
    (tmp_path / "package/chars.json").write_text(json.dumps({"1f43b": "bear"}))
    table = {
        key: Emoji(key, label, (), "animals-nature", "animal-mammal")
        for key, label in (("1f43b", "bear"), ("1f43b-200d-2744", "polar bear"))
    }
    found = list(drawings.iconify(tmp_path, "noto", table, nouns))
    assert [d.row["concept"] for d in found] == ["1f43b", "1f43b-200d-2744"]
    assert drawings.code_key("1F43B-200D-2744-FE0F") == "1f43b-200d-2744"


def test_notice_names_every_source_and_is_current() -> None:
    text = sources.notice()
    assert all(f"{s.package} {s.version}" in text for s in sources.SOURCES)
    assert assets.NOTICE.read_text("utf-8") == text
