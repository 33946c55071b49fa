"""From schemes and prompts to quantised tensors: what is observed, and what each layer gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smolvlm.config import ImageRules
from smolvlm.engines import choose
from smolvlm.engines.torch import TorchEngine
from smolvlm.errors import EngineError
from smolvlm.evaluation.agreement import Prompt, Reading, read
from smolvlm.export import rounding
from smolvlm.export.rounding import Rounder, observe, require_observer, round_all
from smolvlm.quant.folder import write_quantized
from smolvlm.quant.schemes import Scheme, output_error, quantize
from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests.checkpoints import make_tiny

TEXT, TOWER = "text_model.layers.0", "vision_model.encoder.layers.0"
GATE, UP = f"{TEXT}.mlp.gate_proj.weight", f"{TEXT}.mlp.up_proj.weight"
FC1 = f"{TOWER}.mlp.fc1.weight"
INT4, INPUTS = Scheme(4, 32), Scheme(8, inputs=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(make_tiny("SmolVLM-256M-Instruct", tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def engine(checkpoint: Checkpoint) -> TorchEngine:
    return TorchEngine(checkpoint, ImageRules.from_folder(checkpoint.folder))


@pytest.fixture(scope="module")
def said(engine: TorchEngine) -> tuple[list[Prompt], list[Reading]]:
    config, rng = engine.config, np.random.default_rng(0)
    side = config.vision.image_size
    ids = np.array([20, *[config.image_token_id] * config.tokens_per_tile, 21, 22])
    tiles = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    prompts = [Prompt(ids, tiles), Prompt(np.array([30, 31]), tiles[:0])]
    return prompts, [read(engine, prompt, tokens=5) for prompt in prompts]


def test_layers_see_prompts_and_answers(
    checkpoint: Checkpoint, said: tuple[list[Prompt], list[Reading]]
) -> None:
    prompts, readings = said
    seen = observe(checkpoint, {GATE: INT4, UP: INT4, FC1: INPUTS}, prompts, readings)
    tokens = sum(len(p.token_ids) + len(r.tokens) for p, r in zip(prompts, readings, strict=True))
    assert seen[GATE] is seen[UP] and seen[UP].rows == tokens
    assert seen[UP].moments is not None and seen[FC1].moments is None
    assert seen[FC1].rows == checkpoint.config.vision.num_patches


def test_nothing_is_run_for_weights_alone(checkpoint: Checkpoint) -> None:
    assert observe(checkpoint, {UP: Scheme(8), EMBEDDING: INT4}, [], []) == {}


def test_what_is_missing_to_look_at_layers_is_said(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    require_observer(checkpoint, {UP: Scheme(8)})
    for schemes in ({UP: INT4}, {FC1: INPUTS}):
        with pytest.raises(EngineError, match=r"torch is not installed .*smolvlm\[torch\]"):
            require_observer(checkpoint, schemes)


def test_wide_layers_are_rounded_plainly(
    checkpoint: Checkpoint,
    said: tuple[list[Prompt], list[Reading]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = observe(checkpoint, {UP: INT4}, *said)
    moments = seen[UP].mean_moments()
    rounded = Rounder(checkpoint).round(UP, INT4, seen[UP])
    plain = Rounder(checkpoint).round(UP, INT4, None)
    values = checkpoint.f32(UP)
    np.testing.assert_array_equal(plain.f32(), quantize(values, INT4).f32())
    better, nearest = (output_error(values, packed, moments) for packed in (rounded, plain))
    assert better < 0.8 * nearest
    monkeypatch.setattr(rounding, "WIDEST", 32)
    assert observe(checkpoint, {UP: INT4}, *said) == {}


def test_a_folded_tower_computes_the_same(
    checkpoint: Checkpoint,
    engine: TorchEngine,
    said: tuple[list[Prompt], list[Reading]],
    tmp_path: Path,
) -> None:
    """With weights in 8 bits; the ranges are of the inputs as they are then."""
    kinds = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    schemes = {
        n: INPUTS for n in checkpoint.names() if n.endswith(tuple(f"{k}.weight" for k in kinds))
    }
    schemes = {name: s for name, s in schemes.items() if name.startswith("vision_model.")}
    quantized = round_all(checkpoint, schemes, observe(checkpoint, schemes, *said))
    assert len(quantized.inputs) == len(quantized.matrices) == 12
    assert {name.rpartition(".")[2] for name in quantized.changed} == {"weight", "bias"}
    assert all("norm" in name or "v_proj.bias" in name for name in quantized.changed)
    write_quantized(tmp_path, checkpoint, quantized)
    made = TorchEngine(open_checkpoint(tmp_path), ImageRules.from_folder(checkpoint.folder))
    prompts, readings = said
    features = made.encode_tiles(prompts[0].tiles)[0]  # (T, H)
    wanted = readings[0].features
    cosines = (features * wanted).sum(1)
    cosines /= np.linalg.norm(features, axis=1) * np.linalg.norm(wanted, axis=1)
    assert cosines.min() > 0.999
