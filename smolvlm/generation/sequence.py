"""One request being answered: what is left to read, its next tokens, when it ends, what it took.

Several of them are advanced together by `generate.py`, which alone calls the engine. Which token a
row of logits means is `sampling.py`'s business, what may be printed `stopping.py`'s, what need not
be read again `memory.py`'s; guesses come from `lookup.py`, and `loops.py` sees endless repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Step
from smolvlm.generation.lookup import Lookup
from smolvlm.generation.loops import LoopWatch
from smolvlm.generation.memory import Ids, Memory, Tiles, missing_features, missing_tiles
from smolvlm.generation.sampling import Sampler
from smolvlm.generation.stopping import AnswerText, TokenDecoder
from smolvlm.types import Answer, FinishReason, GenerationSettings, ModelInputs, Timings

NewDecoder = Callable[[], TokenDecoder]


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
    """

    token_ids: Ids
    tiles: Tiles
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    preprocess_ms: float = 0.0

    @classmethod
    def from_inputs(cls, inputs: ModelInputs, sample: int, settings: GenerationSettings) -> Request:
        """The request for one sample of a batch."""
        return cls(inputs.tokens(sample), inputs.sample_tiles(sample), settings)


class RunningAnswer:
    """One request: its memory, sampler, text, stop rules and times.

    keys: those of the prompt's positions (`memory.position_keys`). memory: brought up to date here;
    whoever lent it takes it back when the answer has a `reason`.
    """

    def __init__(
        self,
        index: int,
        request: Request,
        config: ModelConfig,
        new_decoder: NewDecoder,
        *,
        memory: Memory,
        keys: Sequence[int],
    ) -> None:
        self.index = index
        self.memory = memory
        self.tokens: list[int] = []
        self.reason: FinishReason | None = None
        self._request = request
        self._config = config
        self._keys = keys
        settings, prompt = request.settings, request.token_ids
        # An `<image>` id without a picture behind it means nothing to any engine.
        banned = [config.image_token_id]
        self._text = AnswerText(new_decoder(), settings.stop)
        self._sampler = Sampler(
            settings, vocab_size=config.text.vocab_size, prompt_ids=prompt, banned=banned
        )
        self._lookup = (
            Lookup(prompt.tolist(), most=settings.lookup, banned=banned)
            if settings.lookup
            else None
        )
        self._guesses: list[int] = []
        self._loops = None if settings.keep_repeating else LoopWatch(_speller(new_decoder))
        self._held = memory.keep_common(keys)
        self._prefill_start = self._first = self._last = 0.0
        self._timings = Timings(
            preprocess_ms=request.preprocess_ms,
            prompt_tokens=len(prompt),
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
        """The token chosen last, and guesses at what follows it where lookup is on."""
        self._guesses = self._lookup.guess(self._room()) if self._lookup else []
        ids = np.array([self.tokens[-1], *self._guesses], dtype=np.int64)  # (1 + guesses,)
        return Step(self.memory.state, ids, logits="all" if self._guesses else "last")

    def note_tokens(self) -> None:
        """What `token_step` returned has been stepped."""
        self.memory.extend([self.tokens[-1], *self._guesses])

    def accept(self, logits: NDArray[np.float32]) -> Iterator[Event]:
        """Choose a token from each row of logits (1 + guesses, V), until one is not as guessed.

        Every row is one the model would have been asked for anyway: those behind a wrong guess are
        not looked at, and what the engine read of them is forgotten.
        """
        guesses, self._guesses = self._guesses, []
        for place, row in enumerate(logits):
            event = self._choose(row)
            right = [self.tokens[-1]] == guesses[place : place + 1]
            ends = self.reason is not None or not right
            if ends and guesses:
                self._settle(len(guesses), place + right)
            yield event
            if ends:
                return

    def _settle(self, guessed: int, right: int) -> None:
        """Forget wrong guesses, and count them all."""
        assert self._lookup is not None
        self._lookup.judge(guessed, right)
        self.memory.forget(len(self._keys) + len(self.tokens) - 1)
        self._timings = replace(
            self._timings,
            guessed_tokens=self._timings.guessed_tokens + guessed,
            right_guesses=self._timings.right_guesses + right,
        )

    def _choose(self, row: NDArray[np.float32]) -> Event:
        """The next token from logits (V,); the sequence ends here if it is the last."""
        token = self._sampler.choose(row)
        self.tokens.append(token)
        if self._lookup:
            self._lookup.push(token)
        self._last = perf_counter()
        if len(self.tokens) == 1:
            self._first = self._last
        is_eos = token in self._config.eos_token_ids
        piece = "" if is_eos else self._text.push(token)
        reason = self._stop_reason(token)
        if reason:
            piece += self.finish(reason)
        return Event(self.index, piece, token)

    def _stop_reason(self, token: int) -> FinishReason | None:
        if token in self._config.eos_token_ids:
            return "stop"
        if self._text.stopped:
            return "stop_string"
        if len(self.tokens) >= self._request.settings.max_new_tokens:
            return "length"
        window = self._config.text.max_position_embeddings
        if len(self._keys) + len(self.tokens) >= window:
            return "context"
        return "repetition" if self._loops and self._loops.push(token) else None

    def _room(self) -> int:
        """Guesses that could still be of use: neither the length nor the context ends before."""
        left = self._request.settings.max_new_tokens - len(self.tokens)
        window = self._config.text.max_position_embeddings
        return min(left - 1, window - len(self._keys) - len(self.tokens))

    def finish(self, reason: FinishReason) -> str:
        """End for this reason; returns the text that was still held."""
        self.reason = reason
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


def _speller(new_decoder: NewDecoder) -> Callable[[Sequence[int]], str]:
    """The text of some tokens, by a decoder of their own."""

    def spell(tokens: Sequence[int]) -> str:
        decoder = new_decoder()
        return "".join(map(decoder.push, tokens)) + decoder.flush()

    return spell
