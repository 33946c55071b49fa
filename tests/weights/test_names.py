"""The name table against the published counts, the published classes, and other generations."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError
from smolvlm.weights.names import (
    EMBEDDING,
    HEAD,
    expected_shapes,
    map_names,
    to_ours,
    to_published,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "checkpoints"
CLASSES: dict[str, Any] = {
    "idefics3": (Idefics3Config, Idefics3ForConditionalGeneration),
    "smolvlm": (SmolVLMConfig, SmolVLMForConditionalGeneration),
}
# Tensors and parameters of the published files, with the parameters of each half.
PUBLISHED = {
    "SmolVLM-256M-Instruct": (471, 256_484_928, 86_433_024, 7_077_888, 134_588_736),
    "SmolVLM-500M-Instruct": (489, 507_482_304, 86_433_024, 11_796_480, 361_944_000),
    "SmolVLM-Instruct": (657, 2_246_272_880, 412_987_248, 21_233_664, 1_711_382_528),
    "SmolVLM-Base": (657, 2_246_272_880, 412_987_248, 21_233_664, 1_711_382_528),
    "SmolVLM2-256M-Video-Instruct": (471, 256_484_928, 86_433_024, 7_077_888, 134_588_736),
    "SmolVLM2-500M-Video-Instruct": (489, 507_482_304, 86_433_024, 11_796_480, 361_944_000),
    "SmolVLM2-2.2B-Instruct": (657, 2_246_784_880, 412_987_248, 21_233_664, 1_711_638_528),
}


def golden(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.config.json").read_text())
    return data


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_the_published_files(name: str) -> None:
    shapes = expected_shapes(ModelConfig.from_json(golden(name)))
    tensors, parameters, *halves = PUBLISHED[name]
    assert len(shapes) == tensors
    assert sum(map(math.prod, shapes.values())) == parameters
    for prefix, wanted in zip(("vision_model.", "connector.", "text_model."), halves, strict=True):
        assert sum(math.prod(s) for n, s in shapes.items() if n.startswith(prefix)) == wanted
    assert math.prod(shapes[HEAD]) == parameters - sum(halves)


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_equal_the_published_class(name: str) -> None:
    """At true size, without memory: the published class on torch's meta device."""
    config_class, model_class = CLASSES[golden(name)["model_type"]]
    with torch.device("meta"):
        theirs = model_class(config_class.from_dict(copy.deepcopy(golden(name)))).state_dict()
    ours = expected_shapes(ModelConfig.from_json(golden(name)))
    assert {to_published(n): s for n, s in ours.items()} == {
        n: tuple(t.shape) for n, t in theirs.items()
    }


def test_tied_head_is_left_out() -> None:
    data = golden("SmolVLM-256M-Instruct")
    untied = expected_shapes(ModelConfig.from_json(data))
    tied = expected_shapes(ModelConfig.from_json(data | {"tie_word_embeddings": True}))
    assert untied.keys() - tied.keys() == {HEAD}


@pytest.fixture(scope="module")
def names() -> tuple[str, ...]:
    return tuple(expected_shapes(ModelConfig.from_json(golden("SmolVLM-256M-Instruct"))))


def in_training(name: str) -> str:
    for ours, stored in (
        ("text_model.", "model."),
        ("connector.", "model."),
        ("vision_model.", "model.vision_model."),
    ):
        if name.startswith(ours):
            return stored + name.removeprefix(ours)
    return name


def in_mlx(name: str) -> str:
    return name.replace("text_model.", "language_model.model.").replace(
        "lm_head.", "language_model.lm_head."
    )


def in_mlx_flat(name: str) -> str:
    return name.replace("text_model.", "language_model.")


def in_bare_model(name: str) -> str:
    return name


@pytest.mark.parametrize(
    "generation", [to_published, in_training, in_mlx, in_mlx_flat, in_bare_model]
)
def test_every_generation_maps_to_ours(generation: Any, names: tuple[str, ...]) -> None:
    mapped = map_names(generation(name) for name in names)
    assert mapped.unknown == ()
    assert mapped.stored == {name: (generation(name),) for name in names}


def test_published_names_go_both_ways(names: tuple[str, ...]) -> None:
    assert [to_ours(to_published(name)) for name in names] == list(names)
    assert to_published(HEAD) == "lm_head.weight"
    assert to_published("text_model.norm.weight") == "model.text_model.norm.weight"


def test_added_rows_come_after_the_base_and_leftovers_are_dropped(names: tuple[str, ...]) -> None:
    stored = [in_training(name) for name in names]
    added = ["additional_fc.weight", "model.embed_tokens.additional_embedding.weight"]
    leftovers = [
        "model.vision_model.head.probe",
        "model.vision_model.head.mlp.fc1.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
    ]
    mapped = map_names([*added, *leftovers, *stored])
    assert mapped.stored[EMBEDDING] == ("model.embed_tokens.weight", added[1])
    assert mapped.stored[HEAD] == ("lm_head.weight", added[0])
    assert set(mapped.stored) == set(names)
    assert mapped.unknown == ()


def test_unknown_names_are_kept_apart() -> None:
    assert map_names(["visual.blocks.0.weight", "lm_head.weight"]).unknown == (
        "visual.blocks.0.weight",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("language_model.model.layers.0.mlp.up_proj.scales", "MLX-quantised"),
        ("language_model.model.embed_tokens.biases", "MLX-quantised"),
        ("blk.0.attn_q.weight", "llama.cpp names"),
        ("v.blk.0.attn_q.weight", "llama.cpp names"),
        ("mm.model.fc.weight", "llama.cpp names"),
        ("base_model.model.model.text_model.layers.0.mlp.up_proj.lora_A.weight", "LoRA adapter"),
    ],
)
def test_weights_of_other_tools_are_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        map_names(["lm_head.weight", name])
    assert name in str(caught.value)


def test_two_names_of_one_tensor_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"hold text_model\.norm\.weight more than once"):
        map_names(["model.norm.weight", "model.text_model.norm.weight"])
    with pytest.raises(CheckpointError, match=r"hold lm_head\.weight more than once"):
        map_names(["lm_head.weight", "additional_fc.weight", "lm_head.additional_fc.weight"])
