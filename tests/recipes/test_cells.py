"""Pictures whose cells are known: print its characters, cells their words, quarters theirs."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recipes.embedded import printed_cells
from recipes.embedded.cells import MOST, QUARTERS, SMALL, Canvas, Cells, stacked
from recipes.embedded.materials import Materials
from recipes.embedded.printed_cells import CLASSES, Page, class_of, printed
from smolvlm.processing.tokenizer import Tokenizer

SIDE, PATCH, CELLS = 448, 14, 8


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials.synthetic()


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(tiny_folder)


def cells(
    materials: Materials, tokenizer: Tokenizer, kind: str, *, whole: bool = False, seed: int = 3
) -> Cells:
    rows = materials.drawings.indices("train")
    return Cells(materials, rows, tokenizer, side=SIDE, patch=PATCH, cells=CELLS, whole=whole,
                 seed=seed, kinds={kind: 1.0})  # fmt: skip


def page(materials: Materials, seed: int) -> Page:
    fonts = materials.fonts("train")
    return printed(materials, fonts, random.Random(seed), side=SIDE)


def test_ink_lies_where_characters_are_said_to_be(materials: Materials) -> None:
    """Turned and stretched pages too: what is dark must be print, and print must be dark."""
    said_dark, dark_said = [], []
    for seed in range(30):
        shown = page(materials, seed)
        grey = np.asarray(shown.picture.convert("L")).astype(float)
        away = np.abs(grey - np.median(grey))
        ink = away > 0.5 * away.max()
        down, across = np.mgrid[2:SIDE:4, 2:SIDE:4]
        points = np.stack([across.ravel(), down.ravel()], axis=1).astype(float)
        said = shown.characters_at(points) > 0
        dark = ink[points[:, 1].astype(int), points[:, 0].astype(int)]
        if shown.lines and said.any() and dark.mean() < 0.4:
            said_dark.append(dark[said].mean())
            dark_said.append(said[dark].mean())
    assert len(dark_said) > 20
    assert np.median(dark_said) > 0.8  # tails and accents reach out of a line's band
    assert np.median(said_dark) > 0.15


def test_marks_are_found_again_at_their_place(materials: Materials) -> None:
    for seed in range(12):
        shown = page(materials, seed)
        for line, places in shown.marks():
            # Lines may lie closely: a neighbour's band may win at the edge, never in the middle.
            found = shown.characters_at(places)
            assert found.tolist() == [class_of(c) for c in line.text]


def test_classes() -> None:
    assert class_of(" ") == class_of("\n") == class_of("é") == 0
    assert len({class_of(chr(c)) for c in range(32, 127)}) == CLASSES


def test_held_out_faces_are_others(materials: Materials, monkeypatch: pytest.MonkeyPatch) -> None:
    face = materials.fonts("train")[0]
    few = printed_cells.faces(materials, held_out=True)
    assert few == printed_cells.faces(materials, held_out=False) != []
    many = [replace(face, name=f"{i}/{w}", family=str(i)) for i in range(30) for w in (400, 700)]
    monkeypatch.setattr(Materials, "fonts", lambda *_: many)
    kept, learned = (printed_cells.faces(materials, held_out=held) for held in (True, False))
    assert kept and not {f.family for f in kept} & {f.family for f in learned}
    assert len(kept) + len(learned) == len(many)


def test_a_cell_says_the_piece_of_text_that_is_in_it(
    materials: Materials, tokenizer: Tokenizer
) -> None:
    own, compared = cells(materials, tokenizer, "print", whole=True), 0
    for index in range(12):
        seen = own[index]
        rng = random.Random(f"cells/{own.seed}/{index}")
        rng.choices([0], [1.0])  # as the kind was drawn
        shown = printed(materials, own.fonts, rng, side=SIDE)
        assert np.array_equal(np.asarray(shown.picture), seen.tiles[0])
        np.testing.assert_allclose(seen.shares[0][seen.covers[0] > 0].sum(1), 1, rtol=1e-5)
        pieces = [tokenizer.decode([int(t) for t in cell if t >= 0]) for cell in seen.words[0]]
        if shown.angle == 0 and (seen.words[0][:, -1] < 0).all() and len(shown.lines) == 1:
            compared += 1
            assert "".join(pieces).replace(" ", "") == shown.lines[0].text.replace(" ", "")
    assert compared


@pytest.mark.parametrize("kind", ["print", "shapes"])
def test_quarters_are_the_whole(materials: Materials, tokenizer: Tokenizer, kind: str) -> None:
    whole = cells(materials, tokenizer, kind, whole=True)[1]
    parts = cells(materials, tokenizer, kind)[1]
    assert whole.kinds.tolist() == [QUARTERS] and parts.kinds.tolist() == [0, 1, 2, 3]
    half, few, patches = SIDE // 2, CELLS // 2, SIDE // PATCH // 2
    for number in range(QUARTERS):
        down, across = divmod(number, 2)
        place = np.s_[down * half : (down + 1) * half, across * half : (across + 1) * half]
        assert np.array_equal(parts.tiles[number], whole.tiles[0][place])
        place = np.s_[down * few : (down + 1) * few, across * few : (across + 1) * few]
        grid = whole.words[0].reshape(CELLS, CELLS, MOST)
        assert np.array_equal(parts.words[number], grid[place].reshape(-1, MOST))
        covers = whole.covers[0].reshape(CELLS, CELLS)
        assert np.array_equal(parts.covers[number], covers[place].ravel())
        place = np.s_[
            down * patches : (down + 1) * patches, across * patches : (across + 1) * patches
        ]
        letters = whole.characters[0].reshape(2 * patches, 2 * patches, -1)
        assert np.array_equal(parts.characters[number], letters[place].reshape(patches**2, -1))


def test_drawings_are_named_where_they_are(materials: Materials, tokenizer: Tokenizer) -> None:
    seen = cells(materials, tokenizer, "drawings")[0]
    assert seen.kinds.tolist() == [SMALL] * 4 and seen.tiles.shape == (4, 224, 224, 3)
    names = {materials.drawings.row(i)["label"] for i in materials.drawings.indices("train")}
    for words, covers in zip(seen.words, seen.covers, strict=True):
        said = {tokenizer.decode([int(t) for t in cell if t >= 0]).strip() for cell in words}
        assert said - {""} <= names and len(said - {""}) == 1
        assert np.array_equal(covers > 0, (words >= 0).any(1))
    assert not seen.characters.any()


def test_things_of_a_scene_share_the_cells_they_share(
    materials: Materials, tokenizer: Tokenizer
) -> None:
    own = cells(materials, tokenizer, "things", whole=True)
    several = stacked([own[i] for i in range(6)])
    covered = several.covers > 0
    assert covered.any(1).all() and not covered.all()
    np.testing.assert_allclose(several.shares[covered].sum(1), 1, rtol=1e-5)
    assert several.covers.max() <= 1


def test_a_full_cell_keeps_what_it_has_room_for() -> None:
    truth = Canvas(2)
    truth.add(0, list(range(5)), 0.5)
    truth.add(0, list(range(5, 10)), 0.25)
    words, shares, covers = truth.settled()
    assert words[0].tolist() == list(range(MOST)) and covers[0] == pytest.approx(0.75)
    assert shares[0].sum() == pytest.approx(1.0) and not covers[1:].any()


def test_samples_are_functions_of_seed_and_index(
    materials: Materials, tokenizer: Tokenizer
) -> None:
    own = cells(materials, tokenizer, "print")
    other = pickle.loads(pickle.dumps(own))
    for one, two in zip(own[7], other[7], strict=True):
        assert np.array_equal(one, two)
    another = cells(materials, tokenizer, "print", seed=4)
    assert not np.array_equal(own[7].tiles, another[7].tiles)
