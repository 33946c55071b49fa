"""The generation loop on an engine that says what it is told, and notes what it was fed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.engines.base import Step
from smolvlm.errors import ContextLengthError, InputError
from smolvlm.generation import generate, sequence
from smolvlm.generation.generate import Generation, score
from smolvlm.generation.sequence import Event, Request
from smolvlm.types import Answer, GenerationSettings, ModelInputs
from tests.mock_engine import EOS, IMAGE, ByteDecoder, MockEngine, mock_config, spell

WORDS = [5, 6, 7]


def tiles_of(*reds: int) -> NDArray[np.uint8]:
    """One flat tile for each number: uint8 (n, 16, 16, 3)."""
    tiles = np.zeros((len(reds), 16, 16, 3), np.uint8)
    tiles[...] = np.array(reds, np.uint8)[:, None, None, None]
    return tiles


def request(
    ids: Sequence[int] = (*WORDS,),
    *reds: int,
    preprocess_ms: float = 0.0,
    **settings: object,
) -> Request:
    """A prompt with a picture of this red for each run of four `<image>` ids."""
    return Request(
        np.array(ids, dtype=np.int64),
        tiles_of(*reds),
        GenerationSettings(**settings),
        preprocess_ms,
    )


def saying(*texts: str, context: int = 64, end: Sequence[int] = (EOS,)) -> MockEngine:
    return MockEngine(mock_config(context=context), [[*spell(text), *end] for text in texts])


def run(engine: MockEngine, *requests: Request, width: int = 8) -> tuple[list[Event], list[Answer]]:
    generation = Generation(engine, requests, ByteDecoder, width=width)
    events = list(generation)
    return events, [generation.answers[index] for index in range(len(requests))]


def text_of(events: Sequence[Event], index: int = 0) -> str:
    return "".join(event.text for event in events if event.index == index)


def test_an_answer_ends_with_the_turn() -> None:
    engine = saying(" A cat.")
    events, [answer] = run(engine, request())
    assert (answer.text, answer.finish_reason) == ("A cat.", "stop")
    assert answer.tokens == (*spell(" A cat."), EOS)
    assert text_of(events) == "A cat."
    assert tuple(event.token_id for event in events) == answer.tokens
    # The end-of-turn token is chosen and counted, never stepped and never shown.
    assert engine.states[0].token_ids == [*WORDS, *spell(" A cat.")]
    assert answer.timings.new_tokens == len(answer.tokens)


def test_max_new_tokens() -> None:
    events, [answer] = run(saying("abcdef"), request(max_new_tokens=3))
    assert (answer.text, answer.finish_reason, len(events)) == ("abc", "length", 3)


def test_a_cut_character_is_shown_as_such_and_streams_whole() -> None:
    events, [answer] = run(saying("日本"), request(max_new_tokens=5))
    assert answer.text == text_of(events) == "日�"
    assert [event.text for event in events] == ["", "", "日", "", "�"]


def test_the_end_of_turn_beats_the_other_reasons() -> None:
    _, [answer] = run(saying("ab"), request(max_new_tokens=3))
    assert answer.finish_reason == "stop"


def test_stop_strings_cross_tokens_and_are_not_shown() -> None:
    engine = saying("one<end>two")
    events, [answer] = run(engine, request(stop=("<end>",)))
    assert answer.text == text_of(events) == "one"
    assert answer.finish_reason == "stop_string"
    assert len(answer.tokens) == len("one<end>")
    assert engine.states[0].closed


def test_a_stop_string_that_does_not_come_is_printed() -> None:
    events, [answer] = run(saying("one<en"), request(stop=("<end>",)))
    assert answer.text == text_of(events) == "one<en"


def test_the_answer_ends_where_the_context_is_full() -> None:
    engine = saying("abcdefgh", context=8)
    _, [answer] = run(engine, request())
    assert (answer.text, answer.finish_reason) == ("abcde", "context")
    assert len(WORDS) + len(answer.tokens) == 8


def test_a_prompt_that_leaves_no_room_is_refused_before_any_work() -> None:
    engine = saying("x", context=7)
    with pytest.raises(ContextLengthError, match=r"7 tokens.*holds 7"):
        run(engine, request([5, *[IMAGE] * 4, 6, 7], 1))
    assert engine.calls == []
    _, [answer] = run(engine, request([5, *[IMAGE] * 4, 6], 1))
    assert (answer.finish_reason, len(answer.tokens)) == ("context", 1)


def test_image_ids_are_never_chosen() -> None:
    class Stubborn(MockEngine):
        def _next(self, state: object) -> int:
            return IMAGE

    _, [answer] = run(Stubborn(mock_config()), request(max_new_tokens=1))
    assert answer.tokens == (0,)  # the first of the equals that are left


def test_pictures_reach_their_prompt() -> None:
    ids = [5, *[IMAGE] * 4, 6, *[IMAGE] * 4, 7]
    engine = saying("a", "b")
    _, answers = run(engine, request(ids, 10, 20), request([*[IMAGE] * 4, 8], 30))
    assert engine.calls[0] == ("encode_tiles", 3)  # the vision tower runs once for all
    rows = [[tuple(row[:2]) for row in state.features] for state in engine.states]
    assert rows[0] == [(red, t) for red in (10, 20) for t in range(4)]
    assert rows[1] == [(30, t) for t in range(4)]
    assert [answer.timings.visual_tokens for answer in answers] == [8, 4]
    assert [answer.timings.prompt_tokens for answer in answers] == [11, 5]


def test_each_of_several_has_its_own_rules() -> None:
    engine = saying(" first.", "second", "third;x")
    events, answers = run(
        engine, request(), request([5], max_new_tokens=2), request([5, 6], stop=(";",))
    )
    assert [answer.text for answer in answers] == ["first.", "se", "third"]
    assert [answer.finish_reason for answer in answers] == ["stop", "length", "stop_string"]
    assert [text_of(events, index) for index in range(3)] == ["first.", "se", "third"]
    assert all(state.closed for state in engine.states)


def test_those_that_end_leave_the_others_going() -> None:
    engine = saying("a", "abcd")
    run(engine, request(), request())
    assert [size for name, size in engine.calls if name == "step"] == [2, 2, 1, 1, 1]


def test_waiting_requests_take_free_places() -> None:
    engine = saying("a", "abcdefgh", "bb", "ccc")
    taken: list[int] = []

    def requests() -> Iterator[Request]:
        for index in range(4):
            taken.append(index)
            yield request([5 + index])

    generation = Generation(engine, requests(), ByteDecoder, width=2)
    texts = [answer.text for answer in generation.run()]
    assert texts == ["a", "abcdefgh", "bb", "ccc"]
    assert max(size for name, size in engine.calls) == 2
    assert taken == [0, 1, 2, 3]


def test_requests_are_taken_only_as_places_come_free() -> None:
    taken: list[int] = []

    def requests() -> Iterator[Request]:
        for index in count():
            taken.append(index)
            yield request()

    generation = Generation(saying(*["ab"] * 9), requests(), ByteDecoder, width=2)
    next(iter(generation))
    assert taken == [0, 1]
    generation.close()


def test_closing_early_ends_as_cancelled_and_gives_states_back() -> None:
    engine = saying("abcdef", "xy", "later")
    generation = Generation(engine, [request(), request()], ByteDecoder)
    events = iter(generation)
    for _ in range(5):
        next(events)
    generation.close()
    assert generation.answers[0].finish_reason == "cancelled"
    assert generation.answers[0].text == "abc"
    assert all(state.closed for state in engine.states)
    assert list(events) == []


@pytest.mark.parametrize("when", [1, 3])
def test_an_interrupt_inside_the_engine_gives_states_back(when: int) -> None:
    class Interrupted(MockEngine):
        def step(self, steps: Sequence[object]) -> list[NDArray[np.float32]]:
            if sum(name == "step" for name, _ in self.calls) == when - 1:
                raise KeyboardInterrupt
            return super().step(steps)

    engine = Interrupted(mock_config(), [[*spell("abcdef")]])
    generation = Generation(engine, [request()], ByteDecoder)
    with pytest.raises(KeyboardInterrupt):
        generation.run()
    assert [state.closed for state in engine.states] == [True]
    assert generation.answers[0].finish_reason == "cancelled"
    assert len(generation.answers[0].tokens) == when - 1


def test_a_bad_request_gives_the_states_of_the_others_back() -> None:
    def requests() -> Iterator[Request]:
        yield request()
        raise InputError("the second picture is broken")

    engine = saying("abc")
    with pytest.raises(InputError, match="second"):
        Generation(engine, requests(), ByteDecoder).run()
    assert [state.closed for state in engine.states] == [True]


def test_the_same_seed_gives_the_same_tokens_in_any_company() -> None:
    def tokens(*seeds: int) -> list[tuple[int, ...]]:
        settings = {"temperature": 100.0, "max_new_tokens": 6}
        engine = MockEngine(mock_config())
        engine._take = lambda state, step: setattr(state, "reply", [])  # type: ignore[method-assign]
        _, answers = run(engine, *(request(seed=seed, **settings) for seed in seeds))
        return [answer.tokens for answer in answers]

    alone = [tokens(seed)[0] for seed in (1, 2, 1)]
    assert tokens(1, 2, 1) == alone
    assert alone[0] == alone[2] != alone[1]


def test_times_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds at: vision start, vision end, then each token chosen.
    clock = iter([10.0, 10.5, 12.0, 12.25, 12.5, 13.0])
    for module in (generate, sequence):
        monkeypatch.setattr(module, "perf_counter", lambda: next(clock))
    _, [answer] = run(saying("abc"), request([IMAGE] * 4 + [5], 1, preprocess_ms=30.0))
    timings = answer.timings
    assert (timings.vision_ms, timings.prefill_ms, timings.decode_ms) == (500.0, 1500.0, 1000.0)
    assert timings.ttft_ms == 2030.0
    assert timings.tpot_ms == pytest.approx(1000 / 3)
    assert timings.tokens_per_s == pytest.approx(3.0)
    assert (timings.prompt_tokens, timings.visual_tokens, timings.new_tokens) == (5, 4, 4)


def test_score_is_the_log_probability_under_the_logits() -> None:
    config = mock_config()

    class Scoring(MockEngine):
        """Logits that depend on the token and its position, so that a shift by one shows."""

        def _step(self, step: Step) -> NDArray[np.float32]:
            self._take(step.state, step)
            start = step.state.length - len(step.token_ids)
            rows = [table[i, token] for i, token in enumerate(step.token_ids, start)]
            step.state.reply = None
            return np.array(rows if step.logits == "all" else rows[-1:])

    rng = np.random.default_rng(0)
    table = rng.standard_normal((16, 272, 272)).astype(np.float32)  # (position, token, V)
    prompt, continuation = [5, *[IMAGE] * 4, 6], [20, 21, EOS]
    inputs = ModelInputs(np.array([prompt]), np.ones((1, 6), np.int64), tiles_of(9), (1,))
    engine = Scoring(config)
    seen = score(engine, inputs, continuation)
    whole = [*prompt, *continuation]
    wanted = []
    for place in range(5, 8):
        row = table[place, whole[place]].astype(np.float64)
        wanted.append(row[whole[place + 1]] - np.log(np.exp(row).sum()))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, wanted, rtol=1e-5)
    assert engine.states[0].closed
    assert len(engine.states[0].features) == 4


def test_score_refuses_what_does_not_fit() -> None:
    engine = saying(context=6)
    inputs = ModelInputs(np.array([WORDS]), np.ones((1, 3), np.int64), tiles_of(), (0,))
    assert score(engine, inputs, [20, 21, 22]).shape == (3,)
    with pytest.raises(ContextLengthError):
        score(engine, inputs, [20, 21, 22, 23])
