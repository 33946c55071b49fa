"""From item lists to a suite folder that `smolvlm eval` reads.

Pictures are drawn from their seeds and written once each under a name made from their pixels. A
suite replaces an older one only when it is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from recipes.embedded.materials import Materials
from recipes.embedded.suite.rows import ITEMS, Plan, Row, read_rows, write_rows
from smolvlm.evaluation.suite import SUITE_FILE
from smolvlm.types import Message, Part, TextPart, VideoPart

VERSION = "1"
PICTURES = "pictures"

Tell = Callable[[str, int], None]  # task, number of items


def write_lists(
    plans: Sequence[Plan], materials: Materials, tell: Tell, *, folder: Path = ITEMS
) -> None:
    """Write the committed item list of every plan that has one."""
    for plan in plans:
        if plan.listed:
            rows = plan.source.rows(materials, plan.name)
            write_rows(list_path(plan, folder), rows)
            tell(plan.name, len(rows))


def list_path(plan: Plan, folder: Path = ITEMS) -> Path:
    """Where the item list of a plan is kept: `E9-place` in `e9_place.jsonl`."""
    return folder / f"{plan.name.lower().replace('-', '_')}.jsonl"


def build(
    plans: Sequence[Plan], materials: Materials, out: Path, tell: Tell, *, lists: Path = ITEMS
) -> None:
    """Draw every item and write the suite to `out`, in place of what was there."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / PICTURES).mkdir(parents=True)
    (part / "items").mkdir()
    for plan in plans:
        rows = (
            read_rows(list_path(plan, lists))
            if plan.listed
            else plan.source.rows(materials, plan.name)
        )
        lines = [item(row, plan.source.message(row, materials), part) for row in rows]
        write_rows(part / items_path(plan), lines)
        tell(plan.name, len(lines))
    tasks = [task_entry(plan) for plan in plans]
    data = {"name": "embedded", "version": VERSION, "tasks": tasks}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    (part / SUITE_FILE).write_text(text, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def items_path(plan: Plan) -> str:
    """Where the items of a task lie in the suite."""
    return f"items/{plan.name}.jsonl"


def task_entry(plan: Plan) -> dict[str, Any]:
    """A task as `suite.yaml` has it."""
    entry: dict[str, Any] = {
        "name": plan.name,
        "title": plan.title,
        "kind": plan.kind,
        "metrics": list(plan.metrics),
        "items": items_path(plan),
        "max_new_tokens": plan.max_new_tokens,
    }
    return entry if plan.target is None else {**entry, "target": plan.target}


def item(row: Row, message: Message, suite: Path) -> dict[str, Any]:
    """A row as a line of the suite; its pictures are written."""
    content = [_content(part, suite) for part in message.parts]
    line: dict[str, Any] = {
        "id": row["id"],
        "messages": [{"role": message.role, "content": content}],
        "targets": row["targets"],
    }
    if "choices" in row:
        line["choices"] = row["choices"]
    if "meta" in row:
        line["meta"] = row["meta"]
    return line


def _content(part: Part, suite: Path) -> dict[str, Any]:
    """A part as it stands in the suite; a clip is the list of its frames."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, VideoPart):
        return {"type": "video", "video": [save(frame, suite) for frame in part.source]}
    return {"type": "image", "path": save(part.source, suite)}


def save(picture: Image.Image, suite: Path) -> str:
    """Write a picture unless it is there; returns its path in the suite."""
    pixels = picture.convert("RGB")
    digest = hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()[:16]
    path = suite / PICTURES / f"{digest}.png"
    if not path.exists():
        pixels.save(path)
    return path.relative_to(suite).as_posix()
