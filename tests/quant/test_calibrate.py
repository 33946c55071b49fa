"""What layers see, against inputs caught by hand; scaling channels changes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from smolvlm.config import ImageRules
from smolvlm.engines.torch import TorchEngine
from smolvlm.quant.calibrate import MOST_SCALED, Inputs, observing, range_between, smooth
from smolvlm.quant.folding import Fold, folds
from smolvlm.quant.schemes import Scheme, quantize
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import write_checkpoint
from tests import invariants
from tests.checkpoints import make_tiny


class TwoLayers(nn.Module):
    """`a` and `b` read the same tensor, `c` reads what they make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.c(self.a(x) * self.b(x))
        return y


def test_ranges_and_moments_are_those_of_the_inputs() -> None:
    torch.manual_seed(0)
    model, batches = TwoLayers(), [torch.randn(2, 5, 6) * 3, torch.randn(1, 7, 6)]
    layers, both = ["a.weight", "b.weight", "c.weight"], ["a.weight", "b.weight"]
    with observing(model, layers, moments=both) as seen:
        for batch in batches:
            model(batch)
    model(torch.full((1, 1, 6), 1e6))  # nobody looks any more
    rows = torch.cat([batch.flatten(0, 1) for batch in batches]).numpy()  # (17, 6)
    assert seen["a.weight"] is seen["b.weight"] and seen["c.weight"] is not seen["a.weight"]
    inputs = seen["a.weight"]
    assert inputs.rows == 17 and seen["c.weight"].moments is None
    np.testing.assert_array_equal(inputs.low, rows.min(0))
    np.testing.assert_array_equal(inputs.high, rows.max(0))
    np.testing.assert_array_equal(inputs.peaks, np.abs(rows).max(0))
    np.testing.assert_allclose(inputs.mean_moments(), rows.T @ rows / 17, rtol=1e-4)


def test_layers_that_want_different_things_share_nothing() -> None:
    model, x = TwoLayers(), torch.randn(1, 5, 6)
    with observing(model, ["a.weight", "b.weight"], moments=["b.weight"]) as seen:
        model(x)
    assert seen["a.weight"].moments is None and seen["b.weight"].moments is not None
    assert seen["a.weight"].rows == seen["b.weight"].rows == 5


def test_dividing_inputs_divides_all_that_is_known_of_them() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    columns = np.array([2, 0.5, 1], np.float32)

    def known(x: Any) -> Inputs:
        return Inputs(x.min(0), x.max(0), len(x), x.T @ x)

    seen, wanted = known(rows).divided(columns), known(rows / columns)
    np.testing.assert_allclose(seen.low, wanted.low, rtol=1e-5)
    np.testing.assert_allclose(seen.high, wanted.high, rtol=1e-5)
    np.testing.assert_allclose(seen.mean_moments(), wanted.mean_moments(), rtol=1e-4)


@pytest.mark.parametrize("ends", [(-1.0, 3.0), (0.5, 3.0), (-4.0, -0.5), (0.0, 0.0), (-7e-9, 1e9)])
def test_a_range_reaches_both_ends_and_holds_zero(ends: tuple[float, float]) -> None:
    found = range_between(*ends)
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    assert -128 <= found.zero <= 127 and found.scale > 0
    # Zero is rounded to a code, which moves the ends by half a step.
    assert found.low <= low + found.scale and found.high >= high - found.scale
    assert (found.high - found.low) <= (high - low) * 1.01 + 255 * (low == high)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))


def open_engine(folder: Path) -> TorchEngine:
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))


def test_smoothing_makes_channels_alike_and_keeps_the_network(folder: Path, tmp_path: Path) -> None:
    checkpoint, engine = open_checkpoint(folder), open_engine(folder)
    tensors = {name: checkpoint.f32(name) for name in checkpoint.names()}
    norm = "vision_model.encoder.layers.0.layer_norm2.weight"
    loud = np.ones(len(tensors[norm]), np.float32)
    loud[7] = 40.0  # one channel drowns the others, as in trained towers
    tensors[norm] = tensors[norm] * loud
    make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path)
    write_checkpoint(tmp_path, tensors)
    engine = open_engine(tmp_path)
    places = [f for f in folds(checkpoint.config) if f.makers[0].startswith("vision_model")]
    layers = [name for fold in places for name in fold.readers]
    side = engine.config.vision.image_size
    tile = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    with observing(engine.model, layers) as seen:
        wanted = engine.encode_tiles(tile)
    fc1 = norm.replace("layer_norm2", "mlp.fc1")
    before = seen[fc1]
    smooth(tensors, seen, places)
    assert np.ptp(np.log(seen[fc1].peaks)) < np.ptp(np.log(before.peaks))
    write_checkpoint(tmp_path, tensors)
    smoothed = open_engine(tmp_path)
    with observing(smoothed.model, layers) as again:
        features = smoothed.encode_tiles(tile)
    assert invariants.relative_error(features, wanted) < 1e-4
    # What is told of the new inputs is what they are.
    for name in layers:
        np.testing.assert_allclose(seen[name].high, again[name].high, rtol=1e-3, atol=1e-4)


def test_smoothing_loses_less_of_a_layer_with_a_loud_channel() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 32)).astype(np.float32)
    inputs[:, 3] *= 50
    weight = rng.standard_normal((16, 32)).astype(np.float32)
    tensors = {"norm": np.ones(32, np.float32), "layer": weight}
    seen = {"layer": Inputs(inputs.min(0), inputs.max(0), 200)}

    def lost() -> float:
        limits, scales = seen["layer"].range, tensors["norm"]
        x = inputs * scales
        codes = np.clip(np.rint(x / limits.scale) + limits.zero, -128, 127)
        rounded = (codes - limits.zero) * limits.scale
        outputs = rounded @ quantize(tensors["layer"], Scheme(8)).f32().T
        return float(np.square(outputs - inputs @ weight.T).mean())

    plain = lost()
    smooth(tensors, seen, [Fold(("norm",), ("layer",))])
    assert lost() < 0.3 * plain
    ratios = tensors["norm"]
    assert ratios.min() >= 1 / MOST_SCALED and ratios.max() <= MOST_SCALED


def test_folds_that_nobody_looked_at_are_left_alone() -> None:
    tensors = {"norm": np.ones(4, np.float32), "layer": np.ones((2, 4), np.float32)}
    smooth(tensors, {}, [Fold(("norm",), ("layer",))])
    assert (tensors["norm"] == 1).all()
