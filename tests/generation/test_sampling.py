"""Sampling against closed-form distributions and the published logits processors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers.generation import logits_process as published

from smolvlm.errors import EngineError
from smolvlm.generation import sampling
from smolvlm.generation.sampling import Sampler
from smolvlm.types import GenerationSettings

VOCAB = 50


def random_logits(seed: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(VOCAB) * 3).astype(np.float32)


def as_published(
    processor: published.LogitsProcessor, logits: NDArray[np.float32], ids: list[int]
) -> NDArray[np.float32]:
    """What a published processor makes of logits (V,) after a prompt of these ids."""
    scores = processor(torch.tensor([ids]), torch.from_numpy(logits.copy())[None])
    return scores[0].numpy()


def log_odds(probabilities: list[float]) -> NDArray[np.float32]:
    return np.log(np.array(probabilities)).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 2, 7, VOCAB, VOCAB + 5])
def test_top_k_is_the_published_one(seed: int, k: int) -> None:
    logits = random_logits(seed)
    wanted = as_published(published.TopKLogitsWarper(k), logits, [0])
    np.testing.assert_array_equal(sampling.top_k(logits, k), wanted)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("p", [0.01, 0.3, 0.9, 0.999])
def test_top_p_is_the_published_one(seed: int, p: float) -> None:
    logits = random_logits(seed)
    wanted = as_published(published.TopPLogitsWarper(p), logits, [0])
    np.testing.assert_array_equal(sampling.top_p(logits, p), wanted)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.99])
def test_min_p_is_the_published_one(seed: int, p: float) -> None:
    logits = random_logits(seed)
    wanted = as_published(published.MinPLogitsWarper(p), logits, [0])
    np.testing.assert_array_equal(sampling.min_p(logits, p), wanted)


@pytest.mark.parametrize("penalty", [0.5, 1.3, 2.0])
def test_repetition_penalty_is_the_published_one(penalty: float) -> None:
    logits, ids = random_logits(0), [3, 3, 7, 49]
    seen = np.isin(np.arange(VOCAB), ids)
    wanted = as_published(published.RepetitionPenaltyLogitsProcessor(penalty), logits, ids)
    np.testing.assert_allclose(
        sampling.repetition_penalty(logits, seen, penalty), wanted, rtol=1e-6
    )


@pytest.mark.parametrize("value", [0.25, 1.0, 4.0])
def test_temperature_is_the_published_one_up_to_a_shift(value: float) -> None:
    logits = random_logits(0)
    wanted = as_published(published.TemperatureLogitsWarper(value), logits, [0])
    mine = sampling.temperature(logits, value)
    np.testing.assert_allclose(mine, wanted - wanted.max(), rtol=1e-5, atol=1e-5)


def test_the_whole_chain_is_the_published_order() -> None:
    ids = [1, 2, 3, 40]
    settings = GenerationSettings(
        temperature=0.7, top_k=20, top_p=0.8, min_p=0.05, repetition_penalty=1.5
    )
    chain = (
        published.RepetitionPenaltyLogitsProcessor(1.5),
        published.TemperatureLogitsWarper(0.7),
        published.TopKLogitsWarper(20),
        published.TopPLogitsWarper(0.8),
        published.MinPLogitsWarper(0.05),
    )
    for seed in range(8):
        logits = wanted = random_logits(seed)
        for processor in chain:
            wanted = as_published(processor, wanted, ids)
        sampler = Sampler(settings, vocab_size=VOCAB, prompt_ids=ids)
        np.testing.assert_allclose(
            sampling.softmax(sampler._filter(logits)), sampling.softmax(wanted), atol=1e-6
        )


def test_known_distributions() -> None:
    logits = log_odds([0.5, 0.25, 0.15, 0.1])
    np.testing.assert_allclose(
        sampling.softmax(sampling.top_k(logits, 2)), [2 / 3, 1 / 3, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        sampling.softmax(sampling.top_p(logits, 0.8)), [5 / 9, 2.5 / 9, 1.5 / 9, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        sampling.softmax(sampling.min_p(logits, 0.4)), [2 / 3, 1 / 3, 0, 0], atol=1e-6
    )
    # Temperature 1/2 squares the probabilities.
    squares = np.array([0.25, 0.0625, 0.0225, 0.01])
    np.testing.assert_allclose(
        sampling.softmax(sampling.temperature(logits, 0.5)), squares / squares.sum(), atol=1e-6
    )


def test_ties_at_the_kth_place_all_stay() -> None:
    kept = sampling.top_k(np.array([1, 3, 2, 2, 0], np.float32), 2)
    assert np.isfinite(kept).tolist() == [False, True, True, True, False]


def test_greedy_takes_the_lowest_id_of_equals() -> None:
    sampler = Sampler(GenerationSettings(), vocab_size=4)
    assert sampler.choose(np.array([1, 5, 5, 5], np.float32)) == 1


def test_draws_follow_the_distribution() -> None:
    logits, rng = log_odds([0.5, 0.3, 0.2]), np.random.default_rng(0)
    draws = [sampling.draw(logits, rng) for _ in range(20_000)]
    np.testing.assert_allclose(np.bincount(draws) / len(draws), [0.5, 0.3, 0.2], atol=0.015)


def test_filtered_tokens_are_never_drawn() -> None:
    settings = GenerationSettings(temperature=50.0, top_k=3, seed=0)
    logits = random_logits(1)
    allowed = set(np.argsort(logits)[-3:].tolist())
    sampler = Sampler(settings, vocab_size=VOCAB)
    assert {sampler.choose(logits) for _ in range(200)} == allowed


def test_banned_tokens_are_never_chosen() -> None:
    logits = np.array([9, 1, 8, 0], np.float32)
    assert Sampler(GenerationSettings(), vocab_size=4, banned=[0]).choose(logits) == 2
    hot = Sampler(GenerationSettings(temperature=100.0, seed=0), vocab_size=4, banned=[0, 2])
    assert {hot.choose(logits) for _ in range(100)} == {1, 3}


def test_a_seed_gives_the_same_tokens_and_another_gives_others() -> None:
    def tokens(seed: int | None) -> list[int]:
        sampler = Sampler(GenerationSettings(temperature=1.5, seed=seed), vocab_size=VOCAB)
        return [sampler.choose(random_logits(i)) for i in range(30)]

    assert tokens(5) == tokens(5)
    assert tokens(5) != tokens(6)
    assert tokens(None) != tokens(None)


def test_penalty_counts_prompt_and_own_tokens() -> None:
    settings = GenerationSettings(repetition_penalty=2.0)
    sampler = Sampler(settings, vocab_size=4, prompt_ids=[0])
    logits = np.array([4.0, 3.0, 2.9, -1.0], np.float32)
    # 0 is penalised from the start; 1 once it has been chosen; then 2.
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]


@pytest.mark.parametrize("value", [1e-3, 1e-30, 5e-324])
def test_a_vanishing_temperature_is_greedy(value: float) -> None:
    sampler = Sampler(GenerationSettings(temperature=value, seed=0), vocab_size=VOCAB)
    for seed in range(5):
        assert sampler.choose(random_logits(seed)) == int(np.argmax(random_logits(seed)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_numbers_are_an_error(bad: float) -> None:
    with pytest.raises(EngineError, match="not finite"):
        Sampler(GenerationSettings(), vocab_size=2).choose(np.array([0, bad], np.float32))


def test_log_softmax_is_the_published_one() -> None:
    logits = np.stack([random_logits(0), random_logits(1) * 100])
    wanted = torch.log_softmax(torch.from_numpy(logits).double(), dim=-1).numpy()
    np.testing.assert_allclose(sampling.log_softmax(logits), wanted, rtol=1e-12, atol=1e-12)
