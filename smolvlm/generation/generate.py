"""The one loop that makes answers, whatever the engine: prefill, choose, stop, step again.

Several sequences run at once, each with its own KV state, sampler, text and stop rules; those that
end leave at once and waiting ones take their place, so a long answer never holds up short ones.
What one of them does is `sequence.py`, what need not be computed again `memory.py` and
`prefixes.py`; pictures and words were made into ids and tiles by `processing/`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, Step
from smolvlm.errors import ContextLengthError
from smolvlm.generation.memory import Ids, Memory, encode, missing_features, position_keys
from smolvlm.generation.prefixes import Prefixes
from smolvlm.generation.sampling import log_softmax
from smolvlm.generation.sequence import Event, NewDecoder, Request, RunningAnswer
from smolvlm.types import Answer, ModelInputs

WIDTH = 8  # sequences advanced together unless the caller says otherwise


class Generation:
    """Answers in the making: iterate for `Event`s, exactly one per token, in the order they come.

    `answers` maps the number of each request to its `Answer` as soon as it has ended. Closing early
    (`close`, Ctrl-C, an error) ends the running ones with the reason "cancelled". Requests are
    taken one by one as places come free.

    prefixes: memories of earlier answers, to take prompts over from and to give them back to. After
    an error nobody knows what a memory holds, and it is closed. Without prefixes every state that
    was opened here is closed, however it ends.

    Raises `ContextLengthError`, when a request's turn comes, if its prompt leaves no room.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Iterable[Request],
        new_decoder: NewDecoder,
        *,
        width: int = WIDTH,
        prefixes: Prefixes | None = None,
    ) -> None:
        self.answers: dict[int, Answer] = {}
        self._engine = engine
        self._waiting = enumerate(requests)
        self._new_decoder = new_decoder
        self._width = width
        self._prefixes = prefixes
        self._active: list[RunningAnswer] = []
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
                logits = self._prefill(fresh) if fresh else self._decode(group)
                for sequence, rows in zip(group, logits, strict=True):
                    for event in sequence.accept(rows):
                        self._retire()
                        yield event
                self._settle()
        except GeneratorExit:  # nobody listens any more: between two steps, so memories are sound
            self._cancel()
            raise
        except BaseException:
            self._prefixes = None
            self._cancel()
            raise

    def _fill(self) -> bool:
        """Let waiting requests take the free places; False when nothing is left to do."""
        while len(self._active) < self._width:
            index, request = next(self._waiting, (0, None))
            if request is None:
                break
            check_room(len(request.token_ids), self._engine.config)
            self._active.append(self._begin(index, request))
        return bool(self._active)

    def _begin(self, index: int, request: Request) -> RunningAnswer:
        config, prefixes = self._engine.config, self._prefixes
        if prefixes is None:  # pictures are digested only where somebody may compare them later
            keys, memory = request.token_ids.tolist(), Memory(self._engine.open_state())
        else:
            keys = position_keys(request.token_ids, request.tiles, config)
            memory = prefixes.lend(keys)
        return RunningAnswer(index, request, config, self._new_decoder, memory=memory, keys=keys)

    def _prefill(self, fresh: Sequence[RunningAnswer]) -> list[NDArray[np.float32]]:
        """Encode the tiles and step the prompts of new sequences; logits (1, V) after each."""
        start = perf_counter()
        features = encode(self._engine, [sequence.missing_tiles() for sequence in fresh])
        seen = perf_counter()
        steps = [sequence.prompt_step(rows) for sequence, rows in zip(fresh, features, strict=True)]
        logits = self._engine.step(steps)
        for sequence in fresh:
            sequence.note_prompt(vision_ms=(seen - start) * 1e3, since=seen)
        return logits

    def _decode(self, group: Sequence[RunningAnswer]) -> list[NDArray[np.float32]]:
        """Step the last token of each sequence and its guesses; logits (1 + guesses, V) after."""
        logits = self._engine.step([sequence.token_step() for sequence in group])
        for sequence in group:
            sequence.note_tokens()
        return logits

    def _retire(self) -> None:
        """Move the sequences that have ended from the active ones to the answers."""
        for sequence in [s for s in self._active if s.reason]:
            self._active.remove(sequence)
            self.answers[sequence.index] = sequence.answer()
            if self._prefixes is None:
                sequence.memory.close()
            else:
                self._prefixes.keep(sequence.memory)

    def _settle(self) -> None:
        """Bring the kept memories in order: not before the last token has been handed out."""
        if self._prefixes is not None:
            self._prefixes.settle()

    def _cancel(self) -> None:
        for sequence in self._active:
            sequence.finish("cancelled")
        self._retire()
        self._settle()


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
