"""What this machine does at best: matrix products and reading memory, measured in about a second.

The yardstick of `smolvlm bench`: a stage that reaches a third of it has two thirds left to win. The
products are those of OpenVINO's own kernel on sizes that suit it; memory is read by as many threads
as there are processors, in a block larger than the caches one may count on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import openvino as ov
from openvino import opset15 as op

from smolvlm.engines.openvino_compile import DEVICE, numbers, properties
from smolvlm.engines.openvino_ops import floats, parameter, result

ROWS, WIDTH, LAYERS = 1024, 1024, 8
BLOCK_BYTES = 512 * 2**20
RUNS = 5


def product_rate(precision: str, *, rows: int = ROWS, width: int = WIDTH) -> float:
    """The most multiplications and additions a second of a chain of products in a precision."""
    rng = np.random.default_rng(0)
    x = first = parameter("x", [rows, width], np.float32)
    for _ in range(LAYERS):
        weight = rng.standard_normal((width, width), dtype=np.float32) * width**-0.5
        x = op.matmul(x, floats(weight), False, True)  # (rows, width)
    model = ov.Model([result(x, "y")], [first], "smolvlm_limit")
    chosen = properties(numbers("vision", precision), None)
    request = ov.Core().compile_model(model, DEVICE, chosen).create_infer_request()
    values = rng.standard_normal((rows, width), dtype=np.float32)
    fastest = min(_seconds(lambda: request.infer({"x": values})) for _ in range(RUNS))
    return 2.0 * LAYERS * rows * width * width / fastest


def read_rate(*, block_bytes: int = BLOCK_BYTES, threads: int | None = None) -> float:
    """The most bytes a second that all processors together read from memory."""
    count = threads or _processors()
    block = np.ones(block_bytes // 4, dtype=np.float32)
    parts = np.array_split(block, count)
    with ThreadPoolExecutor(count) as pool:
        fastest = min(_seconds(lambda: list(pool.map(np.max, parts))) for _ in range(RUNS))
    return block.nbytes / fastest


def _processors() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
