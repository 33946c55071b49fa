"""Tiles and values against observed hashes and the published PIL processor, bit for bit."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from smolvlm.config import ImageRules
from smolvlm.processing.pixels import cut_tiles, normalization_table, normalize
from smolvlm.processing.split import BudgetPolicy, ReferencePolicy, plan_split

NAMES = {512: "SmolVLM-256M-Instruct", 384: "SmolVLM-Instruct"}


def published(golden, tile: int) -> tuple[ImageRules, Idefics3ImageProcessorPil]:
    data = json.loads((golden / f"checkpoints/{NAMES[tile]}.preprocessor_config.json").read_text())
    return ImageRules.from_json(data), Idefics3ImageProcessorPil(**data)


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """Noise over a slope: every resampling error shows."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 128, width)[None, :, None] + rng.integers(0, 128, (height, width, 3))
    return Image.fromarray(slope.astype(np.uint8))


def fixture_picture() -> Image.Image:
    y, x = np.mgrid[0:61, 0:97]
    channels = ((5 * x + 3 * y) % 256, (x * x + 7 * y) % 256, 255 * ((x // 8 + y // 8) % 2))
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def test_tiles_have_the_observed_hashes(golden):
    expected = json.loads((golden / "fixtures.json").read_text())["pixels_pil_lanczos"]
    image = fixture_picture()
    assert hashlib.sha256(image.tobytes()).hexdigest() == expected["sha256_rgb_bytes"]
    assert len(expected["cases"]) == 4
    for case in expected["cases"]:
        rules, _ = published(golden, case["tile"])
        plan = plan_split(61, 97, rules, ReferencePolicy(split=case["split"]))
        tiles = cut_tiles(image, plan, rules)
        assert tiles.shape == (case["frames"], case["tile"], case["tile"], 3)
        assert tiles.sum(axis=(1, 2, 3), dtype=np.int64).tolist() == case["sum_u8"]
        planes = np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))
        hashes = [hashlib.sha256(plane.tobytes()).hexdigest()[:16] for plane in planes]
        assert hashes == case["sha256"]
        assert tiles[-1, 0, :8, 0].tolist() == case["global_row0_R"]


@pytest.mark.parametrize("tile", [512, 384])
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize(("height", "width"), [(37, 91), (300, 40), (480, 640), (1, 1), (2, 900)])
def test_pixel_values_equal_the_published_processor(golden, tile, split, height, width):
    rules, oracle = published(golden, tile)
    image = photo(height, width)
    wanted = oracle(image, do_image_splitting=split, return_tensors="np")["pixel_values"][0]
    plan = plan_split(height, width, rules, ReferencePolicy(split=split))
    assert np.array_equal(normalize(cut_tiles(image, plan, rules), rules), wanted)


def test_normalisation_is_v_over_127_and_a_half_minus_one(golden):
    rules, _ = published(golden, 512)
    wanted = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
    assert np.array_equal(normalization_table(rules), np.stack([wanted] * 3))


def test_normalisation_keeps_channels_apart():
    """With other means and deviations each channel follows its own, in the published order."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    rules = ImageRules(2048, 512, True, mean, std, 1 / 255, 1)
    tiles = np.asarray(photo(8, 8))[None]
    wanted = np.empty((1, 3, 8, 8), dtype=np.float32)
    for c in range(3):
        x = (tiles[..., c].astype(np.float64) * (1 / 255)).astype(np.float32)
        wanted[:, c] = (x - np.float32(mean[c])) / np.float32(std[c])
    assert np.array_equal(normalize(tiles, rules), wanted)


def test_no_tiles_are_no_values(golden):
    rules, _ = published(golden, 512)
    assert normalize(np.empty((0, 512, 512, 3), np.uint8), rules).shape == (0, 3, 512, 512)


def test_budget_tiles_lie_row_by_row_and_the_global_view_last(golden):
    rules, _ = published(golden, 512)
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]] * 2, np.uint8)
    colours[1] //= 2
    image = Image.fromarray(colours.repeat(512, axis=0).repeat(512, axis=1))  # 2x3 flat tiles
    plan = plan_split(image.height, image.width, rules, BudgetPolicy(7))
    tiles = cut_tiles(image, plan, rules)
    assert (plan.rows, plan.cols, len(tiles)) == (2, 3, 7)
    assert tiles[:6].max(axis=(1, 2)).tolist() == colours.reshape(6, 3).tolist()
    assert tiles[:6].min(axis=(1, 2)).tolist() == colours.reshape(6, 3).tolist()
    assert tiles[6, 0, 0].tolist() == [255, 0, 0]
    assert tiles[6, -1, -1].tolist() == [0, 0, 127]


def test_a_picture_of_one_tile_is_not_touched(golden):
    rules, _ = published(golden, 512)
    image = photo(512, 512)
    tiles = cut_tiles(image, plan_split(512, 512, rules, BudgetPolicy()), rules)
    assert np.array_equal(tiles[0], np.asarray(image))
