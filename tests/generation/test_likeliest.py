"""The search among answers, with `score_all` (which reads every answer) as its slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines.torch import TorchEngine
from smolvlm.errors import ContextLengthError
from smolvlm.generation.generate import score_all
from smolvlm.generation.likeliest import likeliest
from smolvlm.types import ModelInputs
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.mock_engine import IMAGE, MockEngine, mock_config, spell

Answers = list[NDArray[np.int64]]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    """A tiny random network."""
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))


def question(engine: TorchEngine, rng: np.random.Generator, *, tiles: int) -> ModelInputs:
    """Random words before and after the visual tokens of random tiles."""
    visual = [engine.config.image_token_id] * engine.config.tokens_per_tile * tiles
    ids = [*rng.integers(100, 40_000, 5), *visual, *rng.integers(100, 40_000, 4)]
    row = np.array(ids, dtype=np.int64)[None]  # (1, L)
    pixels = rng.integers(0, 256, (tiles, 512, 512, 3), dtype=np.uint8)
    return ModelInputs(row, np.ones_like(row), pixels, (tiles,))


def answers(rng: np.random.Generator) -> Answers:
    """Answers of one to five tokens out of three, so that many begin alike; some twice."""
    words = rng.integers(100, 40_000, 3)
    return [rng.choice(words, rng.integers(1, 6)).astype(np.int64) for _ in range(12)]


@pytest.mark.parametrize("seed", range(8))
def test_the_best_is_that_of_reading_all(engine: TorchEngine, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, offered = question(engine, rng, tiles=seed % 2), answers(rng)
    totals = [float(s.sum(dtype=np.float64)) for s in score_all(engine, inputs, offered)]
    best, bounds = likeliest(engine, inputs, offered)
    assert offered[best].tolist() == offered[int(np.argmax(totals))].tolist()
    assert bounds[best] == pytest.approx(totals[best], abs=1e-4)
    assert all(bound >= total - 1e-4 for bound, total in zip(bounds, totals, strict=True))
    assert all(bound <= bounds[best] for bound in bounds)


def test_of_equal_answers_the_first_is_taken(engine: TorchEngine) -> None:
    rng = np.random.default_rng(0)
    answer = rng.integers(100, 40_000, 4)
    best, bounds = likeliest(engine, question(engine, rng, tiles=0), [answer, answer.copy()])
    assert best == 0 and bounds[0] == bounds[1]


def test_answers_that_cannot_win_are_not_read() -> None:
    engine = MockEngine(mock_config(), [spell("Y"), spell("s")])
    prompt = np.array([spell("ok?")])  # (1, L)
    inputs = ModelInputs(prompt, np.ones_like(prompt), np.empty((0, 16, 16, 3), np.uint8), (0,))
    offered = [spell(text) for text in ("No", "Ys", "Perhaps.", "Not at all.")]
    best, _ = likeliest(engine, inputs, offered)
    assert best == 1
    assert engine.calls == [("step", 1)] * 2
    assert all(state.closed for state in engine.states)


def test_answers_that_do_not_fit_are_refused() -> None:
    engine = MockEngine(mock_config(context=8))
    prompt = np.array([spell("12345")])
    inputs = ModelInputs(prompt, np.ones_like(prompt), np.empty((0, 16, 16, 3), np.uint8), (0,))
    with pytest.raises(ContextLengthError):
        likeliest(engine, inputs, [spell("A long answer")])
    with pytest.raises(AssertionError):
        likeliest(engine, inputs, [[IMAGE]])
