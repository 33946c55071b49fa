"""What a stage freezes, adapts and trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.training.named import NAMED
from smolvlm.training.parts import find_row_ids, part_of, prepare, rate_of, trained_parameters
from smolvlm.training.stages import Adapter, Part, Rows, Schedule, Stage
from smolvlm.weights.reader import open_checkpoint

ENDS = Schedule(steps=5)


def prepared(folder: Path, stage: Stage) -> SmolVLM:
    model = SmolVLM.from_checkpoint(open_checkpoint(folder))
    prepare(model, stage, [49152, 7])
    return model


def test_zero_is_frozen_and_frozen_is_narrow(tiny_folder: Path) -> None:
    model = prepared(tiny_folder, Stage(connector=Part(1e-3), schedule=ENDS))
    assert set(trained_parameters(model)) == {"connector.modality_projection.proj.weight"}
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if "connector" in name else torch.bfloat16), name


def test_the_first_published_stage_trains_what_it_should(tiny_folder: Path) -> None:
    model = prepared(tiny_folder, NAMED["image-1"].stage)
    trained = trained_parameters(model)
    counts: dict[str, int] = {}
    for name in trained:
        counts[part_of(name)] = counts.get(part_of(name), 0) + 1
    # 2 layers: vision 6 adapters (a, b, magnitude) and 2 norms a layer, 3 embeddings, last norm;
    # text 7 adapters and 2 norms a layer, last norm, the head's adapter; rows in table and head.
    assert counts == {
        "vision": 2 * (18 + 4) + 3 + 2,
        "connector": 1,
        "text": 2 * 23 + 1 + 3,
        "rows": 2,
    }
    assert all(p.dtype == torch.float32 for p in trained.values())
    assert "vision_model.embeddings.position_embedding.weight" in trained
    norm = model.get_parameter("vision_model.encoder.layers.0.layer_norm1.weight")
    assert norm.dtype == torch.float32 and norm.requires_grad


def test_full_training_and_rates(tiny_folder: Path) -> None:
    stage = NAMED["video-small"].stage
    model = prepared(tiny_folder, stage)
    trained = trained_parameters(model)
    assert len(trained) == len(list(model.parameters()))
    rates = {part_of(name): rate_of(stage, part_of(name)) for name in trained}
    assert rates == {"vision": 5e-6, "connector": 1e-4, "text": 2e-5}
    assert part_of("lm_head.weight") == "text"


def test_words_keep_some_of_a_part_frozen(tiny_folder: Path) -> None:
    part = Part(1e-4, frozen=("embeddings", "layers.0."))
    model = prepared(tiny_folder, Stage(vision=part, schedule=ENDS))
    trained = set(trained_parameters(model))
    assert not [name for name in trained if "embeddings" in name or "layers.0." in name]
    everything = {name for name, _ in model.named_parameters() if name.startswith("vision_model.")}
    left = everything - trained
    assert left and all("embeddings" in name or "layers.0." in name for name in left)
    for name, parameter in model.named_parameters():
        if name.startswith("vision_model."):
            # Matrices that stay are narrow; vectors go with their neighbours.
            narrow = name in left and parameter.ndim > 1
            assert parameter.dtype == (torch.bfloat16 if narrow else torch.float32), name


def test_a_part_that_is_frozen_to_the_last_tensor(tiny_folder: Path) -> None:
    odd = Stage(connector=Part(1e-3, frozen=("proj",)), schedule=ENDS)
    with pytest.raises(InputError, match=r"connector.frozen leaves nothing to train"):
        prepared(tiny_folder, odd)


def test_names_that_nothing_has(tiny_folder: Path) -> None:
    odd = Stage(text=Part(1e-3, Adapter(where=("fc1",))), schedule=ENDS)
    with pytest.raises(InputError, match=r"no linear layer in text_model\. or lm_head named 'fc1'"):
        prepared(tiny_folder, odd)
    odd = Stage(text=Part(1e-3, Adapter(), full=("nrm",)), schedule=ENDS)
    with pytest.raises(InputError, match=r"text.full names 'nrm'"):
        prepared(tiny_folder, odd)
    odd = Stage(vision=Part(1e-3, frozen=("layers.7.",)), schedule=ENDS)
    with pytest.raises(InputError, match=r"vision.frozen names 'layers.7.', which no parameter"):
        prepared(tiny_folder, odd)
    tokenizer = Tokenizer.from_folder(tiny_folder)
    rows = Stage(rows=Rows(1e-3, ("<row_1_col_1>", "<nope>")), schedule=ENDS)
    with pytest.raises(InputError, match=r"'<nope>', which the model's vocabulary lacks"):
        find_row_ids(tokenizer, rows)
    assert find_row_ids(tokenizer, replace(rows, rows=Rows(1e-3, ("<global-img>",)))) == [49152]
    assert find_row_ids(tokenizer, Stage()) == []
