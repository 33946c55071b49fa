"""A model folder to a quantised one, with a receipt of what that cost, measured in the engine.

The model answers questions about pictures in float32; a plan says which matrix is stored how; they
are rounded by some of the pictures; and the folder that came out reads the answers about the others
as it will be run. A plan that costs more than is allowed leaves nothing behind. The steps are
`calibration.py`, `search.py`, `rounding.py` and `evaluation/agreement.py`.
"""

from __future__ import annotations

import datetime
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import smolvlm
from smolvlm import api
from smolvlm.config import ImageRules
from smolvlm.engines.base import Engine, EngineInfo
from smolvlm.engines.choose import choose_for, create_engine
from smolvlm.errors import InputError
from smolvlm.evaluation.agreement import (
    Agreement,
    Prompt,
    Reading,
    compare,
    differ,
    read,
    summarize,
)
from smolvlm.evaluation.records import Records
from smolvlm.evaluation.run import Extent, evaluate
from smolvlm.evaluation.tasks import Task
from smolvlm.export.calibration import CalibrationSet, calibration_set
from smolvlm.export.rounding import observe, require_observer, round_all
from smolvlm.export.search import AUTO, LIMIT, candidates, find_schemes
from smolvlm.processing.processor import Processor
from smolvlm.quant.folder import (
    RECEIPT,
    Quantized,
    building,
    check_free,
    folder_bytes,
    write_quantized,
    write_text,
)
from smolvlm.quant.plan import PRESETS, Plan
from smolvlm.quant.receipt import REFERENCE, Receipt, count_schemes
from smolvlm.quant.schemes import Scheme
from smolvlm.weights.reader import Checkpoint, open_checkpoint

