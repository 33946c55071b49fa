"""Losses and gradients of batches against samples alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from smolvlm.config import ImageRules
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.processing.processor import Processor
from smolvlm.training import loss, tower_cache
from smolvlm.training.collate import NO_LOSS, Batch, Item, collate, encode
from smolvlm.training.lora import adapters
from smolvlm.training.loss import sample_sums, token_losses, visual_tokens
from smolvlm.training.parts import prepare, trained_parameters
from smolvlm.training.runs import forget_activations
from smolvlm.training.stages import Adapter, Layout, Part, Precision, Rows, Schedule, Stage
from smolvlm.weights.reader import open_checkpoint
from tests.training.little import mixed_sample

STAGE = Stage(
    connector=Part(1e-3), text=Part(1e-3, Adapter()), rows=Rows(1e-3), precision="f32",
    schedule=Schedule(steps=5),
)  # fmt: skip


@pytest.fixture(scope="module")
def processor(tiny_folder: Path) -> Processor:
    return Processor.from_folder(tiny_folder)


@pytest.fixture(scope="module")
def items(processor: Processor) -> list[Item]:
    return [encode(processor, mixed_sample(seed), max_length=500) for seed in (1, 3, 4, 6)]


@pytest.fixture
def model(tiny_folder: Path) -> SmolVLM:
    made = SmolVLM.from_checkpoint(open_checkpoint(tiny_folder))
    prepare(made, STAGE, [49152, 49189, 49279])
    return made


def alone(model: SmolVLM, processor: Processor, item: Item) -> Tensor:
    """The summed loss of one sample, by the model's own forward pass and nothing of `loss.py`."""
    ids = torch.from_numpy(item.ids)[None]  # (1, L)
    pixels = torch.from_numpy(normalize(item.tiles, processor.rules))  # (n, 3, S, S)
    features = model.encode_tiles(pixels).flatten(0, 1) if len(item.tiles) else None  # (K, H)
    logits = model(ids, features=features)[0]  # (L, V)
    learned = torch.from_numpy(item.learned)
    return F.cross_entropy(logits[:-1][learned[1:]], ids[0, 1:][learned[1:]], reduction="sum")


@pytest.mark.parametrize("layout", ["packed", "right", "left"])
def test_together_samples_lose_what_they_lose_alone(
    model: SmolVLM, processor: Processor, items: list[Item], layout: Layout
) -> None:
    batch = collate(items, layout, pad=2)
    losses = token_losses(model, batch, processor.rules)
    wanted = torch.stack([alone(model, processor, item) for item in items])
    torch.testing.assert_close(sample_sums(losses, batch), wanted.detach(), rtol=1e-5, atol=1e-5)


def test_packed_gradients_are_those_of_samples_alone(
    model: SmolVLM, processor: Processor, items: list[Item]
) -> None:
    trained = trained_parameters(model)
    for name, parameter in trained.items():  # away from the start, where half of them are zero
        if name.endswith("lora_b"):
            parameter.data.normal_(std=0.02)
    total = token_losses(model, collate(items, "packed", pad=2), processor.rules).sum()
    seen = torch.autograd.grad(total, list(trained.values()))
    apart = torch.stack([alone(model, processor, item) for item in items]).sum()
    wanted = torch.autograd.grad(apart, list(trained.values()))
    for name, mine, theirs in zip(trained, seen, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3, msg=name)


def test_pixels_are_those_of_the_processor(
    model: SmolVLM, processor: Processor, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = torch.from_numpy(items[0].tiles).repeat(3, 1, 1, 1)
    pixels = torch.from_numpy(normalize(tiles.numpy(), processor.rules))
    wanted = model.encode_tiles(pixels).flatten(0, 1)
    monkeypatch.setattr(tower_cache, "PIXELS_AT_ONCE", 2 * tiles[0, ..., 0].numel())  # two pieces
    seen = visual_tokens(model, tiles, processor.rules)
    torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-5)


def test_long_batches_make_their_logits_in_pieces(
    model: SmolVLM, processor: Processor, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = collate(items, "packed", pad=2)
    trained = list(trained_parameters(model).values())
    results = []
    for pieces in (loss.LOGITS_AT_ONCE, 5):
        monkeypatch.setattr(loss, "LOGITS_AT_ONCE", pieces)
        losses = token_losses(model, batch, processor.rules)
        results.append((losses, torch.autograd.grad(losses.sum(), trained)))
    torch.testing.assert_close(results[0][0], results[1][0])
    for whole, cut in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-4)


TOWERS = {
    "full": Part(1e-4),
    "upper half": Part(1e-4, frozen=("embeddings", "layers.0.")),
    "DoRA": Part(1e-4, Adapter("dora", rank=4, where=("q_proj", "fc1")), full=("norm",)),
}


