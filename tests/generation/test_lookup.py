"""Guessed tokens: what is guessed, and that an answer never depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine, Step
from smolvlm.engines.choose import create_engine
from smolvlm.generation.generate import Generation
from smolvlm.generation.lookup import FIRST, Lookup
from smolvlm.generation.prefixes import Prefixes
from smolvlm.generation.sequence import Request
from smolvlm.types import Answer, GenerationSettings
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.mock_engine import EOS, IMAGE, ByteDecoder, MockEngine, MockState, mock_config, spell

GREEDY = {"max_new_tokens": 60, "keep_repeating": True}


def guess(text: str, *, most: int = 8, room: int = 99, banned: Sequence[int] = ()) -> str:
    lookup = Lookup(map(ord, text), most=most, banned=banned)
    lookup.judge(FIRST, FIRST)  # so that as many are guessed as may be
    return "".join(map(chr, lookup.guess(room)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the cat sat. the c", "at sat. "),
        ("abcX abcY abc", "Y abcY a"),  # the latest place, then the guess goes on with itself
        ("qbcX abcY zabc", "Y zabcY "),  # three tokens alike beat two
        ("bcX zbc", "X zbcX z"),  # two are enough
        ("cX zc", ""),  # one is not
        ("nothing", ""),
        ("", ""),
        ("aaaa", "aaaaaaaa"),
    ],
)
def test_what_stood_there_before_is_guessed(text: str, wanted: str) -> None:
    assert guess(text) == wanted


def test_guesses_keep_to_their_limits() -> None:
    assert guess("the cat sat. the c", room=3) == "at "
    assert guess("the cat sat. the c", most=2) == "at"
    assert guess("the cat sat. the c", room=0) == ""
    assert guess("the cat sat. the c", banned=[ord("s")]) == "at "


def test_new_tokens_are_known_at_once() -> None:
    lookup = Lookup([1, 2, 3], most=4)
    for token in (9, 1, 2, 3):
        lookup.push(token)
    assert lookup.guess(2) == [9, 1]


def test_luck_makes_bold_and_failure_careful() -> None:
    lookup = Lookup([1, 2, 3] * 9, most=16)
    assert len(lookup.guess(99)) == FIRST
    for right, wanted in ((FIRST, 8), (8, 16), (16, 16), (5, 5), (0, 1), (1, 2)):
        lookup.judge(len(lookup.guess(99)), right)
        assert len(lookup.guess(99)) == wanted
    lookup.judge(0, 0)  # nothing guessed, nothing learnt
    assert len(lookup.guess(99)) == 2


class Rule(MockEngine):
    """Says what a function of everything it was fed says, wherever steps begin and end."""

    def __init__(self, next_token: Callable[[Sequence[int]], int], context: int = 400) -> None:
        super().__init__(mock_config(context=context))
        self._next_token = next_token
        self.largest = 0

    def _step(self, step: Step) -> NDArray[np.float32]:
        state = step.state
        assert isinstance(state, MockState) and not state.closed
        before = state.length
        state.reply = []
        state.token_ids += step.token_ids.tolist()
        assert state.length <= self.config.text.max_position_embeddings
        if before:
            self.largest = max(self.largest, len(step.token_ids))
        rows = range(before if step.logits == "all" else state.length - 1, state.length)
        logits = np.zeros((len(rows), self.config.text.vocab_size), np.float32)  # (rows, V)
        for row, place in enumerate(rows):
            logits[row, self._next_token(state.token_ids[: place + 1])] = 9.0
        return logits


def reading(text: str, *, mistakes: int = 0) -> Callable[[Sequence[int]], int]:
    """Reads a text aloud, over and over; every so many tokens it says something else."""
    ids = spell(text)

    def next_token(held: Sequence[int]) -> int:
        place = len(held)
        return 20 + place % 50 if mistakes and place % mistakes == 0 else ids[place % len(ids)]

    return next_token


def answer(engine: Engine, prompt: Sequence[int], **settings: Any) -> Answer:
    request = Request(
        np.array(prompt, dtype=np.int64),
        np.zeros((0, 16, 16, 3), np.uint8),
        GenerationSettings(**{**GREEDY, **settings}),
    )
    [made] = Generation(engine, [request], ByteDecoder).run()
    return made


TEXT = "Total 12.50 EUR. Thank you for your visit. "


@pytest.mark.parametrize("mistakes", [0, 2, 3, 7, 30])
@pytest.mark.parametrize("lookup", [1, 3, 8, 32])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_new_tokens": 17},
        {"stop": ("visit",)},
        {"repetition_penalty": 1.5},
        {"temperature": 3.0, "seed": 5},
        {"temperature": 3.0, "seed": 6, "repetition_penalty": 0.9, "top_k": 5},
        {"keep_repeating": False, "max_new_tokens": 300},
    ],
)
def test_the_answer_is_the_same(mistakes: int, lookup: int, settings: dict[str, Any]) -> None:
    prompt = spell(TEXT)
    plain, guessing = (Rule(reading(TEXT, mistakes=mistakes)) for _ in range(2))
    wanted = answer(plain, prompt, **settings)
    seen = answer(guessing, prompt, lookup=lookup, **settings)
    assert (seen.tokens, seen.text, seen.finish_reason) == (
        wanted.tokens,
        wanted.text,
        wanted.finish_reason,
    )
    assert guessing.largest <= lookup + 1
    assert len(guessing.calls) <= len(plain.calls)


def test_right_guesses_spare_steps_and_are_counted() -> None:
    engine = Rule(reading(TEXT))
    made = answer(engine, spell(TEXT), lookup=8)
    steps = engine.calls.count(("step", 1)) - 1  # one read the prompt
    assert steps < len(made.tokens) / 4
    assert made.timings.right_guesses == len(made.tokens) - 1 - steps
    assert made.timings.guessed_tokens >= made.timings.right_guesses
    assert answer(Rule(reading(TEXT)), spell(TEXT)).timings.guessed_tokens == 0


def test_the_end_of_the_turn_inside_a_guess() -> None:
    def next_token(held: Sequence[int]) -> int:
        return EOS if len(held) == 60 else spell(TEXT)[len(held) % len(TEXT)]

    prompt = [*spell(TEXT)[:20], EOS, *spell(TEXT)[21:]]
    seen, wanted = (answer(Rule(next_token), prompt, lookup=n) for n in (16, 0))
    assert seen.tokens == wanted.tokens and seen.finish_reason == "stop"
    assert seen.tokens[-1] == EOS


@pytest.mark.parametrize("context", range(50, 58))
def test_guesses_stay_within_the_context(context: int) -> None:
    engine = Rule(reading(TEXT), context)
    seen = answer(engine, spell(TEXT), lookup=32)
    assert seen.finish_reason == "context"
    assert len(TEXT) + len(seen.tokens) == context
    assert seen.tokens == answer(Rule(reading(TEXT), context), spell(TEXT)).tokens


def test_a_picture_is_never_guessed() -> None:
    engine = Rule(reading(TEXT))
    prompt = [*spell(TEXT)[:-1], IMAGE, *spell(TEXT)]

    class Blind(Rule):
        def _step(self, step: Step) -> NDArray[np.float32]:
            assert IMAGE not in step.token_ids or len(step.token_ids) == len(prompt)
            return super()._step(step)

    engine = Blind(reading(TEXT))
    answer(engine, prompt, lookup=32)


def test_events_come_one_by_one_and_memory_follows_a_cancelled_guess() -> None:
    engine = Rule(reading(TEXT))
    prefixes = Prefixes(engine, max_bytes=10**6)
    request = Request(
        np.array(spell(TEXT), dtype=np.int64),
        np.zeros((0, 16, 16, 3), np.uint8),
        GenerationSettings(**GREEDY, lookup=16),
    )
    for taken in range(1, 24):
        generation = Generation(engine, [request], ByteDecoder, prefixes=prefixes)
        events = list(islice(generation, taken))
        generation.close()
        cancelled = generation.answers[0]
        assert cancelled.finish_reason == "cancelled"
        assert tuple(event.token_id for event in events) == cancelled.tokens
        assert "".join(event.text for event in events) == cancelled.text
        memory = prefixes.lend(spell(TEXT))
        assert memory.keys == engine.states[-1].token_ids
        prefixes.keep(memory)


def test_a_batch_of_guessing_and_plain_sequences() -> None:
    texts = [TEXT, "1 2 3 1 2 3 ", "Thank you. "]

    def next_token(held: Sequence[int]) -> int:
        start = next(spell(t) for t in texts if held[: len(t)] == spell(t))
        return start[len(held) % len(start)] if len(held) % 9 else 20

    requests = [
        Request(
            np.array(spell(text), dtype=np.int64),
            np.zeros((0, 16, 16, 3), np.uint8),
            GenerationSettings(max_new_tokens=20 + 9 * n, keep_repeating=True, lookup=n * 5),
        )
        for n, text in enumerate(texts)
    ]
    together = Generation(Rule(next_token), requests, ByteDecoder).run()
    alone = [
        Generation(
            Rule(next_token),
            [Request(r.token_ids, r.tiles, GenerationSettings(r.settings.max_new_tokens))],
            ByteDecoder,
        ).run()[0]
        for r in requests
    ]
    assert [a.tokens for a in together] == [a.tokens for a in alone]
    assert [a.timings.right_guesses > 0 for a in together] == [False, True, True]


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


@pytest.mark.parametrize("penalty", [1.0, 0.9])
def test_a_real_network_says_the_same(network: Engine, penalty: float) -> None:
    """With pictures, alone and in company. A penalty below 1 makes the network repeat itself."""
    config, side = network.config, network.config.vision.image_size
    words = np.random.default_rng(0).integers(100, 40_000, 12).tolist()
    tiles = np.random.default_rng(1).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    image = [config.image_token_id] * config.tokens_per_tile

    def requests(lookup: int) -> list[Request]:
        settings = GenerationSettings(
            48, repetition_penalty=penalty, keep_repeating=True, lookup=lookup
        )
        prompts = [
            ([*words, *image, *words, *image, 20], tiles),
            ([*image, *words[:4] * 3], tiles[:1]),
        ]
        return [Request(np.array(ids), shown, settings) for ids, shown in prompts]

    wanted = [Generation(network, [r], Silent).run()[0] for r in requests(0)]
    alone = [Generation(network, [r], Silent).run()[0] for r in requests(8)]
    together = Generation(network, requests(8), Silent).run()
    for seen in (alone, together):
        assert [a.tokens for a in seen] == [a.tokens for a in wanted]
    if penalty < 1.0:
        assert sum(a.timings.right_guesses for a in alone) > 0
