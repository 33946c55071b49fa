"""`smolvlm eval`: a suite of questions put to a model; results as JSON and as a table.

In the --out folder: `answers.jsonl` (every answer, written as it comes; the same command goes on
after a stop), `results.json` and `results.md`. What is asked and how it is scored is the business
of `evaluation/`, how a suite is made its maker's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smolvlm import api
from smolvlm.cli.terminal import progress_bar, say, waiting
from smolvlm.errors import InputError
from smolvlm.evaluation.records import Records
from smolvlm.evaluation.report import markdown
from smolvlm.evaluation.run import QUICK, Extent, Progress, describe, evaluate
from smolvlm.evaluation.suite import SUITE_FILE, Suite, read_suite
from smolvlm.weights.cache import cache_folder
from smolvlm.weights.reader import open_checkpoint

EMBEDDED = "embedded"


def run(
    suite: str,
    model: str,
    out: Path,
    *,
    load: Mapping[str, Any],
    tasks: Sequence[str],
    extent: Extent,
) -> None:
    """Ask, score and write. `load` are keywords of `api.load`, `tasks` as in `Suite.select`."""
    asked = read_suite(find_suite(suite))
    chosen = asked.select(tasks)
    with waiting("opening the model"):
        # No prompt reuse: in bfloat16 an answer could depend on the item asked before it.
        assistant = api.load(model, prefix_cache=0, **load)
        head = header(asked, model, assistant)
    records = Records.open(out, head)
    with progress_bar() as bar:
        progress = bar if sys.stderr.isatty() else lines()
        results = evaluate(assistant, chosen, records, extent=extent, progress=progress)
    extents = {"items": extent.items, "baseline_items": extent.baseline_items}
    report = {**describe(**head, extent=extents), "tasks": results}
    page = markdown(report)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    (out / "results.md").write_text(page, encoding="utf-8")
    print(page, end="")


def lines() -> Progress:
    """A line on stderr whenever another task or condition begins."""
    last = ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            say(f"{what}: {done} of {total} items")

    return tell


def find_suite(name: str) -> Path:
    """The folder of a suite: `embedded` lies in the cache once it is built, others are paths."""
    if name != EMBEDDED:
        return Path(name)
    folder = cache_folder("suites", EMBEDDED)
    if not (folder / SUITE_FILE).exists():
        raise InputError(
            "the embedded suite is not built here; in the source tree of smolvlm run"
            " `python -m recipes.embedded.suite build`, or give the folder of a suite"
        )
    return folder


def choose_extent(*, quick: bool, limit: int | None) -> Extent:
    """How much to ask: everything, a few items of each task, or so many."""
    if quick and limit is not None:
        raise InputError("--quick and --limit both say how many items are asked; give one of them")
    if limit is None:
        return QUICK if quick else Extent()
    if limit < 1:
        raise InputError(f"--limit is {limit}; wanted at least 1")
    return Extent(items=limit, baseline_items=min(limit, Extent().baseline_items))


def header(suite: Suite, model: str, assistant: api.Assistant) -> dict[str, dict[str, Any]]:
    """Which suite and which model: answers of one run belong to one header."""
    info = assistant.info()
    engine = info.engine
    return {
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
        "model": {
            "name": Path(model).name,
            "fingerprint": open_checkpoint(info.folder).fingerprint,
            "engine": f"{engine.name} {engine.precision} {engine.device} ({engine.library})",
            "policy": str(info.policy),
            "tile": info.tile,
        },
    }
