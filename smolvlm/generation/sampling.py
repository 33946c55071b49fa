"""Which token comes next: pure functions over the logits of one position, and a sequence's sampler.

The order: banned ids -> repetition penalty -> temperature -> top-k -> top-p -> min-p -> draw.
Temperature 0 stops after the penalty and takes the largest logit. Every filter is a function from
float32 logits (V,) to float32 logits (V,) that puts -inf where a token may not be drawn; the
conventions (penalty by division or multiplication, which ties survive) are those of the published
`transformers` processors, so that settings carry over. When to stop is `stopping.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import EngineError
from smolvlm.types import GenerationSettings

Logits = NDArray[np.float32]


def ban(logits: Logits, ids: NDArray[np.int64]) -> Logits:
    """-inf at `ids`: tokens that mean something in a prompt only, such as `<image>`."""
    banned = logits.copy()
    banned[ids] = -np.inf
    return banned


def repetition_penalty(logits: Logits, seen: NDArray[np.bool_], penalty: float) -> Logits:
    """Where `seen` (V,) is true, positive logits are divided and negative ones multiplied."""
    scaled = np.where(logits > 0, logits / penalty, logits * penalty)
    return np.asarray(np.where(seen, scaled, logits), dtype=np.float32)


def temperature(logits: Logits, value: float) -> Logits:
    """Distances from the largest logit, divided by `value` > 0: below 1 sharpens, above 1 flattens.

    The shift leaves the distribution alone and keeps the smallest temperatures from overflowing.
    """
    with np.errstate(over="ignore"):  # -inf is what a vanishing temperature means
        distances = (logits.astype(np.float64) - logits.max()) / value
        return np.asarray(distances, dtype=np.float32)


def top_k(logits: Logits, k: int) -> Logits:
    """Keep the k largest logits, and every one that equals the k-th; k at or beyond V keeps all."""
    if k >= len(logits):
        return logits
    smallest_kept = np.partition(logits, -k)[-k]
    return np.where(logits >= smallest_kept, logits, -np.inf).astype(np.float32)


def top_p(logits: Logits, p: float) -> Logits:
    """Keep the fewest most likely tokens whose probabilities sum to at least p; never none."""
    order = np.argsort(-logits, kind="stable")
    likely = softmax(logits)[order]
    mass_before = np.cumsum(likely) - likely
    kept = order[mass_before < p]
    return _only(logits, kept if len(kept) else order[:1])


def min_p(logits: Logits, p: float) -> Logits:
    """Keep the tokens at least p times as likely as the likeliest."""
    likely = softmax(logits)
    return np.where(likely >= p * likely.max(), logits, -np.inf).astype(np.float32)


def _only(logits: Logits, kept: NDArray[np.int64]) -> Logits:
    result = np.full_like(logits, -np.inf)
    result[kept] = logits[kept]
    return result


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Probabilities float64 (V,) of logits (V,); -inf becomes exactly 0."""
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(weights / weights.sum())


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities float64 (..., V) of logits (..., V), along the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def greedy(logits: Logits) -> int:
    """The id of the largest logit; the lowest such id when several are equal."""
    return int(np.argmax(logits))


def draw(logits: Logits, rng: np.random.Generator) -> int:
    """One id, drawn by inverting the cumulative distribution at a single uniform number."""
    probabilities = softmax(logits)
    ids = np.flatnonzero(probabilities)
    cumulative = np.cumsum(probabilities[ids])
    return int(ids[np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")])


class Sampler:
    """Chooses the tokens of one sequence, with random numbers of its own.

    Two samplers with equal settings (seed included) and prompts choose equal tokens from equal
    logits, whatever else runs beside them. prompt_ids: int (L,), counted by the repetition penalty
    together with every chosen token. banned: ids never chosen.
    """

    def __init__(
        self,
        settings: GenerationSettings,
        *,
        vocab_size: int,
        prompt_ids: Iterable[int] = (),
        banned: Iterable[int] = (),
    ) -> None:
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._banned = np.array(list(banned), dtype=np.int64)
        self._seen = np.zeros(vocab_size, dtype=np.bool_)
        self._seen[np.array(list(prompt_ids), dtype=np.int64)] = True

    def choose(self, logits: Logits) -> int:
        """The next token for logits float32 (V,); `EngineError` when they are not finite."""
        if not np.isfinite(logits).all():
            raise EngineError(
                "the model computed values that are not finite numbers; try precision f32, "
                "and if it stays so the weights are damaged"
            )
        token = self._pick(self._filter(logits))
        self._seen[token] = True
        return token

    def _filter(self, logits: Logits) -> Logits:
        settings = self._settings
        logits = ban(logits, self._banned)
        if settings.repetition_penalty != 1.0:
            logits = repetition_penalty(logits, self._seen, settings.repetition_penalty)
        if settings.temperature == 0.0:
            return logits
        logits = temperature(logits, settings.temperature)
        if settings.top_k:
            logits = top_k(logits, settings.top_k)
        if settings.top_p < 1.0:
            logits = top_p(logits, settings.top_p)
        if settings.min_p > 0.0:
            logits = min_p(logits, settings.min_p)
        return logits

    def _pick(self, logits: Logits) -> int:
        return greedy(logits) if self._settings.temperature == 0.0 else draw(logits, self._rng)
