"""The PyTorch engine: what every engine must meet, its errors, its agreement with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from smolvlm.config import ImageRules
from smolvlm.engines.base import Step
from smolvlm.engines.torch import TorchEngine
from smolvlm.errors import EngineError, UnknownNameError
from smolvlm.processing.pixels import normalize
from smolvlm.weights.reader import open_checkpoint
from tests import invariants
from tests.checkpoints import make_tiny

NAMES = ("SmolVLM2-256M-Video-Instruct", "SmolVLM-Instruct")  # both grids, shared and own KV heads
TOLERANCE = 1e-5


def open_engine(folder: Path, **options: str) -> TorchEngine:
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder), **options)


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(request.param, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> TorchEngine:
    return open_engine(folder)


def test_cached_equals_full(engine: TorchEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=2, seed=0)
    invariants.cached_equals_full(engine, prompt, tolerance=TOLERANCE)


def test_scores_own_output(engine: TorchEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=1)
    invariants.scores_own_output(engine, prompt, tokens=24, tolerance=TOLERANCE)


def test_batch_equals_one_by_one(engine: TorchEngine) -> None:
    prompts = [invariants.random_prompt(engine, tiles=n, seed=n) for n in (1, 0, 2)]
    invariants.batch_equals_one_by_one(engine, prompts, tolerance=TOLERANCE)


def test_truncated_equals_never_read(engine: TorchEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=2)
    invariants.truncated_equals_never_read(engine, prompt, tolerance=TOLERANCE)


def test_exported_equals_read(engine: TorchEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=2)
    invariants.exported_equals_read(engine, prompt, tolerance=TOLERANCE)


def test_wrong_feature_counts(engine: TorchEngine) -> None:
    invariants.refuses_wrong_feature_counts(
        engine, invariants.random_prompt(engine, tiles=1, seed=3)
    )


def test_tiles_go_through_the_image_rules(engine: TorchEngine, folder: Path) -> None:
    side = engine.config.vision.image_size
    tiles = np.random.default_rng(4).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    features = engine.encode_tiles(tiles)
    pixels = torch.from_numpy(normalize(tiles, ImageRules.from_folder(folder)))
    with torch.no_grad():
        wanted = engine.model.encode_tiles(pixels).numpy()
    assert features.dtype == np.float32
    assert invariants.relative_error(features, wanted) <= TOLERANCE


def test_no_tiles_give_no_features(engine: TorchEngine) -> None:
    side = engine.config.vision.image_size
    features = engine.encode_tiles(np.zeros((0, side, side, 3), dtype=np.uint8))
    assert features.shape == (0, engine.config.tokens_per_tile, engine.config.text.hidden_size)


def test_rows_of_logits(engine: TorchEngine) -> None:
    vocabulary = engine.config.text.vocab_size
    ids = np.arange(20, 25)
    last, every = engine.step(
        [Step(engine.open_state(), ids), Step(engine.open_state(), ids, logits="all")]
    )
    assert last.shape == (1, vocabulary) and every.shape == (5, vocabulary)
    assert last.dtype == every.dtype == np.float32
    assert invariants.relative_error(last, every[-1:]) <= TOLERANCE


def test_bfloat16_is_close(folder: Path, engine: TorchEngine) -> None:
    coarse = open_engine(folder, precision="bf16")
    assert coarse.describe().precision == "bf16"
    prompt = invariants.random_prompt(engine, tiles=1, seed=5)
    (seen,) = coarse.step([prompt.step(coarse.open_state())])
    (wanted,) = engine.step([prompt.step(engine.open_state())])
    assert seen.dtype == np.float32
    # bfloat16 keeps eight bits; a wrong dtype somewhere would show as an error near 1.
    assert 0 < invariants.relative_error(seen, wanted) < 0.05


def test_describe(engine: TorchEngine) -> None:
    info = engine.describe()
    assert (info.name, info.device, info.precision) == ("torch", "cpu", "f32")
    assert info.library == f"torch {torch.__version__}"
    assert info.threads == torch.get_num_threads()


def test_closed_conversation_cannot_be_used(engine: TorchEngine) -> None:
    state = engine.open_state()
    state.close()
    with pytest.raises(AssertionError, match="closed"):
        engine.step([Step(state, np.array([20]))])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"device": "toaster"}, EngineError, "no device 'toaster'; use cpu or cuda"),
        ({"device": "mps"}, EngineError, "no device 'mps'; use cpu or cuda"),
        ({"device": "cuda:99"}, EngineError, "device 'cuda:99' is not there"),
        ({"precision": "int3"}, UnknownNameError, "no precision 'int3'; it has f32, bf16"),
    ],
)
def test_impossible_choices(
    folder: Path, options: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_engine(folder, **options)
