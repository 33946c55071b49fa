"""The change detector: what counts as a change, what is noise, and a slow twin of it."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from smolvlm.video.change import AREA, COLS, DRIFT, ROWS, difference, glance
from smolvlm.video.watch import Plan

CHANGED = Plan().sensitivity
SIZES = [(1280, 720), (640, 480), (320, 240)]


def scene(size: tuple[int, int], *, light: float = 0.0) -> Image.Image:
    """A room: soft shades and hard edges."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    shades = 90 + 50 * np.sin(9 * x / width) + 30 * np.cos(7 * y / height)
    image = np.stack([shades, shades * 0.9, shades * 0.8], -1)  # (height, width, 3)
    image[height // 2 :, width // 2 :] += 40
    return Image.fromarray((image + light).clip(0, 255).astype(np.uint8))


def with_box(image: Image.Image, side: float, colour: tuple[int, int, int]) -> Image.Image:
    """Something that takes `side` of the width and of the height."""
    width, height = image.size
    box = (0.3 * width, 0.3 * height, (0.3 + side) * width, (0.3 + side) * height)
    image = image.copy()
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def noisy(image: Image.Image, deviation: float, seed: int = 0) -> Image.Image:
    pixels = np.asarray(image)
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=25)
    return Image.open(buffer).convert("RGB")


def score(before: Image.Image, after: Image.Image) -> float:
    return difference(glance(before), glance(after))


@pytest.mark.parametrize("size", SIZES)
def test_noise_is_no_change(size: tuple[int, int]) -> None:
    room = scene(size)
    assert score(room, room) == 0.0
    for other in (
        noisy(room, 15.0),
        compressed(noisy(room, 5.0)),
        scene(size, light=10.0),  # the camera opened up a little
        Image.fromarray(np.roll(np.asarray(room), 1, axis=1)),  # and trembled
        with_box(room, 0.03, (255, 255, 255)),  # a clock in the corner
    ):
        assert score(noisy(room, 15.0, seed=1), other) < CHANGED


@pytest.mark.parametrize("size", SIZES)
def test_somebody_is_a_change(size: tuple[int, int]) -> None:
    room = noisy(scene(size), 15.0)
    for other in (
        with_box(scene(size), 0.15, (60, 60, 70)),
        with_box(scene(size), 0.4, (110, 100, 90)),
        scene(size, light=60.0),  # the light goes on
        Image.new("RGB", size),  # or off
    ):
        assert score(room, noisy(other, 15.0, seed=2)) > CHANGED


def test_a_traffic_light_changes_only_its_colour() -> None:
    room = scene((640, 480))
    red, green = with_box(room, 0.15, (255, 0, 0)), with_box(room, 0.15, (0, 130, 0))
    assert score(red.convert("L").convert("RGB"), green.convert("L").convert("RGB")) < CHANGED
    assert score(red, green) > CHANGED


def test_what_changes_slowly_is_seen_against_the_first_scene() -> None:
    room = scene((320, 240))
    steps = [with_box(room, 0.3, (100 + 8 * n, 100, 100)) for n in range(8)]
    assert all(score(a, b) < CHANGED for a, b in pairwise(steps))
    assert score(steps[0], steps[-1]) > CHANGED


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (3000, 2), (COLS, ROWS)])
def test_any_size(size: tuple[int, int]) -> None:
    assert glance(Image.new("RGB", size, (9, 99, 200))).shape == (ROWS, COLS, 3)
    black, white = Image.new("RGB", size), Image.new("RGB", size, (255, 255, 255))
    assert score(black, white) == pytest.approx(1.0 - DRIFT / 255)


def slow_difference(before: Any, after: Any) -> float:
    """Cell by cell, as the module's words say it."""
    drift = []
    for channel in range(3):
        moved = sorted(
            float(after[r, c, channel] - before[r, c, channel])
            for r in range(ROWS)
            for c in range(COLS)
        )
        middle = (moved[ROWS * COLS // 2 - 1] + moved[ROWS * COLS // 2]) / 2
        drift.append(min(max(middle, -DRIFT), DRIFT))
    cells = sorted(
        (
            max(abs(float(after[r, c, k] - before[r, c, k]) - drift[k]) for k in range(3))
            for r in range(ROWS)
            for c in range(COLS)
        ),
        reverse=True,
    )
    return cells[round(AREA * ROWS * COLS) - 1] / 255


@pytest.mark.parametrize("seed", range(3))
def test_the_slow_twin_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.uniform(0, 255, (2, ROWS, COLS, 3)).astype(np.float32)
    after[:, :, 0] += 40
    assert difference(before, after) == pytest.approx(slow_difference(before, after), rel=1e-5)
