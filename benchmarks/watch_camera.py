"""What `watch.py` looks at and with: made-up frames, a camera in a hurry, an engine that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine, EngineInfo, KVState, Step
from smolvlm.engines.feature_cache import with_feature_cache
from smolvlm.media.shots import Shot

WIDTH, HEIGHT, RATE = 1280, 720, 5  # RATE: frames a second
SMALL = (320, 180)  # of the simulated camera, whose pictures are made on the spot
NOISE = 6  # levels of 255, as of a camera indoors
CHANGE_EVERY = 20.0  # seconds between changes of the simulated scene
COLOURS = ((200, 30, 30), (30, 160, 30), (30, 30, 200), (230, 230, 230), (20, 20, 20))


def scene(number: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """A room with a box in it, at the place and in the colour of its number: uint8 (h, w, 3)."""
    width, height = size
    picture = np.full((height, width, 3), (120, 130, 140), np.int16)
    side, place = height // 3, (number * 7919) % 97 / 97
    top, left = height // 3, int(place * (width - side))
    picture[top : top + side, left : left + side] = COLOURS[number % len(COLOURS)]
    noise = np.random.default_rng(seed).integers(-NOISE, NOISE + 1, picture.shape, dtype=np.int16)
    noisy: NDArray[np.uint8] = (picture + noise).clip(0, 255).astype(np.uint8)
    return noisy


def camera_frames(scenes: int, *, repeats: int) -> Iterator[av.VideoFrame]:
    """Decoded frames: each scene so many times, with other noise."""
    for number in range(scenes):
        for repeat in range(repeats):
            pixels = scene(number, (WIDTH, HEIGHT), seed=number * repeats + repeat)
            yield av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def write_clip(path: Path, *, seconds: int) -> None:
    """A clip whose scene changes every second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for number in range(seconds * RATE):
            pixels = scene(number // RATE, (WIDTH, HEIGHT), seed=number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


class SimulatedFeed:
    """A camera that lives `speed` times as fast; it drops what nobody could take, as they do."""

    name, live = "the simulated camera", False

    def __init__(self, seconds: float, *, speed: float) -> None:
        self.given = 0
        self._seconds, self._speed = seconds, speed
        self._begun = time.monotonic()
        self._ended = False

    def open(self) -> Iterator[Shot]:
        """From its first frame on."""
        return self._shots()

    def now(self) -> float:
        """Its own time in seconds."""
        return (time.monotonic() - self._begun) * self._speed

    def stop(self) -> None:
        """End with the next frame."""
        self._ended = True

    def _shots(self) -> Iterator[Shot]:
        self._begun = time.monotonic()
        while not self._ended and (moment := self.now()) < self._seconds:
            self.given += 1
            yield moment, partial(self._picture, moment, self.given)
            time.sleep(1 / RATE / self._speed)

    @staticmethod
    def _picture(moment: float, seed: int) -> Image.Image:
        return Image.fromarray(scene(int(moment / CHANGE_EVERY), SMALL, seed))


class StandInState:
    """A conversation that remembers its length."""

    def __init__(self) -> None:
        self.length = 0

    def truncate(self, length: int) -> None:
        """Forget what follows."""
        self.length = length

    def close(self) -> None:
        """Nothing is held."""


class StandIn:
    """An engine that computes nothing: `seconds` of waiting for a tile, likes yes half the time."""

    def __init__(self, config: ModelConfig, *, seconds: float) -> None:
        self.config = config
        self.tiles = 0
        self._seconds = seconds
        self._rng = np.random.default_rng(0)

    def cached(self, mebibytes: int) -> Engine:
        """Behind the cache that every engine has."""
        return with_feature_cache(self, mebibytes)

    def describe(self) -> EngineInfo:
        """That it is none."""
        return EngineInfo("stand-in", "none", "f32", "none", 1)

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Tiles uint8 (N, S, S, 3) -> zeros float32 (N, T, H)."""
        self.tiles += len(tiles)
        time.sleep(self._seconds * len(tiles))
        shape = (len(tiles), self.config.tokens_per_tile, self.config.text.hidden_size)
        return np.zeros(shape, np.float32)

    def open_state(self) -> KVState:
        """An empty conversation."""
        return StandInState()

    def step(self, steps: Sequence[Step]) -> list[NDArray[np.float32]]:
        """Random logits: float32 (1, V) or (L, V) for each."""
        return [self._logits(step) for step in steps]

    def _logits(self, step: Step) -> NDArray[np.float32]:
        assert isinstance(step.state, StandInState)
        step.state.length += len(step.token_ids)
        rows = len(step.token_ids) if step.logits == "all" else 1
        return self._rng.standard_normal((rows, self.config.text.vocab_size), dtype=np.float32)


def resident() -> int:
    """Bytes of memory this process holds now; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)
