"""Order, shares and held-out samples of mixtures, and bad files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from smolvlm.errors import InputError
from smolvlm.training.mixture import BLOCK, HELD_OUT_SEEDS, Mixture, MixtureFile, block_counts
from smolvlm.types import Message, Sample, TextPart


def generate(seed: int) -> Sample:
    return Sample((Message("assistant", (TextPart("x"),)),), "made", f"made:{seed}")


def rows_file(path: Path, count: int) -> Path:
    rows = ({"texts": [{"user": "?", "assistant": str(n)}]} for n in range(count))
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def mixture(folder: Path, text: str) -> MixtureFile:
    rows_file(folder / "a.jsonl", 100)
    path = folder / "mix.yaml"
    path.write_text(text)
    return MixtureFile.read(path)


TWO = """
sources:
  - {name: a, rows: a.jsonl, share: 3, modality: text, licence: green}
  - {name: b, generator: b, share: 1, modality: image, licence: amber}
"""


def open_two(folder: Path, seed: int = 0) -> Mixture:
    return mixture(folder, TWO).open(seed=seed, generators={"b": generate})


def test_shares_are_exact_and_rows_come_once_before_twice(tmp_path: Path) -> None:
    made = open_two(tmp_path)
    keys = [made[i].key for i in range(BLOCK)]
    rows = [key for key in keys if key.startswith("a.jsonl")]
    assert len(rows) == 750
    seen = Counter(rows)
    assert len(seen) == 97  # 100 rows, three of them held out
    assert set(seen.values()) == {7, 8}
    assert len(set(rows[:97])) == 97
    assert len(set(keys) - set(rows)) == 250  # a generator never repeats a seed


def test_held_out_samples_are_never_trained_on_and_always_the_same(tmp_path: Path) -> None:
    first, second = open_two(tmp_path, seed=1), open_two(tmp_path, seed=2)
    held = [first.held_out(i).key for i in range(200)]
    assert held == [second.held_out(i).key for i in range(200)]
    trained = {made[i].key for made in (first, second) for i in range(3 * BLOCK)}
    assert not trained & set(held)
    assert {"a.jsonl:1", "a.jsonl:41", "a.jsonl:81", f"made:{HELD_OUT_SEEDS}"} <= set(held)


def test_the_seed_changes_the_order_and_the_generated(tmp_path: Path) -> None:
    first, same, other = (open_two(tmp_path, seed=s) for s in (1, 1, 2))
    keys = [[made[i].key for i in range(50)] for made in (first, same, other)]
    assert keys[0] == keys[1] != keys[2]
    generated = [{k for k in run if k.startswith("made")} for run in keys]
    assert not generated[0] & generated[2]


def test_any_position_can_be_asked_first(tmp_path: Path) -> None:
    forwards = open_two(tmp_path)
    keys = [forwards[i].key for i in range(2 * BLOCK + 5)]
    assert open_two(tmp_path)[2 * BLOCK + 4].key == keys[-1]


def test_licence_classes_can_be_left_out(tmp_path: Path) -> None:
    green = mixture(tmp_path, TWO).open(seed=0, licences=["green"])
    assert [entry.name for entry in green.entries] == ["a"]
    amber = TWO.replace("licence: green", "licence: amber")
    with pytest.raises(InputError, match="no source of the licence classes green"):
        mixture(tmp_path, amber).open(seed=0, licences=["green"])


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ([1], (1000,)),
        ([1, 1, 1], (334, 333, 333)),
        ([1e-6, 1], (1, 999)),
        ([1e-6] * 3 + [5, 5], (1, 1, 1, 499, 498)),
    ],
)
def test_block_counts(shares: list[float], wanted: tuple[int, ...]) -> None:
    assert sorted(block_counts(shares)) == sorted(wanted)


ENTRY = "sources: [{name: a, rows: a.jsonl, share: 1, modality: text, licence: green%s}]"
BAD = [
    ("source: []", "named 'source'; did you mean 'sources'"),
    ("sources: []", "no list of 'sources'"),
    ("[1, 2]", "no keys and values"),
    ("sources: [", "not valid YAML"),
    ("sources: [7]", "source 1 is 7"),
    (ENTRY % ", shares: 2", "source 1: there is no key named 'shares'; did you mean 'share'"),
    (ENTRY % ", share: -1", "above 0"),
    (ENTRY % ", share: lots", "share is 'lots'; wanted a number"),
    (ENTRY % ", generator: b", "one of 'rows' and 'generator'"),
    (ENTRY % ", modality: images", "modality is 'images'; known: image"),
    ("sources: [{name: a, rows: a.jsonl}]", "lacks share, modality, licence"),
    (TWO.replace("name: b", "name: a"), "more than one source named a"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_file_is_refused_with_what_to_write(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        mixture(tmp_path, text)


def test_missing_things_are_found_when_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist"):
        MixtureFile.read(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="no generator named 'b'; did you mean 'bb'"):
        mixture(tmp_path, TWO).open(seed=0, generators={"bb": generate})
    with pytest.raises(InputError, match=r"gone.jsonl does not exist"):
        mixture(tmp_path, TWO.replace("a.jsonl", "gone.jsonl")).open(seed=0)
    rows_file(tmp_path / "one.jsonl", 1)
    with pytest.raises(InputError, match="'a' has 1 rows; wanted at least 2"):
        mixture(tmp_path, TWO.replace("a.jsonl", "one.jsonl")).open(
            seed=0, generators={"b": generate}
        )
