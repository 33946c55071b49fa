"""The loop on a tiny random network: its invariants, and the published `generate` as oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageTextToText

from smolvlm.config import ImageRules
from smolvlm.engines.base import Step
from smolvlm.engines.torch import TorchEngine
from smolvlm.generation.generate import Generation, score
from smolvlm.generation.prefixes import Prefixes
from smolvlm.generation.sampling import log_softmax
from smolvlm.generation.sequence import Request
from smolvlm.processing.pixels import normalize
from smolvlm.types import Answer, GenerationSettings, ModelInputs
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny

NAME = "SmolVLM2-256M-Video-Instruct"
NEW_TOKENS = 12


class Silent:
    """A decoder for a network whose tokens mean nothing."""

    def push(self, token_id: int) -> str:
        return "."

    def flush(self) -> str:
        return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(NAME, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> TorchEngine:
    return TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))


def random_tiles(count: int, seed: int) -> NDArray[np.uint8]:
    shape = (count, 512, 512, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def prompt(engine: TorchEngine, tiles: int, seed: int, **settings: object) -> Request:
    """Random words, with the visual tokens of random tiles between them."""
    rng = np.random.default_rng(seed)
    ids = list(rng.integers(100, 40_000, 5 + seed))
    for _ in range(tiles):
        ids += [engine.config.image_token_id] * engine.config.tokens_per_tile
        ids += list(rng.integers(100, 40_000, 3))
    chosen = GenerationSettings(**{"max_new_tokens": NEW_TOKENS, **settings})
    return Request(np.array(ids, dtype=np.int64), random_tiles(tiles, seed), chosen)


def inputs_of(request: Request) -> ModelInputs:
    ids = request.token_ids[None]  # (1, L)
    return ModelInputs(ids, np.ones_like(ids), request.tiles, (len(request.tiles),))


def answers(engine: TorchEngine, requests: Sequence[Request], *, width: int = 8) -> list[Answer]:
    return Generation(engine, requests, Silent, width=width).run()


@pytest.mark.parametrize("penalty", [1.0, 1.4])
@pytest.mark.parametrize("tiles", [0, 1, 2])
def test_greedy_tokens_are_those_of_the_published_generate(
    folder: Path, engine: TorchEngine, tiles: int, penalty: float
) -> None:
    request = prompt(engine, tiles, seed=tiles, repetition_penalty=penalty)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    pixels = normalize(request.tiles, ImageRules.from_folder(folder))  # (N, 3, S, S)
    ids = torch.from_numpy(request.token_ids)[None]  # (1, L)
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **({"pixel_values": torch.from_numpy(pixels)[None]} if tiles else {}),
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        repetition_penalty=penalty,
    )
    [answer] = answers(engine, [request])
    assert list(answer.tokens) == made[0, ids.shape[1] :].tolist()


def test_a_batch_says_what_each_says_alone(engine: TorchEngine) -> None:
    requests = [
        prompt(engine, 1, seed=1),
        prompt(engine, 0, seed=2, max_new_tokens=3),
        prompt(engine, 2, seed=3),
        prompt(engine, 0, seed=4, repetition_penalty=1.5),
    ]
    alone = [answers(engine, [request])[0].tokens for request in requests]
    for width in (2, 4):
        together = answers(engine, requests, width=width)
        assert [answer.tokens for answer in together] == alone


def test_sampled_tokens_do_not_depend_on_company(engine: TorchEngine) -> None:
    base = prompt(engine, 1, seed=1)
    requests = [
        Request(base.token_ids, base.tiles, GenerationSettings(NEW_TOKENS, 0.8, 50, seed=seed))
        for seed in (7, 8, 7)
    ]
    alone = [answers(engine, [request])[0].tokens for request in requests]
    together = [answer.tokens for answer in answers(engine, requests)]
    assert together == alone
    assert alone[0] == alone[2] != alone[1]


def test_cached_decoding_equals_a_full_pass_for_every_token(engine: TorchEngine) -> None:
    request = prompt(engine, 1, seed=5)
    [answer] = answers(engine, [request])
    for place in range(len(answer.tokens)):
        said = np.array(answer.tokens[:place], dtype=np.int64)
        whole = Request(
            np.concatenate([request.token_ids, said]), request.tiles, GenerationSettings(1)
        )
        [again] = answers(engine, [whole])
        assert again.tokens[0] == answer.tokens[place]


def test_scoring_ones_own_output(engine: TorchEngine) -> None:
    request = prompt(engine, 1, seed=6)
    [answer] = answers(engine, [request])
    seen = score(engine, inputs_of(request), answer.tokens)
    # The same numbers from single steps, as the loop takes them.
    state = engine.open_state()
    rows = engine.encode_tiles(request.tiles).reshape(-1, engine.config.text.hidden_size)
    [logits] = engine.step([Step(state, request.token_ids, rows)])
    wanted = []
    for token in answer.tokens:
        assert int(logits[-1].argmax()) == token
        wanted.append(log_softmax(logits[-1])[token])
        [logits] = engine.step([Step(state, np.array([token]))])
    np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-5)
    other = [*answer.tokens[:-1], int(logits[-1].argmin())]
    assert score(engine, inputs_of(request), other).sum() < seen.sum()


def test_a_second_turn_from_memory_equals_one_from_nothing(engine: TorchEngine) -> None:
    first = prompt(engine, 2, seed=7)
    prefixes = Prefixes(engine, max_bytes=1)
    [answer] = Generation(engine, [first], Silent, prefixes=prefixes).run()
    assert answer.tokens == answers(engine, [first])[0].tokens
    image = [engine.config.image_token_id] * engine.config.tokens_per_tile
    more = np.array([*answer.tokens[:5], 1000, *image, 2000], dtype=np.int64)
    ids = np.concatenate([first.token_ids, more])
    tiles = np.concatenate([first.tiles, random_tiles(1, seed=70)])
    fresh = Request(ids, tiles, first.settings)
    [wanted] = answers(engine, [fresh])
    [seen] = Generation(engine, [fresh], Silent, prefixes=prefixes).run()
    assert seen.tokens == wanted.tokens
    assert seen.timings.reused_tokens == len(first.token_ids) + 5
