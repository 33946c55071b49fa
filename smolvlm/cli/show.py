"""Answers, plans and tables as people and programs read them.

Each function turns a result of the API into text, a table or a JSON-ready dict; none of them runs
anything. Tables have no frames, so that they read the same in a terminal, a pipe and a file.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smolvlm.api import ModelInfo
from smolvlm.cli.machine import peak_memory
from smolvlm.processing.plans import ClipPlan, PicturePlan, PromptPlan
from smolvlm.processing.video_prompt import clock
from smolvlm.types import Answer, Timings


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = ()) -> Table:
    """Left-aligned columns without a frame; cells are plain text, never markup."""
    made = Table(box=None, show_header=bool(header), pad_edge=False, padding=(0, 2, 0, 0))
    rows = [tuple(row) for row in rows]
    for name in header or [""] * len(rows[0]):
        made.add_column(name, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def print_table(made: Table, *, stderr: bool = False) -> None:
    """A table on stdout or stderr; never folded or padded where nobody looks at a terminal."""
    console = Console(stderr=stderr, highlight=False)
    if console.is_terminal:
        console.print(made)
        return
    plain = Console(file=io.StringIO(), width=10_000, highlight=False)
    with plain.capture() as captured:
        plain.print(made)
    for line in captured.get().splitlines():
        print(line.rstrip(), file=sys.stderr if stderr else sys.stdout)


def plan_json(plan: PromptPlan) -> dict[str, Any]:
    """A prompt's plan: each picture with its size in pixels, grid, tiles and tokens, each clip with
    its chosen frames and their times in seconds, then the totals.
    """
    return {
        "pictures": [
            {
                "height": picture.plan.height,
                "width": picture.plan.width,
                "rows": picture.plan.rows,
                "cols": picture.plan.cols,
                "tiles": picture.plan.num_tiles,
                "visual_tokens": picture.visual_tokens,
                "prompt_tokens": picture.prompt_tokens,
            }
            for picture in plan.pictures
        ],
        "clips": [
            {
                "name": clip.name,
                "height": clip.plan.height,
                "width": clip.plan.width,
                "duration": round(clip.duration, 3),
                "frames": clip.frames,
                "times": [round(time, 3) for time in clip.times],
                "stamps": list(clip.stamps),
                "visual_tokens": clip.visual_tokens,
                "prompt_tokens": clip.prompt_tokens,
            }
            for clip in plan.clips
        ],
        "tiles": plan.tiles,
        "visual_tokens": plan.visual_tokens,
        "text_tokens": plan.text_tokens,
        "prompt_tokens": plan.prompt_tokens,
        "context": plan.max_positions,
    }


def timings_json(timings: Timings) -> dict[str, float]:
    """Times in milliseconds and counts, the derived ones included."""
    derived = {name: getattr(timings, name) for name in ("ttft_ms", "tpot_ms", "tokens_per_s")}
    return {name: round(value, 3) for name, value in (asdict(timings) | derived).items()}


def answer_json(answer: Answer, plan: PromptPlan) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "answer": answer.text,
        "tokens": list(answer.tokens),
        "finish_reason": answer.finish_reason,
        "timings": timings_json(answer.timings),
        "plan": plan_json(plan),
    }


def plan_table(plan: PromptPlan, names: Sequence[str]) -> Table:
    """What `--explain` prints: one row per picture, one per clip, then the whole prompt."""
    rows = [_plan_row(name, picture) for name, picture in zip(names, plan.pictures, strict=True)]
    rows += map(_clip_row, plan.clips)
    totals = (str(plan.tiles), str(plan.visual_tokens), str(plan.prompt_tokens))
    rows.append(("words", "", "", "", "", str(plan.text_tokens)))
    rows.append((f"all (context {plan.max_positions})", "", "", *totals))
    header = ("picture", "width x height", "grid", "tiles", "visual tokens", "prompt tokens")
    return table(rows, header=header)


def _plan_row(name: str, picture: PicturePlan) -> tuple[str, ...]:
    plan = picture.plan
    grid = f"{plan.rows} rows x {plan.cols} cols + global" if plan.rows else "global view only"
    counts = (plan.num_tiles, picture.visual_tokens, picture.prompt_tokens)
    return (name, f"{plan.width} x {plan.height}", grid, *(str(count) for count in counts))


def _clip_row(clip: ClipPlan) -> tuple[str, ...]:
    frames = f"{clip.frames} frame{'s' if clip.frames > 1 else ''} of {clock(clip.duration)}"
    counts = (clip.frames, clip.visual_tokens, clip.prompt_tokens)
    size = f"{clip.plan.width} x {clip.plan.height}"
    return (clip.name, size, frames, *(str(count) for count in counts))


def clip_lines(plan: PromptPlan) -> list[str]:
    """A line for each clip with the times of its frames, as the prompt says them."""
    return [f"{clip.name} is seen at {' '.join(clip.stamps)}" for clip in plan.clips]


def stats_table(answer: Answer, info: ModelInfo, *, load_ms: float) -> Table:
    """What `--stats` prints: where the time of one answer went."""
    times, engine = answer.timings, info.engine
    tiles = times.visual_tokens // info.tokens_per_tile
    rows = [
        ("engine", f"{engine.name} {engine.precision} on {engine.device}"),
        ("threads", str(engine.threads)),
        ("load", milliseconds(load_ms)),
        ("preprocess", milliseconds(times.preprocess_ms)),
        ("vision", milliseconds(times.vision_ms)),
        ("prefill", milliseconds(times.prefill_ms)),
        ("first token (TTFT)", milliseconds(times.ttft_ms)),
        ("per token (TPOT)", milliseconds(times.tpot_ms)),
        ("tokens/s", f"{times.tokens_per_s:.1f}"),
        ("tiles", str(tiles)),
        ("visual tokens", str(times.visual_tokens)),
        ("prompt tokens", str(times.prompt_tokens)),
        ("new tokens", f"{times.new_tokens} ({answer.finish_reason})"),
        ("peak memory", size(peak_memory())),
    ]
    return table(rows)


def milliseconds(value: float) -> str:
    """A time for people: `12.3 ms`."""
    return f"{value:.1f} ms"


def size(count: int | None) -> str:
    """A number of bytes for people, in powers of 1024."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def parameters(count: int) -> str:
    """A number of weights for people: `256 M`, `2.2 B`."""
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"
