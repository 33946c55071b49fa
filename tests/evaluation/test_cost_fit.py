"""Fitting what questions cost: exact where the times are, never negative, and usable as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.engines.base import Step
from smolvlm.evaluation import cost_fit
from smolvlm.evaluation.cost_fit import fit_costs
from smolvlm.processing.processor import Processor
from tests.checkpoints import make_tiny
from tests.mock_engine import MockEngine

NAME = "SmolVLM-256M-Instruct"


class Clock:
    """Time that passes only when something is said to take some."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SlowEngine(MockEngine):
    """Takes 5 + 20 a tile, and 3 + 0.1 n + 0.001 n^2 for a prompt of n tokens, in milliseconds."""

    clock: Clock

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.clock.now += (5 + 20 * len(tiles)) / 1e3
        return super().encode_tiles(tiles)

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        [step] = steps
        count = len(step.token_ids)
        self.clock.now += (3 + 0.1 * count + 0.001 * count**2) / 1e3
        return [np.zeros((1, self.config.text.vocab_size), np.float32)]


@pytest.fixture
def processor(tmp_path: Path) -> Processor:
    return Processor.from_folder(make_tiny(NAME, tmp_path, tokenizer=True))


def test_times_that_follow_the_model_give_it_back(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    def opening(_: Processor, height: int, width: int) -> None:
        clock.now += (2 + 7 * height * width / 1e6) / 1e3

    monkeypatch.setattr("smolvlm.evaluation.speed.perf_counter", clock)
    monkeypatch.setattr(cost_fit, "_open", opening)
    engine = SlowEngine(processor.config)
    engine.clock = clock
    costs = fit_costs(engine, processor, runs=1)
    assert costs.tile == pytest.approx(20)
    assert costs.megapixel == pytest.approx(7)
    assert costs.token == pytest.approx(0.1)
    assert costs.token_squared == pytest.approx(0.001)
    assert costs.fixed == pytest.approx(2 + 5 + 3)
    assert costs.expected_ms(megapixels=1, tiles=2, prompt_tokens=100) == pytest.approx(77)


def test_real_times_are_never_negative(processor: Processor) -> None:
    """A mock takes no time worth measuring: noise alone is fitted."""
    costs = fit_costs(MockEngine(processor.config), processor, runs=1)
    assert all(value >= 0 for value in vars(costs).values())


@pytest.mark.parametrize("times", [[4, 3, 2, 1], [1, 1, 1, 1], [1, 9, 2, 8]])
def test_a_parabola_that_would_fall_does_not(times: list[float]) -> None:
    assert min(cost_fit._parabola([1, 2, 3, 4], times)) >= 0
