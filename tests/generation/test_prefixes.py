"""Memories kept between questions: who gets which, how many bytes stay, and the same tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine
from smolvlm.engines.choose import create_engine
from smolvlm.generation.generate import Generation
from smolvlm.generation.memory import Memory
from smolvlm.generation.prefixes import Prefixes, position_bytes
from smolvlm.generation.sequence import Request
from smolvlm.types import Answer, GenerationSettings
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.mock_engine import IMAGE, ByteDecoder, MockEngine, mock_config, spell

PICTURE = [IMAGE] * 4
PLENTY = 10**6


def tiles_of(*reds: int) -> NDArray[np.uint8]:
    """One flat tile for each number: uint8 (n, 16, 16, 3)."""
    return np.repeat(np.array(reds, np.uint8), 16 * 16 * 3).reshape(len(reds), 16, 16, 3)


def ask(
    engine: MockEngine, prefixes: Prefixes, ids: Sequence[int], *reds: int, answers: int = 1
) -> list[Answer]:
    request = Request(np.array(ids, dtype=np.int64), tiles_of(*reds), GenerationSettings())
    return Generation(engine, [request] * answers, ByteDecoder, prefixes=prefixes).run()


def reused(
    engine: MockEngine, prefixes: Prefixes, ids: Sequence[int], *reds: int, answers: int = 1
) -> int:
    return ask(engine, prefixes, ids, *reds, answers=answers)[-1].timings.reused_tokens


@pytest.fixture
def engine() -> MockEngine:
    return MockEngine(mock_config(context=512), [spell("a long answer")] * 20)


def test_a_second_question_about_a_picture_reads_only_the_question(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    assert reused(engine, prefixes, [5, *PICTURE, 6, 7, 8], 1) == 0
    assert reused(engine, prefixes, [5, *PICTURE, 9, 9], 1) == 5
    assert engine.calls.count(("encode_tiles", 1)) == 1
    assert len(engine.states) == len(prefixes) == 1


def test_a_long_question_does_not_outweigh_its_picture(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    ask(engine, prefixes, [5, *PICTURE, *[6] * 30], 1)
    assert reused(engine, prefixes, [5, *PICTURE, 7], 1) == 5


def test_another_picture_leaves_the_first_ones_memory_alone(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    start = [5, 5, 5]
    ask(engine, prefixes, [*start, *PICTURE, 6], 1)
    assert reused(engine, prefixes, [*start, *PICTURE, 6], 2) == 0
    assert reused(engine, prefixes, [*start, *PICTURE, 7], 1) == 7
    assert reused(engine, prefixes, [*start, *PICTURE, 7], 2) == 7
    assert len(engine.states) == 2


def test_two_pictures_go_on_from_one_of_them(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    ask(engine, prefixes, [5, *PICTURE, 6], 1)
    assert reused(engine, prefixes, [5, *PICTURE, *PICTURE, 6], 1, 2) == 5
    assert engine.calls.count(("encode_tiles", 1)) == 2


def test_the_longest_common_beginning_wins(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    ask(engine, prefixes, [5, *PICTURE, 6, 7, 8], 1, answers=2)  # two memories of the same prompt
    ask(engine, prefixes, [5, *PICTURE, 9, 9, 9], 1)  # takes one of them
    assert reused(engine, prefixes, [5, *PICTURE, 6, 7, 9], 1) == 7
    assert reused(engine, prefixes, [5, *PICTURE, 9, 9, 7], 1) == 7
    assert len(engine.states) == 2


def test_a_memory_is_lent_to_one_at_a_time(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    ask(engine, prefixes, [5, *PICTURE, 6], 1)
    together = ask(engine, prefixes, [5, *PICTURE, 7], 1, answers=3)
    assert [answer.timings.reused_tokens for answer in together] == [5, 0, 0]


def test_the_longest_unused_go_beyond_the_bytes(engine: MockEngine) -> None:
    held = 2 * position_bytes(engine.config) * (6 + len("a long answer"))
    prefixes = Prefixes(engine, max_bytes=held)
    for red in (1, 2, 1, 3):
        ask(engine, prefixes, [5, *PICTURE, 6], red)
    assert prefixes.size <= held
    assert [state.closed for state in engine.states] == [False, True, False]
    assert reused(engine, prefixes, [5, *PICTURE, 6], 1) == 5


def test_the_last_memory_stays_however_large(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=1)
    for red in (1, 2):
        ask(engine, prefixes, [5, *PICTURE, 6], red)
    assert [state.closed for state in engine.states] == [True, False]
    prefixes.close()
    assert all(state.closed for state in engine.states)


def test_no_bytes_keep_nothing(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=0)
    for _ in range(2):
        assert reused(engine, prefixes, [5, *PICTURE, 6], 1) == 0
    assert all(state.closed for state in engine.states)


def test_a_memory_is_given_up_after_an_error(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    ask(engine, prefixes, [5, *PICTURE, 6], 1)

    def broken(steps: Sequence[object]) -> list[NDArray[np.float32]]:
        raise MemoryError

    whole, engine.step = engine.step, broken  # type: ignore[method-assign, assignment]
    with pytest.raises(MemoryError):
        ask(engine, prefixes, [5, *PICTURE, 7], 1)
    engine.step = whole  # type: ignore[method-assign]
    assert engine.states[0].closed and len(prefixes) == 0
    assert reused(engine, prefixes, [5, *PICTURE, 6], 1) == 0


def test_what_was_lent_is_not_here(engine: MockEngine) -> None:
    prefixes = Prefixes(engine, max_bytes=PLENTY)
    memory = prefixes.lend([5, 6, 7])
    assert isinstance(memory, Memory) and memory.state is engine.states[0]
    prefixes.keep(memory)
    assert prefixes.lend([5, 6]) is not memory  # it holds nothing that could be taken over


class Silent:
    """A decoder for a network whose tokens mean nothing."""

    def push(self, token_id: int) -> str:
        return "."

    def flush(self) -> str:
        return ""


@pytest.fixture(scope="module", params=["torch", "openvino"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        return create_engine(
            open_checkpoint(folder),
            ImageRules.from_folder(folder),
            engine=request.param,
            precision="f32",
        )


def question(network: Engine, pictures: Sequence[int], words: int) -> Request:
    """Pictures of random pixels by number, then random words by number."""
    config = network.config
    ids = [20, 21]
    for number in pictures:
        ids += [config.image_token_id] * config.tokens_per_tile + [22 + number]
    ids += np.random.default_rng(words).integers(100, 40_000, 4 + words).tolist()
    side = config.vision.image_size
    tiles = [
        np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        for number in pictures
    ]
    return Request(
        np.array(ids, dtype=np.int64),
        np.array(tiles, dtype=np.uint8).reshape(-1, side, side, 3),
        GenerationSettings(max_new_tokens=80, keep_repeating=True),
    )


def test_answers_are_those_of_an_engine_without_memory(network: Engine) -> None:
    """The slow twin reads every prompt from nothing; questions come in an order that reuses."""
    asked = [((1,), 1), ((1,), 2), ((1, 2), 1), ((2,), 3), ((1,), 1), ((1, 2), 4), ((), 5), ((), 6)]
    requests = [question(network, pictures, words) for pictures, words in asked]
    prefixes = Prefixes(network, max_bytes=PLENTY)
    seen = [
        Generation(network, [request], Silent, prefixes=prefixes).run()[0] for request in requests
    ]
    wanted = [Generation(network, [request], Silent).run()[0] for request in requests]
    assert [answer.tokens for answer in seen] == [answer.tokens for answer in wanted]
    tile = network.config.tokens_per_tile
    held = [answer.timings.reused_tokens > tile for answer in seen]
    # The fifth would have forgotten as large a picture as it could have taken over.
    assert held == [False, True, True, False, False, True, False, False]
    assert seen[5].timings.reused_tokens > 2 * tile