QUANTIZED = "quantized"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is wanted.

    plan: a name of `PRESETS`, `auto`, or a JSON or YAML file. calibrate: a folder of pictures, None
    for the drawn ones. max_loss: most nats a token that the logits may diverge by. tasks: what to
    score before and after, and extent how much of it. threads: as in `create_engine`.
    """

    plan: str = "int8"
    calibrate: Path | None = None
    max_loss: float | None = None
    tasks: Sequence[Task] = ()
    extent: Extent = field(default_factory=lambda: Extent(baseline_items=0))
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.max_loss is not None and not self.max_loss > 0:
            raise InputError(
                f"max-loss is {self.max_loss:g}; wanted nats a token above 0, such as 0.01"
            )


def quantize(
    folder: Path, out: Path, order: Order, *, name: str = "", tell: Tell = lambda text: None
) -> Receipt:
    """Write a quantised copy of a model folder to `out`, which may not hold anything yet.

    name: what the receipt calls the model. tell: is told what is being done.
    `InputError` for an order that cannot be met and for a plan that costs more than its max_loss,
    `CheckpointError` for a folder that is quantised already, `EngineError` for a plan that needs
    PyTorch where it is not installed; then nothing is written.
    """
    check_free(out)
    checkpoint = open_checkpoint(folder)
    checkpoint.require_values()
    wanted = candidates(checkpoint) if order.plan == AUTO else resolve(order.plan, checkpoint)
    require_observer(checkpoint, wanted)
    pictures = calibration_set(Processor.from_folder(folder), order.calibrate)
    tell("answering in f32")
    answers = References(checkpoint, pictures, order.threads)
    schemes, quantized = _round(checkpoint, wanted, pictures, answers, order=order, tell=tell)
    with building(out) as part:
        write_quantized(part, checkpoint, quantized)
        tell("measuring")
        made = open_checkpoint(part)
        receipt = Receipt(
            model=name or folder.name,
            plan=Path(order.plan).name,
            schemes=count_schemes(schemes),
            calibration=pictures.describe(),
            figures=_figures(checkpoint, made, pictures.measured, answers, order.threads),
            scores=_scores(checkpoint, made, order) if order.tasks else {},
            made=_origin(answers.engine),
        )
        _check_loss(receipt, order.max_loss)
        write_text(part / RECEIPT, receipt.to_json())
    return receipt


def _round(
    checkpoint: Checkpoint,
    schemes: Mapping[str, Scheme],
    pictures: CalibrationSet,
    answers: References,
    *,
    order: Order,
    tell: Tell,
) -> tuple[Mapping[str, Scheme], Quantized]:
    """The schemes that are kept, and the matrices in them."""
    shown = pictures.fitted, answers.fitted
    tell("looking at the inputs of layers")
    seen = observe(checkpoint, schemes, *shown, threads=order.threads)
    if order.plan == AUTO:
        tell("trying each part of the language model in 4 bits")
        limit = order.max_loss or LIMIT
        schemes = find_schemes(checkpoint, seen, *shown, limit=limit, threads=order.threads)
    tell("rounding")
    return schemes, round_all(checkpoint, schemes, seen)


def _check_loss(receipt: Receipt, most: float | None) -> None:
    if most is not None and not receipt.loss <= most:  # not a number is too much, too
        raise InputError(
            f"the plan {receipt.plan} costs {receipt.loss:.4f} nats a token, which is more than"
            f" the {most:g} allowed; nothing was written, use a plan with more bits"
        )


def resolve(plan: str, checkpoint: Checkpoint) -> dict[str, Scheme]:
    """The scheme of every matrix that a preset or a plan file quantises; errors as in `Plan`."""
    shapes = {name: checkpoint.shape(name) for name in checkpoint.names()}
    chosen = PRESETS.get(plan) or Plan.from_file(Path(plan), shapes)
    schemes = chosen.resolve(shapes)
    if not schemes:
        raise InputError(f"the plan {plan} quantises nothing; give some layers another scheme")
    return schemes


class References:
    """What the model says in float32 about the pictures it is rounded by and measured on."""

    def __init__(self, checkpoint: Checkpoint, pictures: CalibrationSet, threads: int | None):
        engine = open_engine(checkpoint, REFERENCE, threads)
        self.engine = engine.describe()
        self.measured = [read(engine, prompt) for prompt in pictures.measured]
        self.fitted = self.measured
        if pictures.fitted is not pictures.measured:
            self.fitted = [_without_thoughts(read(engine, prompt)) for prompt in pictures.fitted]


def _without_thoughts(reading: Reading) -> Reading:
    """Of what is rounded by, only words and features are needed; the rest is large."""
    return replace(reading, log_probs=reading.log_probs[:0])


def open_engine(checkpoint: Checkpoint, precision: str | None, threads: int | None) -> Engine:
    """The engine that runs a checkpoint in a precision; None for the one it is stored in."""
    rules = ImageRules.from_folder(checkpoint.folder)
    return create_engine(checkpoint, rules, precision=precision, threads=threads)


def _figures(
    before: Checkpoint,
    after: Checkpoint,
    prompts: Sequence[Prompt],
    answers: References,
    threads: int | None,
) -> dict[str, dict[str, Any]]:
    """The model in float32, as it is run by default, and quantised."""
    size, ways = folder_bytes(before.folder), {}
    ways[REFERENCE] = _told(summarize(differ(r, r) for r in answers.measured), size)
    default = choose_for(before, threads=threads).precision
    runs: list[tuple[str, Checkpoint, str | None]] = [(QUANTIZED, after, None)]
    if default != REFERENCE:
        runs.insert(0, (default, before, default))
    for way, checkpoint, precision in runs:
        engine = open_engine(checkpoint, precision, threads)
        compare(engine, prompts[:1], answers.measured[:1])  # the first run packs weights
        found = compare(engine, prompts, answers.measured)
        ways[way] = _told(found, folder_bytes(checkpoint.folder))
    return ways


def _told(found: Agreement, size: int) -> dict[str, Any]:
    return found.to_json() | {"bytes": size}


def _scores(before: Checkpoint, after: Checkpoint, order: Order) -> dict[str, dict[str, Any]]:
    """The headline score of every task, before in float32 and after."""
    runs = {REFERENCE: (before, REFERENCE), QUANTIZED: (after, None)}
    told: dict[str, dict[str, Any]] = {}
    for way, (checkpoint, precision) in runs.items():
        assistant = api.load(
            checkpoint.folder, precision=precision, threads=order.threads, prefix_cache=0
        )
        with tempfile.TemporaryDirectory() as folder:
            records = Records.open(Path(folder), {"way": way})
            results = evaluate(assistant, order.tasks, records, extent=order.extent)
        for task, result in zip(order.tasks, results, strict=True):
            metric = task.metrics[0]
            real: Mapping[str, float] = result["metrics"][metric]["real"] or {}
            told.setdefault(task.name, {"metric": metric, "items": result["n"]})
            told[task.name][way] = real.get("value")
    return told


def _origin(engine: EngineInfo) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "smolvlm": smolvlm.__version__,
        "engine": engine.library,
        "device": engine.device,
        "threads": engine.threads,
        "machine": f"{platform.system()} {platform.machine()}",
    }
