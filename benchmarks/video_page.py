"""Put what clips and cameras cost into `docs/video.md`, from what was measured.

    python -m benchmarks.video_decode      # results/video_decode.json
    python -m benchmarks.watch             # results/watch.json
    python -m benchmarks.video_page

What has not been measured is left out. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "video.md"
BEGIN, END = "<!-- costs: python -m benchmarks.video_page -->", "<!-- end of costs -->"

Told = dict[str, Any]


def reading(told: Told) -> Iterator[tuple[str, str, str]]:
    """What reading by time costs: claim, figure, bound."""
    film, clip = told["film"], told["clip_720p"]
    yield (
        f"64 frames of a film of 2 hours: packets read, of {film['clip']['packets']}",
        f"{film['seeking']['packets']} ({film['share_of_packets']:.1%})",
        "all",
    )
    seconds = clip["seeking"]["seconds"], clip["decoding_all"]["seconds"]
    yield (
        "64 frames of 10 minutes of 720p: by seeking, and by decoding all of it",
        f"{seconds[0]:.2f} s, {seconds[1]:.1f} s",
        "",
    )
    if "answer" in told:
        share = told["answer"]["first"]["decode_and_sampling_share"]
        yield "the same, as a share of the whole answer, 256M", f"{share:.1%}", "25 %"
        what = "a second question about that clip, as a share of the first, 256M"
        yield what, _share(told["answer"]), "15 %"


def watching(told: Told) -> Iterator[tuple[str, str, str]]:
    """What a camera costs, and a second question."""
    if "questions" in told:
        found = told["questions"]
        what = (
            "a second question about a clip of 64 frames, as a share of the first, embedded model"
        )
        yield what, _share(found["all caches"]), "15 %"
        yield (
            "the same where only features are kept (`prefix_cache=0`)",
            _share(found["features alone"]),
            "",
        )
    if "steps" in told:
        steps = told["steps"]
        spent = f"{steps['unchanged_ms']['median']:.1f} of {steps['changed_ms']['median']:.0f} ms"
        share = steps["unchanged/changed"]
        yield (
            "a step in which nothing changed, of one in which something did",
            f"{share:.1%} ({spent})",
            "5 %",
        )
    if "simulation" in told:
        days = told["simulation"]
        grown = days["memory_last/first"] - 1
        hours = f"{days['hours']:g} hours of a camera, {days['speed']:g} times as fast"
        yield f"{hours}: growth of memory", f"{grown:.1%}", "5 %"
        yield "the same: oldest frame looked at", f"{days['oldest_frame_in_steps']:.1f} steps", "2"
    if "jpeg" in told:
        medians = [told["jpeg"][name]["median"] for name in ("taken_ms", "dropped_ms")]
        yield (
            "a frame of a 1920x1080 MJPEG camera: taken, dropped",
            ", ".join(f"{value:.2g} ms" for value in medians),
            "",
        )


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _share(answer: Told) -> str:
    return f"{answer['second/first']:.1%}"


def costs(results: Path) -> str:
    """What stands between the two marks of the page."""
    parts = []
    for name, rows in (("video_decode", reading), ("watch", watching)):
        path = results / f"{name}.json"
        if not path.exists():
            continue
        told = json.loads(path.read_text(encoding="utf-8"))
        lines = [f"| {what} | {found} | {bound} |" for what, found, bound in rows(told)]
        where = told if "date" in told else next(iter(told.values()))
        parts += [
            "\n".join(["| | measured | must stay below |", "|---|---|---|", *lines]),
            f"By `python -m benchmarks.{name}` ([JSON](../benchmarks/results/{path.name})),"
            f" {where['date']}, {where['cpu']}, {_cores(where['cpus_used'])}.",
        ]
    return "\n\n".join(parts) or "Not measured yet."


def placed(page: str, block: str) -> str:
    """The page with a block between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"the page lacks the marks {BEGIN} and {END}"
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


def main() -> None:
    """Write the page again."""
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), costs(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
