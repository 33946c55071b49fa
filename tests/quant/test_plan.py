"""Plans as data: which pattern decides, what a plan file may say, and what presets leave alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smolvlm.config import ModelConfig
from smolvlm.errors import InputError, UnknownNameError
from smolvlm.quant.plan import LOADED, PRESETS, Plan, quantizable
from smolvlm.quant.schemes import Scheme
from smolvlm.weights.names import EMBEDDING, HEAD, PATCH_WEIGHT, expected_shapes
from tests.checkpoints import golden_json

SHAPES = expected_shapes(ModelConfig.from_json(golden_json("SmolVLM-256M-Instruct", "config")))
UP = "text_model.layers.0.mlp.up_proj.weight"
FC1 = "vision_model.encoder.layers.0.mlp.fc1.weight"


def write(folder: Path, layers: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps({"layers": layers}))
    return path


def test_only_matrices_of_layers_can_be_quantised() -> None:
    weights = set(quantizable(SHAPES).values())
    assert {EMBEDDING, HEAD, UP, FC1} <= weights
    assert PATCH_WEIGHT not in weights
    assert not [name for name in weights if "norm" in name or "position" in name]


def test_the_first_pattern_that_fits_decides(tmp_path: Path) -> None:
    layers = {"text_model.layers.0.*": "keep", "text_model.layers.*": "int4-64", "*": "int8"}
    chosen = Plan.from_file(write(tmp_path, layers), SHAPES).resolve(SHAPES)
    assert UP not in chosen
    assert chosen[UP.replace("layers.0", "layers.1")] == Scheme(4, 64)
    assert chosen[FC1] == chosen[EMBEDDING] == Scheme(8)


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(PRESETS["int4"].to_json())
    assert Plan.from_file(path, SHAPES) == PRESETS["int4"]


def test_presets_keep_words_in_8_bits_and_loading_needs_no_pictures() -> None:
    for name in ("int8", "int4"):
        chosen, loaded = PRESETS[name].resolve(SHAPES), LOADED[name].resolve(SHAPES)
        assert chosen[EMBEDDING] == chosen[HEAD] == Scheme(8)
        assert chosen[FC1] == Scheme(8, inputs=True) and FC1 not in loaded
        assert not any("out_proj" in weight for weight in chosen)
        assert not any(scheme.inputs for scheme in loaded.values())
        assert chosen[UP].bits == loaded[UP].bits == (8 if name == "int8" else 4)


def test_a_plan_may_be_yaml(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("layers:\n  text_model.layers.*: int4-64\n  '*': int8\n")
    assert Plan.from_file(path, SHAPES).resolve(SHAPES)[UP] == Scheme(4, 64)
    path.write_text("layers: [")
    with pytest.raises(InputError, match="is not YAML"):
        Plan.from_file(path, SHAPES)
    path.write_text("int8")
    with pytest.raises(InputError, match="has no layers"):
        Plan.from_file(path, SHAPES)


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ({}, InputError, "has no layers"),
        (["int8"], InputError, "has no layers"),
        (
            {"text_model.leyers.*": "int8"},
            InputError,
            r"fits no layer; the nearest is text_model\.layers\.",
        ),
        ({"text_model.*": "int3"}, UnknownNameError, "no scheme 'int3'.*or keep"),
        ({"text_model.*": None}, UnknownNameError, "no scheme 'None'"),
    ],
)
def test_plans_that_say_nothing_sensible(
    tmp_path: Path, layers: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Plan.from_file(write(tmp_path, layers), SHAPES)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no plan .*give int8, int4, auto, or a YAML or JSON"):
        Plan.from_file(tmp_path / "none.json", SHAPES)


def test_groups_that_do_not_divide_a_layer(tmp_path: Path) -> None:
    plan = Plan.from_file(write(tmp_path, {"text_model.layers.*": "int4-128"}), SHAPES)
    with pytest.raises(InputError, match=r"576 columns, which int4-128 cannot cut"):
        plan.resolve(SHAPES)
