"""Put the scores of a whole run, and those of the anchors, into `docs/evaluation.md`.

    smolvlm eval --out runs/evaluation
    python benchmarks/evaluation_page.py runs/evaluation/results.json

Keeps the report as `results/evaluation.json`; without an argument the page is written again from
what is kept there and in `results/anchors.json`. A report of a part of the suite is refused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smolvlm.errors import InputError, SmolVLMError
from smolvlm.evaluation.report import markdown

HERE = Path(__file__).parent
KEPT = HERE / "results" / "evaluation.json"
ANCHORS = HERE / "results" / "anchors.json"
PAGE = HERE.parent / "docs" / "evaluation.md"
BEGIN, END = "<!-- scores: python benchmarks/evaluation_page.py -->", "<!-- end of scores -->"


def read_report(path: Path) -> dict[str, Any]:
    """A report of `smolvlm eval` about every item of its tasks; `InputError` for any other file."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no report ({error}); run `smolvlm eval` first") from None
    if not isinstance(report, dict) or "tasks" not in report:
        raise InputError(f"{path} is no report of `smolvlm eval`")
    partial = [task["name"] for task in report["tasks"] if task["n"] < task["of"]]
    if partial:
        raise InputError(
            f"{path} is about a part of {', '.join(partial[:3])}; run `smolvlm eval` without"
            " --quick and --limit"
        )
    return report


def anchor_rows(anchors: Mapping[str, Any]) -> Iterator[str]:
    """The anchors as a Markdown table."""
    yield from ("| anchor | task | n | metric | score | 95 % |", "|---|---|---|---|---|---|")
    for anchor in anchors.values():
        for task in anchor["tasks"]:
            for metric, found in task["metrics"].items():
                interval = f"{_cell(metric, found['low'])}-{_cell(metric, found['high'])}"
                cells = (anchor["version"], task["name"], str(task["n"]), metric,
                         _cell(metric, found["value"]), interval)  # fmt: skip
                yield f"| {' | '.join(cells)} |"


def _cell(metric: str, value: float) -> str:
    return f"{value:.2f}" if metric == "perplexity" else f"{value:.1%}"


def scores(report: Mapping[str, Any] | None, anchors: Mapping[str, Any] | None) -> str:
    """What stands between the two marks of the page."""
    parts = ["No whole run is committed yet." if report is None else markdown(report).strip()]
    if anchors is not None:
        told = f"Anchors on the same items, {anchors['date']}:"
        parts += [told, "\n".join(anchor_rows(anchors["anchors"]))]
    return "\n\n".join(parts)


def placed(page: str, block: str) -> str:
    """The page with a block between its marks; `InputError` where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"the page lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, nargs="?", help="results.json of a whole run")
    args = parser.parse_args()
    try:
        if args.report:
            text = json.dumps(read_report(args.report), indent=1, ensure_ascii=False)
            KEPT.write_text(text + "\n", encoding="utf-8")
        block = scores(_read(KEPT), _read(ANCHORS))
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), block), encoding="utf-8")
    except SmolVLMError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
