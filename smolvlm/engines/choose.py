"""Which engine runs: one table of choices, and one rule.

The rule: the first row of `CHOICES` that fits what was asked and can run on this machine. Unless a
precision was asked for, two rows go before the others: for a quantised folder that of its own
precision, for any other one int8 where the CPU has matrix tiles (AMX): a token then costs half as
much and a prompt no more (`docs/speed.md`: `python -m benchmarks.peers` puts the figures there).
Nothing heavy is imported before a row is tried; `smolvlm doctor` shows the table with the reason
why each row can or cannot run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod

from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine
from smolvlm.errors import (
    CheckpointError,
    EngineError,
    InputError,
    SmolVLMError,
    UnknownNameError,
)
from smolvlm.native.build import obstacle
from smolvlm.weights.reader import Checkpoint


@dataclass(frozen=True)
class Choice:
    """One way to run a checkpoint.

    package: what has to be importable. install: the pip requirement that brings it. reason: when
    this row is the right one.
    """

    name: str
    device: str
    precision: str
    package: str
    install: str
    reason: str


@dataclass(frozen=True)
class Explanation:
    """A choice and what keeps it from running here; None when it can run."""

    choice: Choice
    obstacle: str | None


# Precisions that say how matrices are stored; the others say what is computed in.
QUANTIZED = ("int8", "int4")
# Parameters of the largest model that is rounded unasked: the compiled graphs of a larger one are
# not kept (`openvino_compile.py`), so it would be rounded anew at every start.
MOST_ROUNDED = 10**9
_TORCH = ("torch", "smolvlm[torch]")
_OPENVINO = ("openvino", "smolvlm")
_NATIVE = ("smolvlm", "smolvlm")
CHOICES = (
    Choice("native", "cpu", "bf16", *_NATIVE, "fastest where the CPU has AMX"),
    Choice("native", "cpu", "int8", *_NATIVE, "the same, half the bytes a token"),
    Choice("openvino", "cpu", "bf16", *_OPENVINO, "fast where the CPU computes in bfloat16"),
    Choice("openvino", "cpu", "f32", *_OPENVINO, "fastest on other CPUs, and the exact one"),
    Choice(
        "openvino", "cpu", "int8", *_OPENVINO, "smaller; the fastest of these where the CPU has AMX"
    ),
    Choice("openvino", "cpu", "int4", *_OPENVINO, "smallest; for folders of `smolvlm quantize`"),
    Choice("torch", "cuda", "bf16", *_TORCH, "for an NVIDIA GPU"),
    Choice("torch", "cpu", "f32", *_TORCH, "the readable reference"),
    Choice("torch", "cpu", "bf16", *_TORCH, "half the memory of the reference"),
)


def create_engine(
    checkpoint: Checkpoint,
    rules: ImageRules,
    *,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Engine:
    """Build an engine for a checkpoint; what is None is chosen by the rule of this module.

    `UnknownNameError`: no such engine or precision. `EngineError`: it cannot run here.
    `CheckpointError`: the checkpoint's files disagree about the tile.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; wanted at least 1")
    side = checkpoint.config.vision.image_size
    if rules.tile != side:
        raise CheckpointError(
            f"{checkpoint.folder}: preprocessor_config.json cuts tiles of {rules.tile} pixels, "
            f"config.json wants {side}; the files are of different models"
        )
    stored = _stored_precision(checkpoint)
    if stored and precision in QUANTIZED and precision != stored:
        raise InputError(
            f"{checkpoint.folder} is quantised to {stored} already; leave the precision "
            f"{precision} out, or use the checkpoint it was made from"
        )
    first = None if precision else _first(checkpoint, stored, engine, threads)
    row = choose(engine, precision, first, without=_unfit(checkpoint, engine))
    return _build(row, checkpoint, rules, threads)


