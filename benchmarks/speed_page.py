"""Put what was measured into `docs/speed.md`: the peers, and the stages of one question.

    python -m benchmarks.peers                          # writes results/peers.json
    smolvlm bench --precision bf16 --precision int8 --out benchmarks/results/bench.json
    python -m benchmarks.speed_page

The page is written again from what is kept in `results/`; what has not been measured is said to be
missing. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import REFERENCE

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "speed.md"
MISSING = "Not measured yet."
# Heading, key in a report, what turns it into the unit, and the unit.
PEER_ROWS = (
    ("vision, 1 tile", "vision1_ms", 1.0, "ms"),
    ("vision, 13 tiles", "vision13_ms", 1.0, "ms"),
    ("prefill, 100 tokens", "prefill100_ms", 1.0, "ms"),
    ("prefill, 900 tokens", "prefill900_ms", 1.0, "ms"),
    ("decoding after 900", "decode_tokens_per_s", 1.0, "tokens/s"),
    ("1 tile: first token", "e2e1_ttft_ms", 1.0, "ms"),
    ("1 tile: 64 tokens", "e2e1_total_ms", 1.0, "ms"),
    ("13 tiles: first token", "e2e13_ttft_ms", 1.0, "ms"),
    ("13 tiles: 64 tokens", "e2e13_total_ms", 1.0, "ms"),
    ("second question, 13 tiles", "second_ttft_ms", 1.0, "ms"),
    ("process start to first token", "cold_first_s", 1.0, "s"),
    ("peak memory, same", "cold_peak_bytes", 1 / 2**20, "MiB"),
)
STAGE_ROWS = (
    ("opening the file", "decode_ms", 1.0, "ms"),
    ("tiles and words", "preprocess_ms", 1.0, "ms"),
    ("vision", "vision_ms", 1.0, "ms"),
    ("prefill", "prefill_ms", 1.0, "ms"),
    ("first token", "first_token_ms", 1.0, "ms"),
    ("all of these (TTFT)", "ttft_ms", 1.0, "ms"),
    ("one token more (TPOT)", "tpot_ms", 1.0, "ms"),
    ("vision, of the products possible", "vision_share", 100.0, "%"),
    ("prefill, of the products possible", "prefill_share", 100.0, "%"),
    ("decoding, of the bytes possible", "decode_share", 100.0, "%"),
    ("peak memory", "peak_bytes", 1 / 2**20, "MiB"),
)
Row = tuple[str, str, float, str]


def table(
    rows: Sequence[Row], columns: Mapping[str, Mapping[str, Any]], *, ratio: bool = False
) -> str:
    """A Markdown table, a column an engine; with `ratio`, ours as a share of the best of others."""
    ours = [name for name in columns if name.startswith("smolvlm")]
    heads = [*columns, *[f"{name} / best other" for name in ours if ratio]]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for title, key, factor, unit in rows:
        found = {name: told[key] * factor for name, told in columns.items() if key in told}
        if not found:
            continue
        cells = [f"{_shown(found[name])} {unit}" if name in found else "" for name in columns]
        if ratio:
            cells += [_share(found, name, columns, higher="tokens" in unit) for name in ours]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _share(
    found: Mapping[str, float], name: str, columns: Mapping[str, Any], *, higher: bool
) -> str:
    """One of ours against the best engine of others that answers right."""
    others = [
        value
        for other, value in found.items()
        if not other.startswith("smolvlm") and is_right(columns[other])
    ]
    if not others or name not in found:
        return ""
    return f"{found[name] / (max if higher else min)(others):.2f}"


def is_right(told: Mapping[str, Any]) -> bool:
    """Whether an engine did the work: a sensible beginning of the words, and nearly the features.

    Rounding turns a word sooner or later, and what follows is another text, not a wrong one.
    """
    check = told["check"]
    return bool(check["same_tokens"] >= check["of"] // 3 and check["cosine"] > 0.99)


def peers_block(report: Mapping[str, Any] | None) -> str:
    """The peers, the check they passed, and who was not there."""
    if report is None:
        return MISSING
    engines = report["engines"]
    checks = [
        f"| {name} | {told['check']['same_tokens']} of {told['check']['of']} |"
        f" {told['check']['cosine']} |"
        for name, told in engines.items()
    ]
    head = f"| engine | words as {REFERENCE} | cosine of the features |\n|---|---|---|"
    parts = [_about(report), table(PEER_ROWS, engines, ratio=True), "\n".join([head, *checks])]
    busy = [t["others"] for told in report["rounds"].values() for f in told.values() for t in f]
    if busy:
        parts.append(f"Cores that other processes used meanwhile: at most {max(busy):.2f}.")
    parts += [f"Not there: {name} ({told})." for name, told in report["skipped"].items()]
    return "\n\n".join(parts)


def stages_block(report: Mapping[str, Any] | None) -> str:
    """The stages of one question."""
    if report is None:
        return MISSING
    columns = {told["name"]: told for told in report["engines"] if "error" not in told}
    asked = f"Model {report['model']}, picture {report['picture']}."
    return "\n\n".join([_about(report), asked, table(STAGE_ROWS, columns)])


def _about(report: Mapping[str, Any]) -> str:
    hardware = report["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return (
        f"{report['date'][:10]}, {hardware['cpu']}, {hardware['cpus_used']} processors"
        f" ({', '.join(hardware['features'])}); {versions}."
    )


def placed(page: str, name: str, block: str) -> str:
    """The page with a block between its marks; ValueError where they are missing."""
    begin, end = f"<!-- {name}: python -m benchmarks.speed_page -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"the page lacks the marks {begin} and {end}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def blocks(results: Path) -> Iterator[tuple[str, str]]:
    """Every block of the page, by its name."""
    yield "peers", peers_block(_read(results / "peers.json"))
    yield "stages", stages_block(_read(results / "bench.json"))


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main() -> None:
    """Write the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, block in blocks(RESULTS):
        page = placed(page, name, block)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
