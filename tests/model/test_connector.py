"""The pixel shuffle against loops, and the shapes of the connector for every checkpoint."""

from __future__ import annotations

import pytest
import torch

from smolvlm.config import ModelConfig
from smolvlm.model.connector import Connector, pixel_shuffle
from tests import naive
from tests.checkpoints import NAMES, tiny_config


@pytest.mark.parametrize(("side", "factor"), [(32, 4), (27, 3), (6, 2), (5, 1), (4, 4)])
def test_pixel_shuffle_matches_loops(side: int, factor: int) -> None:
    x = torch.randn(2, side * side, 5)
    assert torch.equal(pixel_shuffle(x, factor), naive.pixel_shuffle(x, factor))


@pytest.mark.parametrize(("patches", "factor"), [(15, 3), (16, 3)])
def test_a_grid_that_does_not_divide_is_refused(patches: int, factor: int) -> None:
    with pytest.raises(AssertionError):
        pixel_shuffle(torch.zeros(1, patches, 2), factor)


@pytest.mark.parametrize("name", NAMES)
def test_connector_gives_the_tokens_of_the_checkpoint(name: str) -> None:
    config = ModelConfig.from_json(tiny_config(name))
    connector = Connector(config)
    patches = torch.randn(2, config.vision.num_patches, config.vision.hidden_size)
    shape = (2, config.tokens_per_tile, config.text.hidden_size)
    assert connector(patches).shape == shape
    assert connector.modality_projection.proj.bias is None
