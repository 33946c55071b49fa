"""Which of several given answers a model finds likeliest, read only as far as it takes to know.

The log-probability of an answer's beginning bounds that of the whole answer from above. So the
answer with the best bound is read next, and the search ends when the best bound belongs to an
answer that has been read to its end: no other can be better. Among twenty names two or three are
read; `generate.score_all` reads all, and tells how likely each one is.

Letters: L prompt tokens, n answer tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolvlm.engines.base import Engine, Step
from smolvlm.generation.generate import check_room
from smolvlm.generation.memory import Ids, Memory, encode, missing_features
from smolvlm.generation.sampling import log_softmax
from smolvlm.types import ModelInputs


@dataclass
class _Candidate:
    """An answer int64 (n,), how many of its tokens are scored, and the sum of their scores."""

    ids: Ids
    scored: int = 0
    bound: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.scored == len(self.ids)

    def add(self, row: NDArray[np.float32]) -> None:
        """Score the next token by the log-probabilities (V,) after those before it."""
        self.bound += float(row[self.ids[self.scored]])
        self.scored += 1


def likeliest(
    engine: Engine,
    inputs: ModelInputs,
    answers: Sequence[Sequence[int] | Ids],
    *,
    sample: int = 0,
) -> tuple[int, list[float]]:
    """The number of the likeliest answer to a prompt (the first of equals), and a bound for each.

    The likeliest one's bound is its natural log-probability; no other answer's log-probability is
    above its own bound. Raises `ContextLengthError` when prompt and longest answer do not fit.
    """
    prompt, config = inputs.tokens(sample), engine.config
    candidates = [_Candidate(np.asarray(ids, dtype=np.int64)) for ids in answers]
    for candidate in candidates:
        assert len(candidate.ids) and config.image_token_id not in candidate.ids, candidate.ids
    check_room(len(prompt) + max(len(c.ids) for c in candidates) - 1, config)
    memory = Memory(engine.open_state())
    try:
        [features] = encode(engine, [inputs.sample_tiles(sample)])
        rows = missing_features(features, prompt, 0, config)
        [logits] = engine.step([Step(memory.state, prompt, rows)])  # (1, V)
        first = log_softmax(logits)[0]
        for candidate in candidates:
            candidate.add(first)
        best = _search(engine, memory, len(prompt), candidates)
    finally:
        memory.close()
    return best, [candidate.bound for candidate in candidates]


def _search(engine: Engine, memory: Memory, length: int, candidates: Sequence[_Candidate]) -> int:
    """Read the answer with the best bound until it is one that is read already."""
    held: list[int] = []  # answer tokens behind the prompt of `length` tokens
    while True:
        best = max(range(len(candidates)), key=lambda i: _rank(candidates[i], i))
        if candidates[best].is_whole:
            return best
        held = _read(engine, memory, length, held, candidates[best], candidates)


def _rank(candidate: _Candidate, number: int) -> tuple[float, bool, int]:
    """By bound; of equals one that is not read to its end, then the first."""
    return candidate.bound, not candidate.is_whole, -number


def _read(
    engine: Engine,
    memory: Memory,
    length: int,
    held: Sequence[int],
    chosen: _Candidate,
    candidates: Sequence[_Candidate],
) -> list[int]:
    """Step one answer to its end, and score what others have in common with it; what is held."""
    wanted: list[int] = chosen.ids[:-1].tolist()  # the last token is scored, never stepped
    common = min(_common(held, wanted), chosen.scored - 1)
    memory.state.truncate(length + common)
    tail = np.array(wanted[common:], dtype=np.int64)
    [logits] = engine.step([Step(memory.state, tail, logits="all")])  # (len(tail), V)
    for row, scores in enumerate(log_softmax(logits), start=common + 1):
        for candidate in candidates:  # those that begin with the same `row` tokens
            if (
                candidate.scored == row
                and not candidate.is_whole
                and np.array_equal(candidate.ids[:row], chosen.ids[:row])
            ):
                candidate.add(scores)
    return wanted


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two beginnings share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
