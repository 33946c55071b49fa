"""What is kept of a conversation: ids, and pictures by their pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.generation.generate import Generation
from smolvlm.generation.memory import Memory, missing_features, missing_tiles, position_keys
from smolvlm.generation.prefixes import Prefixes
from smolvlm.generation.sequence import Request
from smolvlm.types import Answer, GenerationSettings
from tests.mock_engine import IMAGE, ByteDecoder, MockEngine, MockState, mock_config, spell

PICTURE = [IMAGE] * 4


def tiles_of(*reds: int) -> NDArray[np.uint8]:
    """One flat tile for each number: uint8 (n, 16, 16, 3)."""
    return np.repeat(np.array(reds, np.uint8), 16 * 16 * 3).reshape(len(reds), 16, 16, 3)


def ask(engine: MockEngine, prefixes: Prefixes, ids: Sequence[int], *reds: int) -> Answer:
    request = Request(np.array(ids, dtype=np.int64), tiles_of(*reds), GenerationSettings())
    [answer] = Generation(engine, [request], ByteDecoder, prefixes=prefixes).run()
    return answer


def remembering(*replies: str) -> tuple[MockEngine, Prefixes]:
    """An engine with these replies, and a place for what it has read; one memory stays there."""
    engine = MockEngine(mock_config(), [spell(reply) for reply in replies])
    return engine, Prefixes(engine, max_bytes=1)


def test_keys_tell_pictures_apart_and_nothing_else() -> None:
    config = mock_config()
    ids = np.array([5, *PICTURE, 6, *PICTURE], dtype=np.int64)
    same, other = (position_keys(ids, tiles_of(1, red), config) for red in (1, 2))
    assert same[0] == 5 and same[5] == 6
    assert same[1:5] == same[6:] and len({*same[1:5]}) == 1 and same[1] < 0
    assert other[:6] == same[:6]
    assert other[6] not in same


def naive_rest(
    ids: NDArray[np.int64], features: NDArray[np.float32], held: int
) -> list[NDArray[np.float32]]:
    """Feature rows for the `<image>` ids from `held` on, one id at a time."""
    rows = list(features.reshape(-1, features.shape[-1]))
    taken = [rows.pop(0) if token == IMAGE else None for token in ids]
    return [row for row in taken[held:] if row is not None]


@pytest.mark.parametrize("held", range(11))
def test_only_missing_tiles_are_encoded(held: int) -> None:
    config, ids = mock_config(), np.array([5, *PICTURE, *PICTURE, 6, 7], dtype=np.int64)
    tiles = tiles_of(1, 2)
    engine = MockEngine(config)
    left = missing_tiles(ids, tiles, held, config)
    features = engine.encode_tiles(left) if len(left) else np.zeros((0, 4, 8), np.float32)
    seen = missing_features(features, ids, held, config)
    wanted = naive_rest(ids, engine.encode_tiles(tiles), held)
    assert (0 if seen is None else len(seen)) == len(wanted)
    if seen is not None:
        np.testing.assert_array_equal(seen, wanted)
    assert len(left) == (2 if held < 5 else 1 if held < 9 else 0)


def test_a_second_turn_steps_only_what_is_new() -> None:
    engine, prefixes = remembering("ab", "c")
    first = [5, *PICTURE, 6]
    ask(engine, prefixes, first, 1)
    second = [*first, *spell("ab"), 7, 8]
    answer = ask(engine, prefixes, second, 1)
    [state] = engine.states
    assert answer.text == "c"
    assert answer.timings.reused_tokens == len(first) + 2
    assert answer.timings.prompt_tokens == len(second)
    assert answer.timings.visual_tokens == 4
    assert [call for call in engine.calls if call[0] == "encode_tiles"] == [("encode_tiles", 1)]
    assert state.token_ids == [*second, *spell("c")]
    assert not state.closed


def test_a_new_picture_later_is_encoded_alone() -> None:
    engine, prefixes = remembering("a", "b")
    ask(engine, prefixes, [5, *PICTURE, 6], 1)
    ask(engine, prefixes, [5, *PICTURE, 6, *spell("a"), *PICTURE, 7], 1, 2)
    rows = [tuple(row[:2]) for row in engine.states[0].features]
    assert rows == [(red, t) for red in (1, 2) for t in range(4)]
    assert [size for name, size in engine.calls if name == "encode_tiles"] == [1, 1]


def test_another_picture_in_the_same_place_is_seen() -> None:
    engine, prefixes = remembering("a", "b")
    ids = [5, *PICTURE, 6]
    ask(engine, prefixes, ids, 1)
    one, two = (position_keys(np.array(ids), tiles_of(red), engine.config) for red in (1, 2))
    assert (prefixes.lend(one).common(two), Memory(MockState(), one).common(one)) == (1, 5)
    ask(engine, prefixes, ids, 2)
    assert {row[0] for row in engine.states[-1].features} == {2.0}


def test_the_same_prompt_again_steps_its_last_token() -> None:
    engine, prefixes = remembering("ab", "ab")
    answers = [ask(engine, prefixes, [5, *PICTURE, 6], 1) for _ in range(2)]
    assert answers[0].text == answers[1].text
    assert answers[1].timings.reused_tokens == 5
    assert engine.states[0].token_ids == [5, *PICTURE, 6, *spell("ab")]


def test_a_prompt_that_ends_inside_what_is_held() -> None:
    engine, prefixes = remembering("ab", "c")
    ask(engine, prefixes, [*PICTURE, 6, 7], 1)
    ask(engine, prefixes, PICTURE, 1)  # ends with a picture: its last visual token is stepped again
    assert engine.states[0].token_ids == [*PICTURE, *spell("c")]
    assert [tuple(row[:2]) for row in engine.states[0].features] == [(1, t) for t in range(4)]


def test_keys_follow_the_state_when_a_turn_is_cancelled() -> None:
    engine, prefixes = remembering("abcdef", "x")
    ids = np.array([5, 6], dtype=np.int64)
    request = Request(ids, tiles_of(), GenerationSettings())
    generation = Generation(engine, [request], ByteDecoder, prefixes=prefixes)
    for _, _ in zip(range(3), generation, strict=False):
        pass
    generation.close()
    memory = prefixes.lend([5, 6, *spell("abc")])
    assert memory.keys == engine.states[0].token_ids
    prefixes.keep(memory)
    assert not engine.states[0].closed
    assert ask(engine, prefixes, [5, 6, *spell("ab"), 9]).text == "x"
