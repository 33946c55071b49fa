"""The one loop that makes answers, whatever the engine: prefill, choose, stop, step again.

Several sequences run at once, each with its own KV state, sampler, text and stop rules; those that
end leave at once and waiting ones take their place, so a long answer never holds up short ones.
How a token is chosen is `sampling.py`, what may be printed `stopping.py`, what need not be computed
again `memory.py`; pictures and words were made into ids and tiles by `processing/`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, Step
from smolvlm.errors import ContextLengthError
from smolvlm.generation.memory import (
    Ids,
    Memory,
    Tiles,
    encode,
    missing_features,
    missing_tiles,
    position_keys,
)
from smolvlm.generation.sampling import Sampler, log_softmax
from smolvlm.generation.stopping import AnswerText, TokenDecoder
from smolvlm.types import Answer, FinishReason, GenerationSettings, ModelInputs, Timings

WIDTH = 8  # sequences advanced together unless the caller says otherwise


@dataclass(frozen=True, slots=True)
class Event:
    """One new token: which sequence, the text that became certain with it (may be ""), its id."""

    index: int
    text: str
    token_id: int


@dataclass(frozen=True)
class Request:
    """One sequence to continue.

    token_ids: int64 (L,) without padding; tiles: uint8 (n, S, S, 3), those its `<image>` ids show.
    memory: what the engine still holds of an earlier turn. It is brought up to date and stays open;
    without one, a state is opened and closed again.
    """

    token_ids: Ids
    tiles: Tiles
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    preprocess_ms: float = 0.0
    memory: Memory | None = None

    @classmethod
    def from_inputs(cls, inputs: ModelInputs, sample: int, settings: GenerationSettings) -> Request:
        """The request for one sample of a batch."""
        return cls(inputs.tokens(sample), inputs.sample_tiles(sample), settings)


class Generation:
    """Answers in the making: iterate for `Event`s, exactly one per token, in the order they come.

    `answers` maps the number of each request to its `Answer` as soon as it has ended. Closing early
    (`close`, Ctrl-C, an error) ends the running ones with the reason "cancelled". However it ends,
    every state that was opened here is closed. Requests are taken one by one as places come free.

    Raises `ContextLengthError`, when a request's turn comes, if its prompt leaves no room.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Iterable[Request],
        new_decoder: Callable[[], TokenDecoder],
        *,
        width: int = WIDTH,
    ) -> None:
        self.answers: dict[int, Answer] = {}
        self._engine = engine
        self._waiting = enumerate(requests)
        self._new_decoder = new_decoder
        self._width = width
        self._active: list[_Sequence] = []
        self._events = self._run()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def run(self) -> list[Answer]:
        """Work to the end; the answers in the order of the requests."""
        for _ in self._events:
            pass
        return [self.answers[index] for index in sorted(self.answers)]

    def close(self) -> None:
        """Stop now; what was running ends as "cancelled"."""
        self._events.close()

    def _run(self) -> Generator[Event, None, None]:
        try:
            while self._fill():
                fresh = [sequence for sequence in self._active if not sequence.tokens]
                group = fresh or list(self._active)
                rows = self._prefill(fresh) if fresh else self._decode(group)
                events = [sequence.accept(row) for sequence, row in zip(group, rows, strict=True)]
                self._retire()
                yield from events
        finally:
            for sequence in self._active:
                sequence.finish("cancelled")
            self._retire()

    def _fill(self) -> bool:
        """Let waiting requests take the free places; False when nothing is left to do."""
        while len(self._active) < self._width:
            index, request = next(self._waiting, (0, None))
            if request is None:
                break
            check_room(len(request.token_ids), self._engine.config)
            self._active.append(_Sequence(index, request, self._engine, self._new_decoder()))
        return bool(self._active)

    def _prefill(self, fresh: Sequence[_Sequence]) -> list[NDArray[np.float32]]:
        """Encode the tiles and step the prompts of new sequences; logits (V,) after each."""
        start = perf_counter()
        features = encode(self._engine, [sequence.missing_tiles() for sequence in fresh])
        seen = perf_counter()
        steps = [sequence.prompt_step(rows) for sequence, rows in zip(fresh, features, strict=True)]
        rows = [logits[-1] for logits in self._engine.step(steps)]  # each (1, V) -> (V,)
        for sequence in fresh:
            sequence.note_prompt(vision_ms=(seen - start) * 1e3, since=seen)
        return rows

    def _decode(self, group: Sequence[_Sequence]) -> list[NDArray[np.float32]]:
        """Step the last token of each sequence; logits (V,) after it."""
        rows = self._engine.step([sequence.token_step() for sequence in group])
        for sequence in group:
            sequence.memory.extend(sequence.tokens[-1:])
        return [logits[-1] for logits in rows]  # each (1, V) -> (V,)

    def _retire(self) -> None:
        """Move the sequences that have ended from the active ones to the answers."""
        for sequence in [s for s in self._active if s.reason]:
            self._active.remove(sequence)
            self.answers[sequence.index] = sequence.answer()


