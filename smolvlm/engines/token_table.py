"""What a step feeds into the first layer: token rows, and visual tokens in the places of `<image>`.

The token table is gathered beside the graph, from the memory-mapped file, so that only the rows
that are asked for are ever read. Nothing here knows how the network goes on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.reader import Checkpoint


class TokenTable:
    """The token table of a checkpoint, (V, H), as it is stored."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._image_id = checkpoint.config.image_token_id
        self._packed = checkpoint.packed(EMBEDDING)
        self._raw = checkpoint.raw(EMBEDDING) if self._packed is None else None

    def embed(
        self, ids: NDArray[np.int64], features: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Ids (L,) and features (K, H) for the K `<image>` ids among them -> float32 (L, H).

        ValueError when the rows of `features` and the `<image>` ids disagree.
        """
        assert len(ids) and ids.min() >= 0, "a step needs tokens"
        visual = ids == self._image_id  # (L,)
        wanted, given = int(visual.sum()), 0 if features is None else len(features)
        if wanted != given:
            raise ValueError(
                f"the step has {wanted} <image> tokens but {given} visual tokens were given"
            )
        embeddings = self._rows(ids)
        if features is not None:
            embeddings[visual] = features
        return embeddings

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows (L, H), the caller's to change."""
        if self._packed is not None:
            return self._packed.rows(ids)
        assert self._raw is not None
        rows = self._raw[ids]  # (L, H)
        if rows.dtype == np.uint16:  # the bits of bfloat16: the upper half of a float32
            return (rows.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(rows, dtype=np.float32)
