"""Packed rows against the same samples one at a time."""

from __future__ import annotations

import pytest
import torch

from smolvlm.model.segments import Segments
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny

LENGTHS = (3, 1, 7, 5)


def test_spread_and_gather_are_inverse_and_pad_with_zeros() -> None:
    segments = Segments.of(LENGTHS)
    x = torch.randn(1, 2, sum(LENGTHS), 4)
    spread = segments.spread(x)  # (S, A, M, W)
    assert spread.shape == (4, 2, 7, 4)
    assert not spread[0, :, 3:].any() and not spread[1, :, 1:].any()
    joined = segments.gather(spread.transpose(1, 2).flatten(2))  # (1, L, A*W)
    assert torch.equal(joined, x.transpose(1, 2).flatten(2))
    assert segments.positions.tolist() == [*range(3), 0, *range(7), *range(5)]


def test_the_gradient_of_gathering_is_right() -> None:
    segments = Segments.of(LENGTHS)
    x = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(segments.gather, (x,))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SmolVLM:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path_factory.mktemp("tiny"))
    return SmolVLM.from_checkpoint(open_checkpoint(folder))


def test_a_packed_sample_is_what_it_is_alone(model: SmolVLM) -> None:
    ids = [torch.randint(17, 40000, (1, n)) for n in LENGTHS]
    alone = torch.cat([model.text_model(model.embed(i)) for i in ids], dim=1)  # (1, L, H)
    row = model.embed(torch.cat(ids, dim=1))  # (1, L, H)
    packed = model.text_model(row, segments=Segments.of(LENGTHS))
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_weights_as_from_samples_alone(model: SmolVLM) -> None:
    model.requires_grad_(True)
    weight = model.text_model.layers[0].self_attn.q_proj.weight
    ids = [torch.randint(17, 40000, (1, n)) for n in LENGTHS]
    for sample in ids:
        model.text_model(model.embed(sample)).square().sum().backward()
    wanted, weight.grad = weight.grad, None
    row = model.embed(torch.cat(ids, dim=1))
    model.text_model(row, segments=Segments.of(LENGTHS)).square().sum().backward()
    torch.testing.assert_close(weight.grad, wanted, rtol=1e-4, atol=1e-4)
    model.requires_grad_(False).zero_grad()