class _Sequence:
    """One request being answered: its state, sampler, text, stop rules and times."""

    def __init__(self, index: int, request: Request, engine: Engine, decoder: TokenDecoder) -> None:
        self.index = index
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self._request = request
        self._config = config = engine.config
        # Pictures are digested only where somebody may compare them later.
        self._keys = (
            position_keys(request.token_ids, request.tiles, config)
            if request.memory
            else request.token_ids.tolist()
        )
        self._text = AnswerText(decoder, request.settings.stop)
        self._sampler = Sampler(
            request.settings,
            vocab_size=config.text.vocab_size,
            prompt_ids=request.token_ids,
            # An `<image>` id without a picture behind it means nothing to any engine.
            banned=[config.image_token_id],
        )
        self.memory = request.memory or Memory(engine.open_state())
        self._held = self.memory.keep_common(self._keys)
        self._prefill_start = self._first = self._last = 0.0
        self._timings = Timings(
            preprocess_ms=request.preprocess_ms,
            prompt_tokens=len(request.token_ids),
            visual_tokens=len(request.tiles) * config.tokens_per_tile,
            reused_tokens=self._held,
        )

    def missing_tiles(self) -> Tiles:
        """The tiles that are not in memory yet: uint8 (m, S, S, 3)."""
        return missing_tiles(self._request.token_ids, self._request.tiles, self._held, self._config)

    def prompt_step(self, features: NDArray[np.float32]) -> Step:
        """The part of the prompt that is not in memory yet; features float32 (m, T, H)."""
        ids = self._request.token_ids
        rows = missing_features(features, ids, self._held, self._config)
        return Step(self.memory.state, ids[self._held :], rows)

    def note_prompt(self, *, vision_ms: float, since: float) -> None:
        """The prompt has been stepped; its prefill began at clock time `since` (seconds)."""
        self.memory.extend(self._keys[self._held :])
        self._timings = replace(self._timings, vision_ms=vision_ms)
        self._prefill_start = since

    def token_step(self) -> Step:
        """The token chosen last."""
        return Step(self.memory.state, np.array(self.tokens[-1:], dtype=np.int64))  # (1,)

    def accept(self, logits: NDArray[np.float32]) -> Event:
        """Choose the next token from logits (V,), and end the sequence if it is the last."""
        token = self._sampler.choose(logits)
        self.tokens.append(token)
        self._last = perf_counter()
        if len(self.tokens) == 1:
            self._first = self._last
        is_eos = token in self._config.eos_token_ids
        piece = "" if is_eos else self._text.push(token)
        reason = self._stop_reason(is_eos)
        if reason:
            piece += self.finish(reason)
        return Event(self.index, piece, token)

    def _stop_reason(self, is_eos: bool) -> FinishReason | None:
        if is_eos:
            return "stop"
        if self._text.stopped:
            return "stop_string"
        if len(self.tokens) >= self._request.settings.max_new_tokens:
            return "length"
        window = self._config.text.max_position_embeddings
        return "context" if len(self._keys) + len(self.tokens) >= window else None

    def finish(self, reason: FinishReason) -> str:
        """End for this reason and give the state back; returns the text that was still held."""
        self.reason = reason
        if self._request.memory is None:
            self.memory.close()
        return "" if reason == "stop_string" else self._text.finish()

    def answer(self) -> Answer:
        """The finished answer."""
        assert self.reason is not None
        timings = replace(
            self._timings,
            prefill_ms=(self._first - self._prefill_start) * 1e3 if self.tokens else 0.0,
            decode_ms=(self._last - self._first) * 1e3,
            new_tokens=len(self.tokens),
        )
        return Answer(self._text.text, tuple(self.tokens), self.reason, timings)


def check_room(prompt_tokens: int, config: ModelConfig) -> None:
    """`ContextLengthError` unless the prompt and one new token fit the model's context."""
    window = config.text.max_position_embeddings
    if prompt_tokens >= window:
        raise ContextLengthError(
            f"the prompt is {prompt_tokens} tokens long and the model's context holds {window}, "
            "the answer included; use fewer or smaller pictures, or fewer words"
        )


def score(
    engine: Engine, inputs: ModelInputs, continuation: Sequence[int] | Ids, *, sample: int = 0
) -> NDArray[np.float32]:
    """How likely the model finds a given answer to one sample of a batch.

    Returns the natural log-probability of each continuation token after the prompt and the tokens
    before it, at temperature 1 and unfiltered: float32 (n,). The prompt is stepped first, then the
    continuation at once. Raises `ContextLengthError` when both together do not fit.
    """
    [scores] = score_all(engine, inputs, [continuation], sample=sample)
    return scores


def score_all(
    engine: Engine,
    inputs: ModelInputs,
    continuations: Sequence[Sequence[int] | Ids],
    *,
    sample: int = 0,
) -> list[NDArray[np.float32]]:
    """The same for several answers to one prompt, which is encoded and stepped only once."""
    prompt, config = inputs.tokens(sample), engine.config
    wanted = [np.asarray(continuation, dtype=np.int64) for continuation in continuations]  # (n,)
    for ids in wanted:
        assert len(ids) and config.image_token_id not in (*ids, prompt[-1]), ids
    check_room(len(prompt) + max(map(len, wanted)) - 1, config)
    memory = Memory(engine.open_state())
    try:
        [features] = encode(engine, [inputs.sample_tiles(sample)])
        if len(prompt) > 1:
            rows = missing_features(features, prompt, 0, config)
            engine.step([Step(memory.state, prompt[:-1], rows)])
        return [_score_tail(engine, memory, prompt, ids) for ids in wanted]
    finally:
        memory.close()


def _score_tail(engine: Engine, memory: Memory, prompt: Ids, wanted: Ids) -> NDArray[np.float32]:
    """Step one answer after a prompt that is held but for its last token: float32 (n,)."""
    memory.state.truncate(len(prompt) - 1)  # the answer before this one
    tail = np.concatenate([prompt[-1:], wanted[:-1]])  # (n,)
    [logits] = engine.step([Step(memory.state, tail, logits="all")])  # (n, V)
    chosen = log_softmax(logits)[np.arange(len(wanted)), wanted]  # (n,)
    return chosen.astype(np.float32)
