"""How far one engine says what another says: the same prompts, token by token.

The reference writes its likeliest tokens; the others read the same tokens one at a time, as they
would write them, and are asked at each what they would have said. So one early difference does not
hide how near the rest is, and where there is none the answers are identical. Times are taken along
the way. Which engines are compared, and what is done about the result, is left to the callers.

Letters: n tokens of an answer, V vocabulary, N tiles, T visual tokens of a tile, H text width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.engines.base import Engine, Step
from smolvlm.generation.memory import Ids, Tiles
from smolvlm.generation.sampling import log_softmax

TOKENS = 64


@dataclass(frozen=True)
class Prompt:
    """Ids int64 (L,) and the tiles uint8 (N, S, S, 3) that its `<image>` ids show."""

    token_ids: Ids
    tiles: Tiles


@dataclass(frozen=True, eq=False)
class Reading:
    """What an engine made of a prompt and an answer. Times are in milliseconds.

    tokens: the answer, int64 (n,); log_probs: what was thought before each, float32 (n, V);
    features: of the tiles, float32 (N * T, H). token_ms: of one token after the first; 0 for n = 1.
    """

    tokens: Ids
    log_probs: NDArray[np.float32]
    features: NDArray[np.float32]
    tile_ms: float
    prefill_ms: float
    token_ms: float


@dataclass(frozen=True)
class Agreement:
    """One engine compared with the reference, over all tokens of all answers.

    logit_kl: mean Kullback-Leibler divergence from the reference's distribution, nats a token.
    token_agreement: share of tokens that it would have written too after the same ones before.
    same_until: share of an answer before the first difference, mean of answers: what two answers
    have in common when each goes its own way. identical: share of answers without one.
    feature_cosine: mean cosine of a visual token with the reference's; None without pictures.
    tile_ms, prefill_ms: medians; tokens_per_s: of decoding, from the median.
    """

    answers: int
    tokens: int
    logit_kl: float
    token_agreement: float
    same_until: float
    identical: float
    feature_cosine: float | None
    tile_ms: float
    prefill_ms: float
    tokens_per_s: float

    def to_json(self) -> dict[str, Any]:
        """The figures with the digits that mean something."""
        return {
            name: round(value, 6 if name in ("logit_kl", "feature_cosine") else 4)
            if isinstance(value, float)
            else value
            for name, value in asdict(self).items()
        }


def read(
    engine: Engine, prompt: Prompt, *, tokens: int = TOKENS, answer: Ids | None = None
) -> Reading:
    """Let an engine answer a prompt with its likeliest tokens, or read a given answer.

    tokens: the most to write; the answer ends with the model's turn.
    """
    start = perf_counter()
    features = engine.encode_tiles(prompt.tiles)  # (N, T, H)
    seen = perf_counter()
    rows = features.reshape(-1, features.shape[-1])  # (N * T, H)
    state = engine.open_state()
    try:
        step = Step(state, prompt.token_ids, rows if len(rows) else None)
        logits = [engine.step([step])[0][-1]]  # (V,) each
        read_at = perf_counter()
        ids = [_next(logits[-1], answer, 0)]
        while not _is_over(ids, engine, tokens if answer is None else len(answer), answer):
            logits.append(engine.step([Step(state, np.array(ids[-1:]))])[0][-1])
            ids.append(_next(logits[-1], answer, len(ids)))
        end = perf_counter()
    finally:
        state.close()
    return Reading(
        np.array(ids, dtype=np.int64),
        log_softmax(np.stack(logits)).astype(np.float32),  # (n, V)
        rows,
        tile_ms=(seen - start) * 1e3 / max(len(prompt.tiles), 1),
        prefill_ms=(read_at - seen) * 1e3,
        token_ms=(end - read_at) * 1e3 / (len(ids) - 1) if len(ids) > 1 else 0.0,
    )


def compare(engine: Engine, prompts: Iterable[Prompt], references: Sequence[Reading]) -> Agreement:
    """One engine over the prompts whose reference readings are given, in their order."""
    pairs = zip(prompts, references, strict=True)
    return summarize(differ(wanted, read(engine, p, answer=wanted.tokens)) for p, wanted in pairs)


@dataclass(frozen=True)
class Difference:
    """One answer as another engine reads it: sums over its tokens, and how long it took.

    until: tokens before the first that it would not have written. cosine: None without pictures.
    """

    tokens: int
    kl: float
    same: int
    until: int
    cosine: float | None
    tile_ms: float
    prefill_ms: float
    token_ms: float


def differ(wanted: Reading, seen: Reading) -> Difference:
    """What tells a reading from the reference's of the same answer."""
    assert np.array_equal(wanted.tokens, seen.tokens), "the readings are of different answers"
    p, q = wanted.log_probs.astype(np.float64), seen.log_probs.astype(np.float64)  # (n, V)
    same = q.argmax(1) == p.argmax(1)  # (n,)
    return Difference(
        tokens=len(same),
        kl=float((np.exp(p) * (p - q)).sum()),
        same=int(same.sum()),
        until=len(same) if same.all() else int(same.argmin()),
        cosine=_cosine(wanted.features, seen.features) if len(wanted.features) else None,
        tile_ms=seen.tile_ms,
        prefill_ms=seen.prefill_ms,
        token_ms=seen.token_ms,
    )


def summarize(differences: Iterable[Difference]) -> Agreement:
    """All answers of one engine together; at least one."""
    told = list(differences)
    tokens = sum(one.tokens for one in told)
    cosines = [one.cosine for one in told if one.cosine is not None]
    token_ms = [one.token_ms for one in told if one.token_ms]
    return Agreement(
        answers=len(told),
        tokens=tokens,
        logit_kl=sum(one.kl for one in told) / tokens,
        token_agreement=sum(one.same for one in told) / tokens,
        same_until=fmean(one.until / one.tokens for one in told),
        identical=fmean(one.until == one.tokens for one in told),
        feature_cosine=fmean(cosines) if cosines else None,
        tile_ms=median(one.tile_ms for one in told),
        prefill_ms=median(one.prefill_ms for one in told),
        tokens_per_s=1e3 / median(token_ms) if token_ms else 0.0,
    )


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)  # (N * T,)
    return float(((a * b).sum(1) / np.maximum(lengths, 1e-12)).mean())


def _next(logits: NDArray[np.float32], answer: Ids | None, place: int) -> int:
    return int(logits.argmax()) if answer is None else int(answer[place])


def _is_over(ids: list[int], engine: Engine, most: int, answer: Ids | None) -> bool:
    ended = answer is None and ids[-1] in engine.config.eos_token_ids
    return ended or len(ids) >= most
