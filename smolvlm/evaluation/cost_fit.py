"""What questions cost on this machine, fitted once: the numbers behind `--budget 500ms`.

Each part is measured by itself, on sizes far enough apart to tell what grows from what stays:
pictures of two sizes for `megapixel`, tiles for `tile`, prompts for `token` and `token_squared`.
The smallest of several runs stands for a size, because whatever disturbs a run only adds to it.
Keeping the result is `engines/fitted_costs.py`'s business, using it `processing/budget.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from smolvlm.engines.base import Engine, Step
from smolvlm.evaluation.speed import timed
from smolvlm.processing.budget import Costs
from smolvlm.processing.processor import Processor
from smolvlm.types import ImagePart, Message, TextPart

# (height, width) of pictures that both become one tile when a budget says so.
SIZES = ((512, 512), (1536, 2048))
TILES = (1, 2, 4)
PROMPTS = (64, 256, 640, 1024)
RUNS = 3


def fit_costs(engine: Engine, processor: Processor, *, runs: int = RUNS) -> Costs:
    """Measure and fit; takes some seconds, and wants a machine that does nothing else."""
    megapixel, opening = _line(
        [height * width / 1e6 for height, width in SIZES],
        [_best(lambda size=size: _open(processor, *size), runs) for size in SIZES],  # type: ignore[misc]
    )
    tile, seeing = _line(
        TILES,
        [_best(lambda count=count: _see(engine, count), runs) for count in TILES],  # type: ignore[misc]
    )
    window = engine.config.text.max_position_embeddings
    lengths = [length for length in PROMPTS if length < window] or [window - 1]
    reading = [_best(lambda n=n: _read(engine, n), runs) for n in lengths]  # type: ignore[misc]
    token, squared, starting = _parabola(lengths, reading)
    return Costs(
        fixed=opening + seeing + starting,
        megapixel=megapixel,
        tile=tile,
        token=token,
        token_squared=squared,
    )


def _best(call: Callable[[], object], runs: int) -> float:
    """The smallest milliseconds of some runs, after one that does not count."""
    call()
    return min(timed(call)[1] for _ in range(runs))


def _open(processor: Processor, height: int, width: int) -> None:
    """Everything that depends on the size of a picture but for its file: one tile is cut of it."""
    message = Message("user", (ImagePart(Image.new("RGB", (width, height))), TextPart("What?")))
    processor([processor.open((message,))])


def _see(engine: Engine, count: int) -> None:
    side = engine.config.vision.image_size
    engine.encode_tiles(np.zeros((count, side, side, 3), dtype=np.uint8))


def _read(engine: Engine, length: int) -> None:
    state = engine.open_state()
    engine.step([Step(state, np.full(length, engine.config.eos_token_ids[0]))])
    state.close()


def _line(xs: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """Slope and start of the nearest line that neither falls nor begins below zero."""
    slope, start = np.polyfit(xs, times, 1)
    return max(float(slope), 0.0), max(float(start), 0.0)


def _parabola(xs: Sequence[float], times: Sequence[float]) -> tuple[float, float, float]:
    """Slope, curvature and start of the nearest parabola with none of them negative."""
    columns = np.stack([np.array(xs, dtype=float), np.square(xs, dtype=float), np.ones(len(xs))], 1)
    used = [0, 1, 2]
    while True:
        found = np.zeros(3)
        found[used] = np.linalg.lstsq(columns[:, used], np.array(times), rcond=None)[0]
        negative = [column for column in used if found[column] < 0]
        if not negative:
            slope, squared, start = found.tolist()
            return slope, squared, start
        used.remove(min(negative, key=lambda column: float(found[column])))
