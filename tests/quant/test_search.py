"""Which parts are taken for a limit: cheap ones first, never more than allowed."""

from __future__ import annotations

import numpy as np
import pytest

from smolvlm.quant.schemes import INT4, INT8, Scheme, quantize
from smolvlm.quant.search import Cost, affordable, part_of, saved_bytes

COSTS = {
    "dear": Cost(0.5, 100),
    "large": Cost(0.3, 1000),
    "small": Cost(0.1, 200),
    "free": Cost(-0.01, 1),
}


@pytest.mark.parametrize(
    ("limit", "taken"),
    [
        (0.0, ["free"]),
        (0.1, ["free", "small"]),  # the large one is cheaper a byte, but does not fit
        (0.3, ["free", "large"]),
        (0.45, ["free", "large", "small"]),
        (9.0, ["free", "large", "small", "dear"]),
    ],
)
def test_the_cheapest_for_a_byte_come_first(limit: float, taken: list[str]) -> None:
    assert affordable(COSTS, limit) == taken


def test_saved_bytes_are_those_of_the_stored_matrices() -> None:
    values = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    rows = 2 * len(values)  # the scales of whole rows, which are left out
    for scheme in (INT4, Scheme(4, 32, symmetric=False)):
        saved = quantize(values, INT8).nbytes - rows - quantize(values, scheme).nbytes
        assert saved_bytes(values.shape, scheme) == saved


def test_parts_are_attention_and_mlp_of_a_layer() -> None:
    at = "text_model.layers.3"
    assert part_of(f"{at}.mlp.up_proj.weight") == f"{at}.mlp"
    assert part_of(f"{at}.self_attn.q_proj.weight") == f"{at}.self_attn"
