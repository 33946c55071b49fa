"""What a machine does at best: plausible, in every precision it has."""

from __future__ import annotations

import pytest

from smolvlm.engines.openvino_compile import runnable_precisions
from smolvlm.engines.openvino_limits import product_rate, read_rate


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_products(precision: str) -> None:
    """Between a slow program and anything built so far."""
    if precision in runnable_precisions():
        assert 1e8 < product_rate(precision, rows=64, width=128) < 1e16


@pytest.mark.parametrize("threads", [None, 1])
def test_reading(threads: int | None) -> None:
    assert 1e8 < read_rate(block_bytes=2**22, threads=threads) < 1e14
