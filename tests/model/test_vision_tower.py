"""The tower's own rules: positions in partly filled tiles, masks, pixels that are never seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smolvlm.config import ModelConfig, VisionConfig
from smolvlm.model.vision import VisionTower, position_ids, to_patch_mask
from tests import naive
from tests.checkpoints import tiny_config

NAMES = ("SmolVLM2-256M-Video-Instruct", "SmolVLM-Instruct")


def corner(grid: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(grid, grid, dtype=torch.bool)
    mask[:height, :width] = True
    return mask


def vision_config(name: str) -> VisionConfig:
    return ModelConfig.from_json(tiny_config(name)).vision


@pytest.mark.parametrize("grid", [27, 32])
def test_positions_are_the_published_buckets_for_every_size(grid: int) -> None:
    masks = [corner(grid, k, grid + 1 - k) for k in range(1, grid + 1)]
    seen = position_ids(torch.stack(masks), grid)
    for row, mask in zip(seen, masks, strict=True):
        assert torch.equal(row, naive.position_ids(mask))


@pytest.mark.parametrize("grid", [27, 32])
def test_a_full_tile_has_the_positions_in_order(grid: int) -> None:
    full = corner(grid, grid, grid)[None]
    assert torch.equal(position_ids(full, grid)[0], torch.arange(grid * grid))


def test_an_empty_tile_takes_position_zero() -> None:
    assert not position_ids(corner(4, 0, 0)[None], 4).any()


def test_a_patch_with_any_picture_counts_and_the_border_does_not() -> None:
    pixels = torch.zeros(1, 13, 13, dtype=torch.int64)  # 3 patches of 4, and one pixel over
    pixels[0, 5, 0] = 1  # patch (1, 0)
    pixels[0, 12, 12] = 1  # beyond the last whole patch
    wanted = torch.zeros(1, 3, 3, dtype=torch.bool)
    wanted[0, 1, 0] = True
    assert torch.equal(to_patch_mask(pixels, 4), wanted)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_full_mask_is_no_mask(name: str) -> None:
    config = vision_config(name)
    tower = VisionTower(config).eval()
    pixels = torch.rand(1, 3, config.image_size, config.image_size)
    full = torch.ones(1, config.grid, config.grid, dtype=torch.bool)
    torch.testing.assert_close(tower(pixels, full), tower(pixels), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_hidden_patches_do_not_reach_the_others() -> None:
    config = vision_config(NAMES[0])
    tower = VisionTower(config).eval()
    pixels = torch.rand(1, 3, config.image_size, config.image_size)
    mask = corner(config.grid, 9, 20)
    changed = pixels.clone()
    changed[..., 20 * config.patch_size :] += 1.0
    seen = [tower(x, mask[None])[0, mask.flatten()] for x in (pixels, changed)]
    assert torch.equal(*seen)


@torch.no_grad()
def test_pixels_beyond_the_last_patch_are_never_seen() -> None:
    config = vision_config("SmolVLM-Instruct")
    seen = config.grid * config.patch_size
    assert seen == 378 and config.image_size == 384
    tower = VisionTower(config).eval()
    pixels = torch.rand(1, 3, 384, 384)
    changed = pixels.clone()
    changed[:, :, seen:] += 1.0
    changed[:, :, :, seen:] += 1.0
    assert torch.equal(tower(pixels), tower(changed))