def gradients(
    folder: Path, stage: Stage, batch: Batch, rules: ImageRules
) -> tuple[float, dict[str, Tensor]]:
    """The loss and its gradients, as a step of the stage computes them."""
    torch.manual_seed(0)
    made = SmolVLM.from_checkpoint(open_checkpoint(folder))
    prepare(made, stage, [])
    if stage.checkpointing:
        forget_activations(made, stage)
    with torch.autocast("cpu", torch.bfloat16, enabled=stage.precision == "bf16"):
        total = token_losses(made, batch, rules).sum()
    trained = trained_parameters(made)
    return float(total.detach()), dict(
        zip(trained, torch.autograd.grad(total, list(trained.values())), strict=True)
    )


@pytest.mark.parametrize("tower", TOWERS)
def test_a_trained_tower_is_narrow_and_its_gradients_are_not(
    tower: str, tiny_folder: Path, processor: Processor, items: list[Item]
) -> None:
    stage = Stage(vision=TOWERS[tower], connector=Part(1e-3), schedule=Schedule(steps=5))
    batch = collate(items, "packed", pad=2)
    loss_, seen = gradients(tiny_folder, stage, batch, processor.rules)
    exact, wanted = gradients(tiny_folder, replace(stage, precision="f32"), batch, processor.rules)
    assert loss_ == pytest.approx(exact, rel=5e-3)
    assert any(name.startswith("vision_model.") for name in seen)
    assert all(gradient.dtype == torch.float32 for gradient in seen.values())
    length = sum(float(gradient.square().sum()) for gradient in wanted.values()) ** 0.5
    apart = sum(float((seen[name] - wanted[name]).square().sum()) for name in wanted) ** 0.5
    assert apart < 0.05 * length
    for name, gradient in wanted.items():
        if float(gradient.norm()) > 0.02 * length:  # others are little but rounding
            assert F.cosine_similarity(gradient.flatten(), seen[name].flatten(), 0) > 0.98, name


def test_adapters_of_a_narrow_tower_keep_their_own_numbers_wide(
    tiny_folder: Path, processor: Processor, items: list[Item]
) -> None:
    """A length of a row, rounded, would stretch it by up to 0.4 % before anything was learned."""
    made = SmolVLM.from_checkpoint(open_checkpoint(tiny_folder))
    prepare(made, Stage(vision=TOWERS["DoRA"], schedule=Schedule(steps=5)), [])
    seen = []
    for _, adapter in adapters(made):
        adapter.register_forward_pre_hook(
            lambda module, _: seen.append((module.magnitude.dtype, module.base.weight.dtype))
        )
    with torch.autocast("cpu", torch.bfloat16):
        visual_tokens(made, torch.from_numpy(items[0].tiles), processor.rules)
    assert set(seen) == {(torch.float32, torch.bfloat16)}


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("precision", ["bf16", "f32"])
def test_what_is_computed_again_is_computed_with_the_same_weights(
    tower: str, precision: Precision, tiny_folder: Path, processor: Processor, items: list[Item]
) -> None:
    stage = Stage(
        vision=TOWERS[tower], text=Part(1e-4, Adapter()), schedule=Schedule(steps=5),
        precision=precision,
    )  # fmt: skip
    batch = collate(items, "packed", pad=2)
    kept = gradients(tiny_folder, stage, batch, processor.rules)
    again = gradients(tiny_folder, replace(stage, checkpointing=True), batch, processor.rules)
    assert kept[0] == again[0]
    for name, gradient in kept[1].items():
        assert torch.equal(gradient, again[1][name]), name


@pytest.mark.parametrize("layout", ["packed", "right"])
def test_noise_has_the_published_size(model: SmolVLM, items: list[Item], layout: Layout) -> None:
    batch = collate(items, layout, pad=2)
    x = torch.zeros(*batch.ids.shape, 64)
    noisy = loss._with_noise(x, batch, 5.0)
    start = 0
    for row, length in enumerate(batch.lengths):
        own = noisy[0, start : start + length] if layout == "packed" else noisy[row, :length]
        largest = 5.0 / (length * 64) ** 0.5
        assert own.abs().max() <= largest
        assert own.std() == pytest.approx(largest / 3**0.5, rel=0.1)
        start += length


def test_words_alone_need_no_pictures(model: SmolVLM, processor: Processor) -> None:
    item = encode(processor, mixed_sample(3), max_length=500)
    batch = collate([item], "packed", pad=2)
    assert not len(batch.tiles)
    losses = token_losses(model, batch, processor.rules)
    assert len(losses) == int((batch.targets != NO_LOSS).sum())
