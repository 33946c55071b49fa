"""What must hold for every engine, whatever it runs on: stated once, called by each engine's tests.

No reference is needed: each statement compares an engine with itself. Their failures are those that
a user meets as nonsense in long answers, in the second turn, or only on a busy server.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from smolvlm.engines.base import Engine, KVState, PortableState, Step

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Prompt:
    """Ids int64 (L,) and the rows float32 (K, H) for their `<image>` tokens."""

    ids: NDArray[np.int64]
    features: Floats | None = None

    def step(self, state: KVState) -> Step:
        """All of it, with a row of logits for every token."""
        return Step(state, self.ids, self.features, logits="all")


def greedy(engine: Engine, prompt: Prompt, tokens: int) -> list[int]:
    """The likeliest tokens after a prompt, step by step."""
    state = engine.open_state()
    (row,) = engine.step([Step(state, prompt.ids, prompt.features)])
    written = [int(row[-1].argmax())]
    while len(written) < tokens:
        (row,) = engine.step([Step(state, np.array(written[-1:]))])
        written.append(int(row[-1].argmax()))
    return written


def random_prompt(engine: Engine, *, tiles: int, seed: int) -> Prompt:
    """Random words, then every tile's visual tokens between words; tiles of random pixels."""
    config, rng = engine.config, np.random.default_rng(seed)

    def words() -> list[int]:
        return [int(i) for i in rng.integers(17, config.image_token_id, size=rng.integers(3, 9))]

    ids = words()
    for _ in range(tiles):
        ids += [config.image_token_id] * config.tokens_per_tile + words()
    if not tiles:
        return Prompt(np.array(ids))
    side = config.vision.image_size
    pixels = rng.integers(0, 256, size=(tiles, side, side, 3), dtype=np.uint8)
    features = engine.encode_tiles(pixels)  # (n, T, H)
    return Prompt(np.array(ids), features.reshape(-1, features.shape[-1]))  # (n*T, H)


def relative_error(seen: Floats, wanted: Floats) -> float:
    """Largest difference over the largest value."""
    assert seen.shape == wanted.shape, (seen.shape, wanted.shape)
    return float(np.abs(seen - wanted).max() / np.abs(wanted).max())


