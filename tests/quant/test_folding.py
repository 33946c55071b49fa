"""Folds change the weights and nothing else: the whole network says what it said before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smolvlm.config import ImageRules
from smolvlm.engines.torch import TorchEngine
from smolvlm.quant.folding import Fold, folds
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import write_checkpoint
from tests import invariants
from tests.checkpoints import make_tiny

OWN_KV = "SmolVLM-Instruct"
SHARED_KV = "SmolVLM2-256M-Video-Instruct"


def open_engine(folder: Path) -> TorchEngine:
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))


@pytest.mark.parametrize("name", [OWN_KV, SHARED_KV])
def test_every_fold_keeps_what_the_network_computes(name: str, tmp_path: Path) -> None:
    folder = make_tiny(name, tmp_path)
    engine = open_engine(folder)
    prompt = invariants.random_prompt(engine, tiles=1, seed=0)
    (wanted,) = engine.step([prompt.step(engine.open_state())])
    checkpoint, rng = open_checkpoint(folder), np.random.default_rng(1)
    tensors = {n: checkpoint.f32(n).copy() for n in checkpoint.names()}
    places = list(folds(checkpoint.config))
    assert len(places) == 2 * 3 + 2 * 4
    for fold in places:
        channels = len(tensors[fold.makers[0]])
        fold.apply(tensors, rng.uniform(0.2, 5, channels).astype(np.float32))
    changed = sum(not np.array_equal(checkpoint.f32(n), t) for n, t in tensors.items())
    assert changed == 2 * 10 + 2 * 9
    write_checkpoint(folder, tensors)
    folded = open_engine(folder)
    side = engine.config.vision.image_size
    tile = np.random.default_rng(2).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    features = folded.encode_tiles(tile)
    assert invariants.relative_error(features, engine.encode_tiles(tile)) < 1e-4
    (seen,) = folded.step([prompt.step(folded.open_state())])
    assert invariants.relative_error(seen, wanted) < 1e-4


def test_heads_that_share_values_read_a_channel_several_times() -> None:
    fold = Fold(("v",), ("o",), width=2, repeats=3)
    scales = np.array([1, 2, 3, 4], dtype=np.float32)  # two heads of two channels
    columns = fold.spread(scales)
    assert columns.tolist() == [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]
    assert fold.gather(columns).tolist() == scales.tolist()


def test_scales_have_to_be_positive() -> None:
    with pytest.raises(AssertionError, match="positive"):
        Fold(("a",), ("b",)).apply({}, np.array([1.0, 0.0], dtype=np.float32))
