"""The test of E1: 861 drawings by an artist who was never trained on, and how a report is made.

`items/e1_openmoji.jsonl` says for each drawing which words count (`keywords`), which wrong names
stand beside the right one (`distractors`) and whether the thing was withheld from every training
source (`withheld`); the pictures come from the asset pack. `recall` asks openly (E1c), `choice`
lets the model choose (E1a).
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import smolvlm
from recipes.embedded.pack import AssetPack
from smolvlm.api import Assistant
from smolvlm.cli import machine
from smolvlm.errors import InputError
from smolvlm.evaluation.bootstrap import estimate
from smolvlm.weights.embedded import assemble

QUESTION = "What is this?"
ITEMS = Path(__file__).parent / "items" / "e1_openmoji.jsonl"
MARGIN = 1.1  # side of the white square per longest side of the drawing
GREY = Image.new("RGB", (448, 448), (128, 128, 128))


@dataclass(frozen=True)
class Item:
    """One drawing of the test."""

    id: str  # the emoji's code points
    label: str
    group: str
    keywords: tuple[str, ...]
    withheld: bool
    distractors: tuple[str, ...]


def read_items(limit: int | None = None) -> list[Item]:
    """The items in a fixed random order, so that any first part is a fair sample."""
    lines = ITEMS.read_text(encoding="utf-8").splitlines()
    items = [_item(json.loads(line)) for line in lines]
    random.Random(0).shuffle(items)
    return items[:limit]


def _item(row: Mapping[str, Any]) -> Item:
    return Item(
        id=row["id"],
        label=row["label"],
        group=row["group"],
        keywords=tuple(row["keywords"]),
        withheld=row["withheld"],
        distractors=tuple(row["distractors"]),
    )


def pictures(pack: AssetPack, items: Sequence[Item]) -> Iterator[Image.Image]:
    """The drawing of each item on white, opened as its turn comes.

    `InputError` at once when the pack lacks one of them.
    """
    rows = {pack.row(i)["concept"]: i for i in pack.indices("test")}
    missing = [item.label for item in items if item.id not in rows]
    if missing:
        raise InputError(
            f"the asset pack lacks {len(missing)} test drawings, such as {missing[0]!r};"
            " build it with `python -m recipes.embedded.assets build`"
        )
    return (on_white(pack.image(rows[item.id])) for item in items)


def on_white(drawing: Image.Image) -> Image.Image:
    """An RGBA drawing on a white square with a small margin, RGB."""
    side = round(max(drawing.size) * MARGIN)
    picture = Image.new("RGB", (side, side), "white")
    picture.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2), drawing)
    return picture


def levels(items: Sequence[Item], right: Sequence[bool]) -> dict[str, Any]:
    """Scores of all items, of the withheld and the other ones, and of each group."""
    pairs = list(zip(items, right, strict=True))
    groups = sorted({item.group for item in items})
    return {
        "score": score(right),
        "withheld": score([r for item, r in pairs if item.withheld]),
        "not_withheld": score([r for item, r in pairs if not item.withheld]),
        "groups": {g: score([r for item, r in pairs if item.group == g]) for g in groups},
    }


def score(right: Sequence[bool]) -> dict[str, Any] | None:
    """The share that is right with its 95 % interval; None of nothing."""
    if not right:
        return None
    found = {key: round(value, 4) for key, value in asdict(estimate(right)).items()}
    return {"n": len(right), **{key: found[key] for key in ("value", "low", "high")}}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that both evaluations have."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--pack", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True, help="the report, a JSON file")
    options.add_argument("--model", default="embedded", help="a name or a folder")
    options.add_argument("--assets", type=Path, help="assemble the model from `publish --out`")
    options.add_argument("--precision", help="as of smolvlm.load")
    options.add_argument("--limit", type=int, help="ask about so many items only")
    return options


def load(args: argparse.Namespace) -> Assistant:
    """The model the options name. One tile a picture: it was trained on no other prompt."""
    model = assemble(args.assets) if args.assets else args.model
    return smolvlm.load(model, precision=args.precision, max_tiles=1)


def facts(args: argparse.Namespace, assistant: Assistant, task: str) -> dict[str, Any]:
    """The head of a report: what was asked, of which model, when and on what; no paths."""
    info = assistant.info()
    return {
        "task": task,
        "question": QUESTION,
        "model": info.folder.name if args.assets or Path(args.model).exists() else args.model,
        "date": datetime.date.today().isoformat(),
        "hardware": machine.cpu_name(),
        "smolvlm": smolvlm.__version__,
        "engine": asdict(info.engine),
    }


def write(report: Mapping[str, Any], out: Path, *, shown: Sequence[str]) -> None:
    """Keep the whole report, print some of it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: report[key] for key in shown}, indent=1))