def cached_equals_full(engine: Engine, prompt: Prompt, *, tolerance: float) -> None:
    """Read in pieces, a prompt gives what it gives read at once.

    A cache that shifts a position, forgets a row or masks a wrong one shows here. The pieces are
    uneven, one token among them, and a cut falls inside the visual tokens.
    """
    (full,) = engine.step([prompt.step(engine.open_state())])  # (L, V)
    length = len(prompt.ids)
    cuts = sorted({0, 1, length // 3, length // 3 + 1, length - 2, length})
    state, rows = engine.open_state(), []
    for start, stop in pairwise(cuts):
        rows += engine.step([_piece(engine, prompt, state, start, stop)])
        assert state.length == stop
    assert relative_error(np.concatenate(rows), full) <= tolerance


def scores_own_output(engine: Engine, prompt: Prompt, *, tokens: int, tolerance: float) -> None:
    """What an engine wrote greedily is what it finds likeliest when it reads the whole text.

    Decoding and prefill are different code in every engine; here they must agree on every token.
    """
    state = engine.open_state()
    (row,) = engine.step([Step(state, prompt.ids, prompt.features)])  # (1, V)
    written, rows = [], [row]
    for _ in range(tokens):
        written.append(int(rows[-1][-1].argmax()))
        rows += engine.step([Step(state, np.array(written[-1:]))])
    whole = Prompt(np.concatenate((prompt.ids, written)), prompt.features)
    (scored,) = engine.step([whole.step(engine.open_state())])  # (L + tokens, V)
    scored = scored[len(prompt.ids) - 1 :]  # (tokens + 1, V)
    assert scored[:-1].argmax(-1).tolist() == written
    assert relative_error(np.concatenate(rows), scored) <= tolerance


def batch_equals_one_by_one(engine: Engine, prompts: list[Prompt], *, tolerance: float) -> None:
    """Conversations at different places, stepped together, do not notice each other.

    Different lengths, with and without pictures, prompts and single tokens in the same call; what
    one conversation says may depend on no other, or a busy server answers differently from an idle
    one.
    """
    assert len({len(prompt.ids) for prompt in prompts}) > 1
    together = [engine.open_state() for _ in prompts]
    alone = [engine.open_state() for _ in prompts]
    first = engine.step([p.step(s) for p, s in zip(prompts, together, strict=True)])
    for prompt, state, seen in zip(prompts, alone, first, strict=True):
        (wanted,) = engine.step([prompt.step(state)])
        assert relative_error(seen, wanted) <= tolerance
    # One token each for all, then one conversation reads three while the others read one.
    for lengths in ([1] * len(prompts), [1] * len(prompts), [3] + [1] * (len(prompts) - 1)):
        ids = [np.arange(n) + 20 + i for i, n in enumerate(lengths)]
        seen_rows = engine.step([Step(s, t) for s, t in zip(together, ids, strict=True)])
        for state, token_ids, seen in zip(alone, ids, seen_rows, strict=True):
            (wanted,) = engine.step([Step(state, token_ids)])
            assert relative_error(seen, wanted) <= tolerance
    assert [s.length for s in together] == [s.length for s in alone]


def truncated_equals_never_read(engine: Engine, prompt: Prompt, *, tolerance: float) -> None:
    """After `truncate` a conversation goes on as if the forgotten tokens had never been there.

    Rejected drafts and edited turns rest on this.
    """
    straight, edited = engine.open_state(), engine.open_state()
    for state in (straight, edited):
        engine.step([Step(state, prompt.ids, prompt.features)])
    engine.step([Step(edited, np.arange(30, 37))])
    edited.truncate(len(prompt.ids))
    assert edited.length == straight.length == len(prompt.ids)
    ids = np.arange(40, 43)
    seen, wanted = engine.step([Step(edited, ids)]) + engine.step([Step(straight, ids)])
    assert relative_error(seen, wanted) <= tolerance


def exported_equals_read(engine: Engine, prompt: Prompt, *, tolerance: float) -> None:
    """Keys and values that left the engine and came back say what those say that stayed.

    They come back bit for bit, also those of a part, and after a truncation that only hid the rest.
    """
    state, copy = engine.open_state(), engine.open_state()
    assert isinstance(state, PortableState) and isinstance(copy, PortableState)
    engine.step([Step(state, prompt.ids, prompt.features)])
    engine.step([Step(state, np.arange(30, 37))])
    state.truncate(len(prompt.ids) + 2)
    for length in (len(prompt.ids) - 3, len(prompt.ids) + 2):
        arrays = state.export(length)
        part = engine.open_state()
        assert isinstance(part, PortableState)
        part.restore(arrays)
        assert part.length == length
        again = part.export(length)
        assert again.keys() == arrays.keys()
        for name, array in arrays.items():
            assert array.dtype == np.float32 and array.shape[1] == length
            np.testing.assert_array_equal(again[name], array)
    copy.restore(arrays)
    ids = np.arange(40, 43)
    seen, wanted = engine.step([Step(copy, ids)]) + engine.step([Step(state, ids)])
    assert relative_error(seen, wanted) <= tolerance


def refuses_wrong_feature_counts(engine: Engine, prompt: Prompt) -> None:
    """A wrong number of visual tokens is refused, with both numbers, and nothing was read."""
    assert prompt.features is not None
    state = engine.open_state()
    wanted = len(prompt.features)
    more = np.concatenate((prompt.features, prompt.features[:1]))
    for features in (prompt.features[:-1], more, None):
        given = 0 if features is None else len(features)
        with pytest.raises(ValueError, match=rf"\b{wanted}\b.*\b{given}\b"):
            engine.step([Step(state, prompt.ids, features)])
        assert state.length == 0


def _piece(engine: Engine, prompt: Prompt, state: KVState, start: int, stop: int) -> Step:
    """Tokens start..stop of a prompt with the rows that belong to them."""
    ids = prompt.ids[start:stop]
    if prompt.features is None:
        return Step(state, ids, logits="all")
    visual = prompt.ids == engine.config.image_token_id
    before, inside = int(visual[:start].sum()), int(visual[start:stop].sum())
    features = prompt.features[before : before + inside] if inside else None
    return Step(state, ids, features, logits="all")
