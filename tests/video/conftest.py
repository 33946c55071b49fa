"""What the tests of answers over time share."""

from __future__ import annotations

from pathlib import Path

import pytest

from smolvlm.processing.processor import Processor
from tests.video.stand_in import StandIn


@pytest.fixture(scope="session")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    """That of SmolVLM2-256M: 64 frames of 512 pixels, 64 visual tokens each."""
    return Processor.from_folder(tokenizer_gen2_folder)


@pytest.fixture
def assistant(processor: Processor) -> StandIn:
    return StandIn(processor)
