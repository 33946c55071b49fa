"""The shared words: samples of a batch, settings in range, times and rates."""

from __future__ import annotations

import numpy as np
import pytest

from smolvlm.errors import InputError
from smolvlm.types import GenerationSettings, ImagePlan, ModelInputs, Timings


def batch() -> ModelInputs:
    """Two samples, the first padded on the left; one tile and two tiles, told apart by colour."""
    tiles = np.zeros((3, 4, 4, 3), np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None]
    ids = np.array([[0, 0, 5, 6], [7, 8, 0, 9]])
    mask = np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    return ModelInputs(ids, mask, tiles, (1, 2))


def test_a_sample_has_its_own_tokens_and_tiles() -> None:
    inputs = batch()
    assert len(inputs) == 2
    assert [inputs.tokens(i).tolist() for i in range(2)] == [[5, 6], [7, 8, 0, 9]]
    assert [inputs.sample_tiles(i)[:, 0, 0, 0].tolist() for i in range(2)] == [[0], [1, 2]]


@pytest.mark.parametrize("counts", [(1,), (1, 1), (1, 1, 1)])
def test_tiles_that_do_not_add_up_are_our_own_error(counts: tuple[int, ...]) -> None:
    inputs = batch()
    with pytest.raises(AssertionError):
        ModelInputs(inputs.input_ids, inputs.attention_mask, inputs.tiles, counts)


@pytest.mark.parametrize(("rows", "cols", "tiles"), [(0, 0, 1), (1, 2, 3), (4, 4, 17)])
def test_the_global_view_is_a_tile(rows: int, cols: int, tiles: int) -> None:
    assert ImagePlan(8, 8, (), rows, cols, 4).num_tiles == tiles


def test_times_and_rates() -> None:
    timings = Timings(preprocess_ms=1, vision_ms=2, prefill_ms=4, decode_ms=90, new_tokens=10)
    assert (timings.ttft_ms, timings.tpot_ms, timings.tokens_per_s) == (7, 10, 100)


@pytest.mark.parametrize("new_tokens", [0, 1])
def test_a_single_token_has_no_rate(new_tokens: int) -> None:
    timings = Timings(new_tokens=new_tokens)
    assert (timings.tpot_ms, timings.tokens_per_s) == (0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 1.5),
        ("max_new_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.0),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("seed", 0.5),
        ("stop", ("",)),
        ("stop", "END"),
        ("stop", (3,)),
    ],
)
def test_settings_out_of_range_name_themselves(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name} is ") as caught:
        GenerationSettings(**{name: value})
    assert "\n" not in str(caught.value)
