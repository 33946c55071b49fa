"""A tiny model quantised from end to end: what is written, what it costs, what is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import smolvlm
from smolvlm.cli.models import print_model
from smolvlm.config import ModelConfig
from smolvlm.errors import CheckpointError, InputError, SmolVLMError
from smolvlm.evaluation import agreement
from smolvlm.export.calibration import calibration_set, drawn_pictures
from smolvlm.export.quantize import Order, open_engine, quantize, resolve
from smolvlm.export.rounding import observe
from smolvlm.export.search import candidates, find_schemes
from smolvlm.processing.processor import Processor
from smolvlm.quant.receipt import Receipt, read_receipt
from smolvlm.quant.schemes import scheme_of
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests.checkpoints import make_tiny, random_tensors
from tests.evaluation.players import make_task

NAME = "SmolVLM2-256M-Video-Instruct"
UP = "text_model.layers.1.mlp.up_proj.weight"
FC1 = "vision_model.encoder.layers.1.mlp.fc1.weight"


@pytest.fixture(scope="module", autouse=True)
def quickly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Short answers, and a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(agreement.read, "__kwdefaults__", {"tokens": 6, "answer": None})
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Path:
    """A tiny model whose layers can be cut into groups of 32 and 64."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("plain"), tied=True)
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"intermediate_size": 128}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = random_tensors(ModelConfig.from_folder(folder), 5)
    write_checkpoint(folder, {name: to_bf16_bits(t) for name, t in tensors.items()})
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, picture in enumerate(drawn_pictures(2, side=64)):
        picture.save(folder / f"{number}.png")
    return folder


def run(plain: Path, out: Path, pictures: Path, **order: Any) -> Receipt:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that two pictures are few
        return quantize(plain, out, Order(calibrate=pictures, **order))


