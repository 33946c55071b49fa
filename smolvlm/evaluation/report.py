"""The results of a suite as one Markdown table; nothing is computed here.

Made from the JSON object that `run.py` gives, so that a committed result can be shown again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "| task | what | n | metric | score | 95 % | grey | shuffled | chance | target | learnt | ms |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
NOTE = """\
Grey: the same questions about plain grey pictures. Shuffled: about the picture of another item.
Chance: guessing, or the best constant answer. Learnt: better than grey by more than both intervals.
Ms: of the run, an item. cer, wer, mae and perplexity are better when smaller.
"""
AS_NUMBERS = ("mae", "perplexity")  # every other metric is a share


def markdown(report: Mapping[str, Any]) -> str:
    """The page: a line about the run, the table, and what its columns mean."""
    rows = [row for task in report["tasks"] for row in _rows(task)]
    return "\n".join([_headline(report), "", *HEAD, *rows, "", NOTE])


def _headline(report: Mapping[str, Any]) -> str:
    suite, model, tasks = report["suite"], report["model"], report["tasks"]
    seconds = sum(task["seconds"] + task.get("baseline_seconds", 0.0) for task in tasks)
    return (
        f"Suite {suite['name']} {suite['version']}, model {model['name']} on {model['engine']}, "
        f"smolvlm {report['versions']['smolvlm']}, {report['date']}: "
        f"{sum(task['n'] for task in tasks)} items of {len(tasks)} tasks and their baselines in "
        f"{seconds / 60:.1f} minutes. {_asked(report.get('extent') or {})}"
    )


def _asked(extent: Mapping[str, int | None]) -> str:
    """Which items of a task were asked, in words."""
    items, baseline = extent.get("items"), extent.get("baseline_items")
    if baseline is None:
        return "Every item was asked."
    if items is None:
        return f"Every item was asked, the first {baseline} of a task in each baseline."
    return (
        f"Asked were the first {items} items of a task, {baseline} in each baseline: a check, no"
        " measurement."
    )


def _rows(task: Mapping[str, Any]) -> list[str]:
    """One line a metric; what belongs to the task stands in the first."""
    lines = []
    for index, (metric, scores) in enumerate(task["metrics"].items()):
        real, first = scores["real"], index == 0
        interval = f"{_cell(metric, real['low'])}-{_cell(metric, real['high'])}" if real else ""
        cells = [
            task["name"] if first else "",
            task["title"] if first else "",
            f"{task['n']}" if first else "",
            metric,
            *(_value(metric, real), interval),
            *(_value(metric, scores[name]) for name in ("grey", "shuffled")),
            _cell(metric, scores["chance"]),
            _cell(metric, task["target"]) if first else "",
            {True: "yes", False: "no", None: ""}[task["learnt"]] if first else "",
            f"{1000 * task['seconds'] / task['n']:.0f}" if first and task["n"] else "",
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _value(metric: str, estimate: Mapping[str, float] | None) -> str:
    return _cell(metric, estimate["value"] if estimate else None)


def _cell(metric: str, number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:.2f}" if metric in AS_NUMBERS else f"{number:.1%}"
