"""What every engine offers: features of tiles, and steps of conversations.

An engine runs one checkpoint. Each conversation has its own `KVState`; `step` advances several of
them in one call, each at its own position, so that batching, drafting and other devices fit without
touching the callers. Everything that crosses this border is numpy. An engine never sees text and
never chooses a token.

Letters: N tiles, S tile side, T visual tokens per tile, H text width, L new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig

# Keys and values outside an engine: `0.keys`, `0.values`, `1.keys`, ... , float32 (G, L, W) each,
# with G key/value heads of width W and L tokens.
KVArrays = dict[str, NDArray[np.float32]]


class KVState(Protocol):
    """The keys and values of one conversation, held by the engine that made it."""

    @property
    def length(self) -> int:
        """Tokens held so far."""
        ...

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on (a rejected draft, an edited turn)."""
        ...

    def close(self) -> None:
        """Give the memory back; the state may not be used afterwards."""
        ...


@runtime_checkable
class PortableState(KVState, Protocol):
    """A conversation whose keys and values can leave the engine and come back, bit for bit."""

    def export(self, length: int) -> KVArrays:
        """The keys and values of the first `length` tokens."""
        ...

    def restore(self, arrays: KVArrays) -> None:
        """Put exported keys and values into an empty conversation."""
        ...


@dataclass(frozen=True)
class Step:
    """New tokens of one conversation.

    token_ids: int64 (L,), L >= 1, appended at `state.length`.
    features: float32 (K, H), a row for each `<image>` id among token_ids, in order; None if K is 0.
    logits: "last" returns the row after the last token, "all" one row per token.
    """

    state: KVState
    token_ids: NDArray[np.int64]
    features: NDArray[np.float32] | None = None
    logits: Literal["last", "all"] = "last"


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is running on, for `--stats` and `smolvlm doctor`."""

    name: str
    device: str
    precision: str
    library: str
    threads: int


class Engine(Protocol):
    """One checkpoint, ready to run."""

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's config."""
        ...

    def describe(self) -> EngineInfo:
        """Name, device, precision and library version."""
        ...

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles uint8 (N, S, S, 3) -> visual tokens float32 (N, T, H).

        Runs the tower, the pixel shuffle and the projection.
        """
        ...

    def open_state(self) -> KVState:
        """An empty conversation."""
        ...

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Advance each conversation; returns float32 (1, V) or (L, V) for each, in order.

        Raises ValueError when the rows of `features` and the `<image>` ids disagree. A state may
        appear once per call.
        """
        ...
