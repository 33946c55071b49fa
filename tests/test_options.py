"""The keywords of the Python face: unknown, contradictory and badly typed ones."""

from __future__ import annotations

from typing import Any

import pytest

import smolvlm
from smolvlm.errors import InputError, SmolVLMError, UnknownNameError
from smolvlm.options import (
    GenerationOptions,
    LoadOptions,
    Options,
    read_generation,
    read_load,
)
from smolvlm.processing.split import BudgetPolicy, ReferencePolicy
from smolvlm.types import GenerationSettings


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, BudgetPolicy()),
        ({"max_tiles": 3}, BudgetPolicy(3)),
        # A budget of tokens is not cut short by the default budget of tiles.
        ({"max_visual_tokens": 640}, BudgetPolicy(None, 640)),
        ({"max_tiles": 3, "max_visual_tokens": 640}, BudgetPolicy(3, 640)),
        ({"policy": "reference"}, ReferencePolicy()),
    ],
)
def test_policies(given: dict[str, Any], policy: object) -> None:
    assert read_load(given).split_policy() == policy


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"engine": "abacus"}, UnknownNameError, "no engine 'abacus'; there are native, openvino"),
        ({"precision": "f8"}, UnknownNameError, "no engine has a precision 'f8'; there are"),
        ({"threads": 0}, InputError, "threads is 0"),
        ({"threads": 1.5}, InputError, "threads is 1.5"),
        ({"threads": True}, InputError, "threads is True"),
        ({"feature_cache": -1}, InputError, "feature_cache is -1; wanted a whole number of MiB"),
        ({"feature_cache": 0.5}, InputError, "feature_cache is 0.5"),
        ({"feature_cache": None}, InputError, "feature_cache is None"),
        ({"prefix_cache": -1}, InputError, "prefix_cache is -1; wanted a whole number of MiB"),
        ({"disk_cache_limit": True}, InputError, "disk_cache_limit is True"),
        ({"disk_cache": " "}, InputError, "disk_cache is ' '; wanted the name of a folder"),
        ({"disk_cache": 5}, InputError, "disk_cache is 5"),
        ({"policy": "cheap"}, UnknownNameError, "known: budget, reference"),
        ({"policy": "reference", "max_tiles": 3}, InputError, "leave out max_tiles"),
        ({"policy": "reference", "max_visual_tokens": 64}, InputError, "leave out max_tiles"),
        ({"max_tiles": 0}, InputError, "max_tiles is 0"),
        ({"max_tile": 3}, InputError, "no option named 'max_tile'; did you mean 'max_tiles'"),
        ({"xyz": 3}, InputError, "known: engine, precision, policy"),
    ],
)
def test_wrong_load_options_are_found_before_the_model_is(
    given: dict[str, Any], error: type[SmolVLMError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        smolvlm.load("no-such-model", **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stop", ["END", ["END"], ("END",)])
def test_stop_takes_a_string_or_several(stop: object) -> None:
    assert read_generation({"stop": stop}).stop == ("END",)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"max_tokens": 1}, "did you mean 'max_new_tokens'"),
        ({"zzz": 1}, "known: max_new_tokens, temperature"),
        ({"temperature": -1}, "temperature is -1"),
        ({"stop": [3]}, "stop is"),
    ],
)
def test_wrong_generation_settings(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_generation(given)


def test_the_typed_keywords_are_those_that_are_read() -> None:
    assert LoadOptions.__annotations__.keys() == Options.__dataclass_fields__.keys()
    settings = GenerationSettings.__dataclass_fields__.keys()
    assert GenerationOptions.__annotations__.keys() == settings