@pytest.fixture(scope="module")
def made(plain: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model quantised by the default plan."""
    out = tmp_path_factory.mktemp("made") / "out"
    run(plain, out, pictures)
    return out


def test_the_folder_loads_like_any_other(made: Path) -> None:
    assistant = smolvlm.load(made)
    picture = Image.new("RGB", (40, 30), (200, 0, 0))
    answer = assistant.ask(picture, "What is this?", max_new_tokens=5)
    assert len(answer.tokens) == 5
    assert assistant.info().engine.precision == "int8"
    checkpoint = open_checkpoint(made)
    packed, tower = checkpoint.packed(UP), checkpoint.packed(FC1)
    assert packed is not None and str(scheme_of(packed)) == "int8"
    assert tower is not None and checkpoint.input_range(FC1) is not None
    assert checkpoint.input_range(UP) is None


def test_the_receipt_says_what_it_cost(made: Path, plain: Path) -> None:
    told = read_receipt(made)
    assert told is not None
    receipt = Receipt(**told)
    assert receipt.plan == "int8" and receipt.model == plain.name
    assert sum(receipt.schemes.values()) == len(
        [n for n in open_checkpoint(made).names() if open_checkpoint(made).bits(n)]
    )
    assert receipt.calibration["measured_on"] == 2
    exact, last = receipt.figures["f32"], receipt.figures["quantized"]
    assert exact["logit_kl"] == 0 and exact["token_agreement"] == 1
    assert 0 < receipt.loss < 0.05 and last["feature_cosine"] > 0.99
    assert last["bytes"] < 0.6 * exact["bytes"]
    assert last["tokens_per_s"] > 0 and last["tile_ms"] > 0
    assert str(made.parent) not in (made / "receipt.json").read_text()


def test_models_tells_how_a_folder_is_stored(
    made: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_model(str(made))
    told = capsys.readouterr().out
    assert "15 matrices in int8, 10 matrices in int8-inputs; the rest in " in told
    assert f"{plain.name}, plan int8" in told and "logit KL" in told
    print_model(str(plain))
    told = capsys.readouterr().out
    assert "stored as      bf16\n" in told and "made from" not in told


def test_four_bits_are_rounded_so_that_outputs_stay(
    plain: Path, pictures: Path, tmp_path: Path
) -> None:
    """The slow twin: the nearest codes of the same groups."""
    from smolvlm.export import rounding

    plan = tmp_path / "plan.yaml"
    plan.write_text("layers:\n  text_model.layers.*: int4-32\n")
    better = run(plain, tmp_path / "better", pictures, plan=str(plan))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "_is_compensated", lambda *_: False)
        nearest = run(plain, tmp_path / "nearest", pictures, plan=str(plan))
    assert better.schemes == {"int4-32": 14}
    assert better.loss < nearest.loss
    assert smolvlm.load(tmp_path / "better").info().engine.precision == "int4"


def test_a_plan_that_costs_too_much_leaves_nothing(
    plain: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"costs 0\.\d+ nats a token, which is more than the 1e-09"
    ):
        run(plain, tmp_path / "out", pictures, max_loss=1e-9)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_within_what_is_allowed_is_written_and_scored(
    plain: Path, pictures: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"layers": {"text_model.layers.0.*": "int8"}}')
    tasks = (make_task("choice", count=3),)
    receipt = run(plain, tmp_path / "out", pictures, plan=str(plan), max_loss=1.0, tasks=tasks)
    assert receipt.loss < 1.0 and receipt.schemes == {"int8": 7}
    scores = receipt.scores["T-choice"]
    assert (scores["metric"], scores["items"]) == ("accuracy", 3)
    assert 0 <= scores["f32"] <= 1 and 0 <= scores["quantized"] <= 1
    source, copy = open_checkpoint(plain), open_checkpoint(tmp_path / "out")
    np.testing.assert_array_equal(source.raw(UP), copy.raw(UP))


def test_a_quantised_folder_is_not_quantised_again(
    made: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"is quantised.*use the checkpoint it was"):
        run(made, tmp_path / "out", pictures)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"text_model.layers.0.mlp.up_prjo": "int8"}, r"nearest is .*layers\.0\.mlp\.up_proj"),
        ({"text_model.layers.0.mlp.*": "int4-96"}, "has 64 columns, which int4-96 cannot cut"),
        ({"text_model.*": "int2"}, "there is no scheme 'int2'"),
        ({"text_model.*": "keep"}, "quantises nothing"),
    ],
)
def test_plans_that_cannot_be_followed(
    plain: Path, pictures: Path, tmp_path: Path, layers: dict[str, str], words: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"layers": layers}))
    with pytest.raises(SmolVLMError, match=words):
        run(plain, tmp_path / "out", pictures, plan=str(plan))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(("limit", "smaller"), [(1e-7, 0), (1e6, 14)])
def test_auto_spends_what_is_allowed(
    plain: Path, pictures: Path, limit: float, smaller: int
) -> None:
    checkpoint = open_checkpoint(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = calibration_set(Processor.from_folder(plain), pictures)
    engine = open_engine(checkpoint, "f32", 1)
    answers = [agreement.read(engine, prompt) for prompt in chosen.fitted]
    seen = observe(checkpoint, candidates(checkpoint), chosen.fitted, answers)
    schemes = find_schemes(checkpoint, seen, chosen.fitted, answers, limit=limit)
    assert sum(scheme.bits == 4 for scheme in schemes.values()) == smaller
    assert set(schemes) == set(resolve("int8", checkpoint))


def test_auto_from_end_to_end(plain: Path, pictures: Path, tmp_path: Path) -> None:
    receipt = run(plain, tmp_path / "out", pictures, plan="auto", max_loss=0.3)
    assert receipt.loss < 0.3 and receipt.plan == "auto"
    assert set(receipt.schemes) <= {"int8", "int8-inputs", "int4-64", "int4-32"}


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_limits_that_mean_nothing(limit: float) -> None:
    with pytest.raises(InputError, match="wanted nats a token above 0"):
        Order(max_loss=limit)
