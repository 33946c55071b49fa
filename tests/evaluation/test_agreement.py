"""Agreement of engines: figures against their definitions, and readings against plain decoding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smolvlm.config import ImageRules
from smolvlm.engines.base import Step
from smolvlm.engines.torch import TorchEngine
from smolvlm.evaluation.agreement import Prompt, Reading, compare, differ, read, summarize
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny


def reading(rows: list[list[float]], tokens: list[int], features: list[list[float]]) -> Reading:
    logs = np.log(np.array(rows, dtype=np.float32))
    return Reading(
        np.array(tokens), logs, np.array(features, dtype=np.float32),
        tile_ms=10.0, prefill_ms=20.0, token_ms=4.0,
    )  # fmt: skip


def test_figures_are_what_they_are_said_to_be() -> None:
    wanted = reading([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], [0, 1, 0], [[1, 0], [0, 2]])
    seen = reading([[0.6, 0.4], [0.9, 0.1], [0.6, 0.4]], [0, 1, 0], [[2, 0], [1, 1]])
    alike = reading([[0.5, 0.5]], [0], [[1, 0]])
    found = summarize([differ(wanted, seen), differ(alike, alike)])
    divergence = 0.7 * np.log(0.7 / 0.6) + 0.3 * np.log(0.3 / 0.4)
    divergence += 0.2 * np.log(0.2 / 0.9) + 0.8 * np.log(0.8 / 0.1)
    assert found.logit_kl == pytest.approx(divergence / 4, rel=1e-5)
    assert (found.answers, found.tokens) == (2, 4)
    assert found.token_agreement == 3 / 4
    assert found.same_until == pytest.approx((1 / 3 + 1) / 2)
    assert found.identical == 0.5
    assert found.feature_cosine == pytest.approx(((1 + 0.5**0.5) / 2 + 1) / 2)
    assert (found.tile_ms, found.prefill_ms, found.tokens_per_s) == (10.0, 20.0, 250.0)
    assert found.to_json()["token_agreement"] == 0.75


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))


def prompt(engine: TorchEngine, tiles: int) -> Prompt:
    config, rng = engine.config, np.random.default_rng(tiles)
    side = config.vision.image_size
    ids = [20, *[config.image_token_id] * (tiles * config.tokens_per_tile), 21, 22]
    pixels = rng.integers(0, 256, (tiles, side, side, 3), dtype=np.uint8)
    return Prompt(np.array(ids), pixels)


@pytest.mark.parametrize("tiles", [0, 1, 2])
def test_a_reading_is_greedy_and_comes_back_when_it_is_given(
    engine: TorchEngine, tiles: int
) -> None:
    asked = prompt(engine, tiles)
    found = read(engine, asked, tokens=9)
    features = engine.encode_tiles(asked.tiles).reshape(-1, engine.config.text.hidden_size)
    ids = np.concatenate([asked.token_ids, found.tokens[:-1]])
    rows = features if tiles else None
    (whole,) = engine.step([Step(engine.open_state(), ids, rows, logits="all")])
    assert whole[len(asked.token_ids) - 1 :].argmax(1).tolist() == found.tokens.tolist()
    assert np.exp(found.log_probs).sum(1) == pytest.approx(1, abs=1e-4)
    again = read(engine, asked, answer=found.tokens)
    np.testing.assert_allclose(again.log_probs, found.log_probs, atol=1e-4)
    same = compare(engine, [asked], [found])
    assert (same.token_agreement, same.identical, same.same_until) == (1.0, 1.0, 1.0)
    assert abs(same.logit_kl) < 1e-6
    assert (same.feature_cosine is None) == (tiles == 0)


def test_an_answer_ends_with_the_turn(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prompt(engine, 0)
    whole = read(engine, asked, tokens=9).tokens
    last = int(whole[4])
    first = whole.tolist().index(last)
    ended = replace(engine.config, eos_token_ids=(last,))
    monkeypatch.setattr(engine.model, "config", ended)
    assert read(engine, asked, tokens=9).tokens.tolist() == whole[: first + 1].tolist()


def test_readings_of_different_answers_cannot_be_compared() -> None:
    one, two = reading([[0.5, 0.5]], [0], [[1, 0]]), reading([[0.5, 0.5]], [1], [[1, 0]])
    with pytest.raises(AssertionError, match="different answers"):
        differ(one, two)
