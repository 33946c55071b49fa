"""The catalogue agrees with the published files it names."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import smolvlm
from smolvlm.catalog import CATALOG, CatalogEntry, find
from smolvlm.config import ImageRules, ModelConfig, VideoRules
from smolvlm.errors import UnknownNameError
from smolvlm.weights.names import expected_shapes

GOLDEN = Path(__file__).parent / "golden" / "checkpoints"
PUBLISHED = [entry for entry in CATALOG if entry.repo]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_numbers_follow_from_the_published_files(entry: CatalogEntry) -> None:
    assert entry.repo is not None
    name = entry.repo.rpartition("/")[2]
    config = ModelConfig.from_json(json.loads((GOLDEN / f"{name}.config.json").read_text()))
    rules = json.loads((GOLDEN / f"{name}.preprocessor_config.json").read_text())
    assert entry.parameters == sum(math.prod(s) for s in expected_shapes(config).values())
    assert entry.tile == ImageRules.from_json(rules).tile
    assert entry.tokens_per_tile == config.tokens_per_tile
    assert entry.video is (VideoRules.from_json(rules) is not None)


def test_the_embedded_one_is_what_its_files_say() -> None:
    folder = Path(smolvlm.__file__).parent / "assets" / "embedded"
    config = ModelConfig.from_json(json.loads((folder / "config.json").read_text()))
    rules = json.loads((folder / "preprocessor_config.json").read_text())
    entry = find("embedded")
    assert entry.parameters == sum(math.prod(s) for s in expected_shapes(config).values())
    assert (entry.tile, entry.patch) == (config.vision.image_size, config.vision.patch_size)
    assert entry.tokens_per_tile == config.tokens_per_tile
    assert entry.video is (VideoRules.from_json(rules) is not None) is True


def test_all_seven_and_the_embedded_one() -> None:
    golden = {path.name.removesuffix(".config.json") for path in GOLDEN.glob("*.config.json")}
    assert {entry.repo.rpartition("/")[2] for entry in PUBLISHED if entry.repo} == golden
    assert [entry.name for entry in CATALOG if entry.repo is None] == ["embedded"]


def test_every_name_is_found_and_none_is_used_twice() -> None:
    names = [
        (name, entry)
        for entry in CATALOG
        for name in (entry.name, *entry.aliases, entry.repo, (entry.repo or "").rpartition("/")[2])
        if name
    ]
    assert len({name for name, _ in names}) == len(names)
    for name, entry in names:
        assert find(name) is entry
        assert find(name.upper()) is entry


@pytest.mark.parametrize("name", ["", "/", "7b", "HuggingFaceTB/"])
def test_unknown_names_list_what_there_is(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find(name)
    assert "embedded, 256m, 500m, 2.2b, v1-256m, v1-500m, v1-2.2b, v1-2.2b-base" in str(
        caught.value
    )


def test_near_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match=r"'embeded'; did you mean 'embedded'\?"):
        find("embeded")
