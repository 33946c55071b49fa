"""Tasks put to a model, and what came out as one JSON object.

Every task is asked as it is, with grey pictures and with shuffled ones (fewer items for the two, as
their scores lie near chance). Each answer is kept at once (`records.py`), so a stopped run goes on
where it was. A task counts as learnt only when its score and that of the grey pictures differ by
more than both intervals: knowing what is usually asked is not seeing.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import smolvlm
from smolvlm.errors import ContextLengthError
from smolvlm.evaluation.baselines import alike, answer_alike, under
from smolvlm.evaluation.bootstrap import CONFIDENCE, DRAWS, Estimate, estimate
from smolvlm.evaluation.metrics import METRICS, Metric
from smolvlm.evaluation.records import Record, Records
from smolvlm.evaluation.tasks import Assistant, Condition, Item, Reply, Task, answer

BATCH = 8  # items answered together; also how many answers a kill can cost
CONDITIONS: tuple[Condition, ...] = ("real", "grey", "shuffled")

Progress = Callable[[str, int, int], None]  # task and condition, items done and to do in the run


@dataclass(frozen=True)
class Extent:
    """How much is asked: most items of a task as they are, and of each baseline."""

    items: int | None = None
    baseline_items: int = 40


QUICK = Extent(items=6, baseline_items=3)


def evaluate(
    assistant: Assistant,
    tasks: Sequence[Task],
    records: Records,
    *,
    extent: Extent = Extent(),
    progress: Progress = lambda what, done, total: None,
) -> list[dict[str, Any]]:
    """Ask what has not been asked yet, then score every task; one JSON-ready object a task."""
    work = [
        (task, condition, _missing(task, condition, records, extent))
        for task in tasks
        for condition in _conditions(task)
    ]
    total, done = sum(len(items) for _, _, items in work), 0
    for task, condition, items in work:
        for count in _ask(assistant, task, records, condition, items=items):
            done += count
            progress(f"{task.name} {condition}", done, total)
    return [summary(task, records, extent) for task in tasks]


def describe(**parts: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a report: the given parts, and when, with what and where it was made."""
    return {
        **parts,
        "versions": {
            "smolvlm": smolvlm.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "interval": f"{CONFIDENCE:.0%} bootstrap, {DRAWS} draws of items",
    }


def _conditions(task: Task) -> tuple[Condition, ...]:
    return CONDITIONS if task.has_pictures else ("real",)


def _chosen(task: Task, condition: Condition, extent: Extent) -> list[Item]:
    """The first items of a task: suites keep theirs in random order."""
    most = extent.items if condition == "real" else extent.baseline_items
    return list(task.items[:most])


def _missing(task: Task, condition: Condition, records: Records, extent: Extent) -> list[Item]:
    """The items of one condition that have no record yet."""
    chosen = _chosen(task, condition, extent)
    return [item for item in chosen if records.get(task.name, condition, item.id) is None]


def _ask(
    assistant: Assistant,
    task: Task,
    records: Records,
    condition: Condition,
    *,
    items: Sequence[Item],
) -> Iterator[int]:
    """Answer and record some items; yields how many were done, batch by batch."""
    shown = under(condition, task, items)
    for group in alike(shown) if condition == "grey" else _batches(shown):
        start = perf_counter()
        replies = _replies(task, group, assistant, condition)
        seconds = round((perf_counter() - start) / len(group), 4)
        for item, reply in zip(group, replies, strict=True):
            records.add(Record.of(task.name, condition, item.id, seconds=seconds, reply=reply))
        yield len(group)


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    for start in range(0, len(items), BATCH):
        yield list(items[start : start + BATCH])


def _replies(
    task: Task, items: Sequence[Item], assistant: Assistant, condition: Condition
) -> list[Reply]:
    """Answers to a group; an item that does not fit the model's context has a problem instead."""
    try:
        if condition == "grey":
            return answer_alike(task, items, assistant)
        return answer(task, items, assistant)
    except ContextLengthError as error:
        if len(items) == 1 or condition == "grey":
            return [Reply(problem=str(error))] * len(items)
        return [_replies(task, [item], assistant, condition)[0] for item in items]


def summary(task: Task, records: Records, extent: Extent) -> dict[str, Any]:
    """Scores, baselines and times of one task."""
    items = _chosen(task, "real", extent)
    held = [records.get(task.name, "real", item.id) for item in items]
    done = [record for record in held if record is not None]
    scores = {name: _scores(task, name, records, extent) for name in task.metrics}
    return {
        "name": task.name,
        "title": task.title,
        "kind": task.kind,
        "n": len(done),
        "of": len(task.items),
        "unanswered": sum(bool(record.problem) for record in done),
        "seconds": round(sum(record.seconds for record in done), 2),
        "baseline_seconds": round(_baseline_seconds(task, records, extent), 2),
        "target": task.target,
        "metrics": scores,
        "learnt": _is_learnt(task, scores[task.metrics[0]]),
    }


def _baseline_seconds(task: Task, records: Records, extent: Extent) -> float:
    """What the grey and the shuffled pictures took."""
    held = (
        records.get(task.name, condition, item.id)
        for condition in _conditions(task)[1:]
        for item in _chosen(task, condition, extent)
    )
    return sum(record.seconds for record in held if record is not None)


def _scores(task: Task, metric: str, records: Records, extent: Extent) -> dict[str, Any]:
    """A metric under each condition, and by chance; None where it could not be computed."""
    rule = METRICS[metric]
    found: dict[str, Any] = {"higher": rule.higher}
    for condition in CONDITIONS:
        pairs = [
            (item, record.reply)
            for item in _chosen(task, condition, extent)
            if (record := records.get(task.name, condition, item.id))
        ]
        values = task.values(metric, [item for item, _ in pairs], [reply for _, reply in pairs])
        found[condition] = _shown(estimate(values), rule) if values else None
    found["chance"] = task.chance(metric)
    return found


def _shown(found: Estimate, rule: Metric) -> dict[str, Any]:
    value, low, high = (round(rule.shown(v), 4) for v in (found.value, found.low, found.high))
    return {"value": value, "low": low, "high": high, "n": found.n}


def _is_learnt(task: Task, scores: dict[str, Any]) -> bool | None:
    """Whether the headline beats the grey pictures by more than both intervals; None: unknown."""
    real, grey = scores["real"], scores["grey"]
    if real is None or grey is None or task.headline.higher is None:
        return None
    if task.headline.higher:
        return bool(real["low"] > grey["high"])
    return bool(real["high"] < grey["low"])