def choose_for(
    checkpoint: Checkpoint,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Choice:
    """The row that `create_engine` builds; errors as there."""
    stored = _stored_precision(checkpoint)
    first = None if precision else _first(checkpoint, stored, engine, threads)
    return choose(engine, precision, first, without=_unfit(checkpoint, engine))


def choose(
    engine: str | None = None,
    precision: str | None = None,
    first: str | None = None,
    *,
    without: str | None = None,
) -> Choice:
    """The first row that fits and can run; errors as in `create_engine`.

    first: the precision whose row comes before the others where none is asked. without: an engine
    whose rows are passed over.
    """
    rows: Iterable[Choice] = (row for row in fitting(engine, precision) if row.name != without)
    if precision is None:
        rows = sorted(rows, key=lambda row: row.precision != first)
    obstacles = []
    for row in rows:
        obstacle = _obstacle(row)
        if obstacle is None:
            return row
        obstacles.append(obstacle)
    asked = " ".join(word for word in (engine, precision) if word) or "any engine"
    raise EngineError(f"{asked} cannot run here: {'; '.join(dict.fromkeys(obstacles))}")


def fitting(engine: str | None, precision: str | None) -> tuple[Choice, ...]:
    """The rows with these names; `UnknownNameError` lists what there is. Imports nothing."""
    if engine not in (None, *(row.name for row in CHOICES)):
        raise UnknownNameError(
            f"there is no engine {engine!r}; there are {_list(row.name for row in CHOICES)}"
        )
    rows = tuple(row for row in CHOICES if engine in (None, row.name))
    fits = tuple(row for row in rows if precision in (None, row.precision))
    if not fits:
        lacking = f"{engine} has no" if engine else "no engine has a"
        raise UnknownNameError(
            f"{lacking} precision {precision!r}; there are {_list(row.precision for row in rows)}"
        )
    return fits


def explain_choices() -> list[Explanation]:
    """Every row in the order of choice, and whether it can run here. Imports what is installed."""
    return [Explanation(row, _obstacle(row)) for row in CHOICES]


def default_choice(rows: Iterable[Explanation]) -> Choice | None:
    """The row taken where nothing is asked, by what keeps each from running; None if all are."""
    running = [row.choice for row in rows if row.obstacle is None]
    first = _fastest(None, None)
    return min(running, key=lambda choice: choice.precision != first, default=None)


def _stored_precision(checkpoint: Checkpoint) -> str | None:
    """The fewest bits a matrix of a quantised folder has, as a precision; None of another."""
    bits = [found for name in checkpoint.names() if (found := checkpoint.bits(name))]
    return f"int{min(bits)}" if bits else None


def _first(
    checkpoint: Checkpoint, stored: str | None, engine: str | None, threads: int | None
) -> str | None:
    """The precision to take where none is asked; None leaves it to the table."""
    if stored is not None:
        return stored
    return _fastest(engine, threads) if _parameters(checkpoint) <= MOST_ROUNDED else None


def _unfit(checkpoint: Checkpoint, engine: str | None) -> str | None:
    """The engine that is not taken for this checkpoint unless it is asked for."""
    from smolvlm.engines.native import unfit

    if engine is None and (_parameters(checkpoint) > MOST_ROUNDED or unfit(checkpoint)):
        return "native"
    return None


def _parameters(checkpoint: Checkpoint) -> int:
    return sum(prod(checkpoint.shape(name)) for name in checkpoint.names())


def _fastest(engine: str | None, threads: int | None) -> str | None:
    """The precision to round a model to as it is loaded; None for none."""
    if engine in (None, "native") and obstacle() is None and _build_failure() is None:
        return "int8"
    if engine not in (None, "openvino") or find_spec("openvino") is None:
        return None
    from smolvlm.engines.openvino_compile import has_mlp_kernel

    return "int8" if has_mlp_kernel(threads) else None


def _list(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _obstacle(row: Choice) -> str | None:
    """Why a row cannot run here, and what to do about it; None when it can."""
    if find_spec(row.package) is None:
        return f"{row.package} is not installed (pip install '{row.install}')"
    if row.name == "native":
        return obstacle() or _build_failure()
    if row.name == "openvino":
        from smolvlm.engines.openvino_compile import runnable_precisions

        if row.precision not in runnable_precisions():
            return f"this CPU has no {row.precision} instructions (use --precision f32)"
    if row.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            return f"PyTorch {torch.__version__} sees no CUDA device"
    return None


def _build_failure() -> str | None:
    """Why the kernels cannot be built or loaded; the first time, this builds them."""
    from smolvlm.native.library import library

    try:
        library()
    except SmolVLMError as error:
        return str(error)
    return None


def _build(row: Choice, checkpoint: Checkpoint, rules: ImageRules, threads: int | None) -> Engine:
    if row.name == "native":
        from smolvlm.engines.native import NativeEngine

        return NativeEngine(checkpoint, rules, precision=row.precision, threads=threads)
    if row.name == "openvino":
        from smolvlm.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(checkpoint, rules, precision=row.precision, threads=threads)
    from smolvlm.engines.torch import TorchEngine

    return TorchEngine(
        checkpoint, rules, device=row.device, precision=row.precision, threads=threads
    )
