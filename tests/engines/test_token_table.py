"""What is fed into the first layer: rows of every stored type, visual tokens in their places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smolvlm.engines.token_table import TokenTable
from smolvlm.weights.names import EMBEDDING
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests.checkpoints import make_tiny


@pytest.fixture(params=["SmolVLM-256M-Instruct", "SmolVLM2-256M-Video-Instruct"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    """Stored in bfloat16, and in float32."""
    return open_checkpoint(make_tiny(request.param, tmp_path))


def test_rows_are_those_of_the_table(checkpoint: Checkpoint) -> None:
    ids = np.array([20, 7, 20])
    seen = TokenTable(checkpoint).embed(ids, None)
    assert seen.dtype == np.float32 and seen.flags.writeable
    np.testing.assert_array_equal(seen, checkpoint.f32(EMBEDDING)[ids])


def test_visual_tokens_take_the_places_of_image_ids(checkpoint: Checkpoint) -> None:
    image, width = checkpoint.config.image_token_id, checkpoint.config.text.hidden_size
    features = np.arange(2 * width, dtype=np.float32).reshape(2, width)
    seen = TokenTable(checkpoint).embed(np.array([20, image, 21, image]), features)
    np.testing.assert_array_equal(seen[[1, 3]], features)
    np.testing.assert_array_equal(seen[[0, 2]], checkpoint.f32(EMBEDDING)[[20, 21]])


def test_counts_that_disagree(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="1 <image> tokens but 0 visual tokens"):
        TokenTable(checkpoint).embed(np.array([checkpoint.config.image_token_id]), None)
