"""The plan `auto`: each part of the language model is tried in 4 bits, the cheap ones stay so.

What a part costs is how far the logits of the answers move when it alone is rounded, in PyTorch.
Everything else has the schemes of the plan `int8`. Which parts are taken for how much loss is
`quant/search.py`'s rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine, Step
from smolvlm.evaluation.agreement import Prompt, Reading
from smolvlm.export.rounding import Rounder
from smolvlm.generation.sampling import log_softmax
from smolvlm.quant.calibrate import Inputs, replaced
from smolvlm.quant.plan import PRESETS
from smolvlm.quant.schemes import GROUPS, INT4, INT8, Floats, Scheme
from smolvlm.quant.search import Cost, affordable, part_of, saved_bytes
from smolvlm.weights.reader import Checkpoint

AUTO = "auto"
# Most nats a token where no limit is given.
LIMIT = 0.005
# Share of the limit that the parts may cost by themselves: together, and on pictures they were not
# rounded by, they cost more.
SPENT = 0.5
# Answers that each part is tried on; every one is a pass through the network for every part.
TRIED = 12


def candidates(checkpoint: Checkpoint) -> dict[str, Scheme]:
    """The schemes of the plan `int8`, but 4 bits for every layer that may get them."""
    shapes = {name: checkpoint.shape(name) for name in checkpoint.names()}
    eight = PRESETS["int8"].resolve(shapes)
    groups = (INT4.group, *GROUPS)
    found = {}
    for name, scheme in eight.items():
        fitting = (s for g in groups if (s := replace(INT4, group=g)).fits(shapes[name]))
        smaller = next(fitting, None) if name.startswith("text_model.layers.") else None
        found[name] = smaller or scheme
    return found


def find_schemes(
    checkpoint: Checkpoint,
    seen: Mapping[str, Inputs],
    prompts: Sequence[Prompt],
    readings: Sequence[Reading],
    *,
    limit: float,
    threads: int | None = None,
) -> dict[str, Scheme]:
    """The scheme of every matrix, for at most about `limit` nats a token.

    seen: the inputs of the layers of `candidates` on the same prompts.
    """
    schemes = candidates(checkpoint)
    costs = _costs(checkpoint, schemes, seen, list(zip(prompts, readings, strict=True)), threads)
    taken = set(affordable(costs, SPENT * limit))
    return {
        name: INT8 if scheme.bits == 4 and part_of(name) not in taken else scheme
        for name, scheme in schemes.items()
    }


def _costs(
    checkpoint: Checkpoint,
    schemes: Mapping[str, Scheme],
    seen: Mapping[str, Inputs],
    pairs: Sequence[tuple[Prompt, Reading]],
    threads: int | None,
) -> dict[str, Cost]:
    """What 4 bits for each part cost by themselves, and save."""
    from smolvlm.engines.torch import TorchEngine

    engine = TorchEngine(checkpoint, ImageRules.from_folder(checkpoint.folder), threads=threads)
    tried = pairs[:: max(len(pairs) // TRIED, 1)][:TRIED]
    wanted = [_log_probs(engine, *pair) for pair in tried]
    costs = {}
    for part, rounded in _rounded(checkpoint, schemes, seen):
        with replaced(engine.model, rounded):
            now = [_log_probs(engine, *pair) for pair in tried]
        saved = sum(saved_bytes(values.shape, schemes[name]) for name, values in rounded.items())
        costs[part] = Cost(_divergence(wanted, now), saved)
    return costs


def _rounded(
    checkpoint: Checkpoint, schemes: Mapping[str, Scheme], seen: Mapping[str, Inputs]
) -> Iterator[tuple[str, dict[str, Floats]]]:
    """Each part, and what its matrices become in 4 bits."""
    parts: dict[str, list[str]] = {}
    for name, scheme in schemes.items():
        if scheme.bits == 4:
            parts.setdefault(part_of(name), []).append(name)
    rounder = Rounder(checkpoint)
    for part, names in parts.items():
        packed = {name: rounder.round(name, schemes[name], seen.get(name)) for name in names}
        yield part, {name: matrix.f32() for name, matrix in packed.items()}


def _log_probs(engine: Engine, prompt: Prompt, reading: Reading) -> NDArray[np.float64]:
    """What is thought before each token of an answer, float64 (n, V)."""
    ids = np.concatenate([prompt.token_ids, reading.tokens[:-1]])  # (L + n - 1,)
    rows = reading.features if len(reading.features) else None
    (logits,) = engine.step([Step(engine.open_state(), ids, rows, logits="all")])
    return log_softmax(logits[len(prompt.token_ids) - 1 :]).astype(np.float64)


def _divergence(
    wanted: Sequence[NDArray[np.float64]], seen: Sequence[NDArray[np.float64]]
) -> float:
    """The mean divergence over all tokens, in nats."""
    total = sum(float((np.exp(p) * (p - q)).sum()) for p, q in zip(wanted, seen, strict=True))
    return total / sum(map(len, wanted))
