"""A suite is a folder: `suite.yaml` says which tasks there are, files of JSON lines hold the items.

    name: embedded
    version: "1"
    tasks:
      - name: E7
        title: counting 0 to 10
        kind: open                # or choice, likelihood
        metrics: [number, mae]    # names of `metrics.METRICS`; the first decides
        items: items/E7.jsonl
        max_new_tokens: 32        # optional
        target: 0.75              # optional

Each line of an item file is `{"id", "messages", "targets", "choices", "meta"}`; messages are in the
Hugging Face form, pictures `{"type": "image", "path": ...}` beneath the suite's folder. How a suite
is made is up to its maker (`recipes/embedded/suite` for the embedded one).
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from smolvlm.errors import InputError
from smolvlm.evaluation.metrics import METRICS
from smolvlm.evaluation.tasks import Item, Kind, Task
from smolvlm.processing.messages import parse_messages
from smolvlm.types import ImagePart, Message, Part, TextPart, VideoPart

SUITE_FILE = "suite.yaml"
_TASK_KEYS = ("name", "title", "kind", "metrics", "items", "max_new_tokens", "target")
_NEEDED_KEYS = ("name", "title", "kind", "metrics", "items")
_ITEM_KEYS = ("id", "messages", "targets", "choices", "meta")


@dataclass(frozen=True)
class Suite:
    """Tasks read from a folder. digest: changes with any file that says what is asked."""

    name: str
    version: str
    digest: str
    tasks: tuple[Task, ...]

    def select(self, wanted: Sequence[str]) -> tuple[Task, ...]:
        """The tasks that a name, a family (`E2`: E2a, E2b, E2a-worn) or a pattern (`E*`) fits."""
        patterns = [part.strip() for pattern in wanted for part in pattern.split(",")]
        for pattern in patterns:
            if not any(_fits(task.name, pattern) for task in self.tasks):
                known = ", ".join(task.name for task in self.tasks)
                raise InputError(f"the suite {self.name} has no task {pattern!r}; it has: {known}")
        return tuple(
            task for task in self.tasks
            if not patterns or any(_fits(task.name, pattern) for pattern in patterns)
        )  # fmt: skip


def _fits(name: str, pattern: str) -> bool:
    family = re.fullmatch(rf"{re.escape(pattern)}[a-z]?(?:-.*)?", name)
    return family is not None or fnmatch.fnmatchcase(name, pattern)


def read_suite(folder: Path) -> Suite:
    """Read and check a suite; `InputError` names the file and line of what is wrong."""
    path = folder / SUITE_FILE
    if not path.is_file():
        what = f"no {SUITE_FILE} in it" if folder.is_dir() else "there is no such folder"
        raise InputError(
            f"{folder} is no suite ({what}); give `embedded`, or a folder with a {SUITE_FILE}"
        )
    text = _read(path)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, Mapping) or not isinstance(data.get("tasks"), list):
        raise InputError(f"{path} has no list of tasks; wanted name, version and tasks")
    digest = hashlib.sha256(text.encode())
    tasks = []
    for number, entry in enumerate(data["tasks"], start=1):
        _check_task(entry, f"{path}: task {number}")
        lines = _read(folder / entry["items"])
        digest.update(lines.encode())
        tasks.append(_task(entry, _items(lines, folder, entry)))
    return Suite(
        str(data.get("name")), str(data.get("version")), digest.hexdigest()[:16], (*tasks,)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing; build or copy the suite again") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8") from None


def _check_task(entry: Any, where: str) -> None:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is {entry!r}; wanted a mapping with {', '.join(_NEEDED_KEYS)}")
    _check_keys(entry, _TASK_KEYS, _NEEDED_KEYS, where)
    if entry["kind"] not in get_args(Kind):
        raise InputError(
            f"{where} is of the kind {entry['kind']!r}; known: {', '.join(get_args(Kind))}"
        )
    if not isinstance(entry["metrics"], list) or not entry["metrics"]:
        raise InputError(f"{where} has no list of metrics")
    for metric in entry["metrics"]:
        if metric not in METRICS:
            raise InputError(f"{where} names the metric {metric!r}; {_nearest(metric, METRICS)}")
        if (METRICS[metric].value is None) != (entry["kind"] == "likelihood"):
            raise InputError(f"{where}: {metric} is no metric for the kind {entry['kind']}")


def _task(entry: Mapping[str, Any], items: tuple[Item, ...]) -> Task:
    options = {key: entry[key] for key in ("max_new_tokens", "target") if key in entry}
    return Task(
        name=str(entry["name"]),
        title=str(entry["title"]),
        kind=entry["kind"],
        metrics=tuple(entry["metrics"]),
        items=items,
        **options,
    )


def _items(lines: str, folder: Path, entry: Mapping[str, Any]) -> tuple[Item, ...]:
    items = []
    for number, line in enumerate(lines.splitlines(), start=1):
        where = f"{folder / entry['items']}: line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where} is not JSON: {error}") from None
        if not isinstance(row, Mapping):
            raise InputError(f"{where} is {row!r}; wanted an object")
        items.append(_item(row, folder, where))
        if (entry["kind"] == "choice") != bool(items[-1].choices):
            raise InputError(f"{where}: choices belong to, and only to, the kind choice")
    if len({item.id for item in items}) < len(items) or not items:
        raise InputError(f"{folder / entry['items']} is empty or has an id twice")
    return tuple(items)


def _item(row: Mapping[str, Any], folder: Path, where: str) -> Item:
    _check_keys(row, _ITEM_KEYS, ("id", "messages", "targets"), where)
    targets, choices = row["targets"], row.get("choices", [])
    for name, texts in (("targets", targets), ("choices", choices)):
        if not isinstance(texts, list) or not all(isinstance(t, str) and t for t in texts):
            raise InputError(f"{where}: {name} is {texts!r}; wanted a list of texts")
    if not targets or (choices and not set(targets) & set(choices)):
        raise InputError(f"{where} cannot be answered: no target, or none among the choices")
    messages = tuple(_placed(m, folder, where) for m in parse_messages(row["messages"]))
    item = Item(str(row["id"]), messages, tuple(targets), tuple(choices), meta=row.get("meta", {}))
    for picture in item.pictures:  # now, and not after half an hour of questions
        if not picture.is_file():
            raise InputError(f"{where}: the picture {picture} is missing; build the suite again")
    return item


def _placed(message: Message, folder: Path, where: str) -> Message:
    """A message whose pictures are looked for beneath the suite's folder."""
    return Message(message.role, tuple(_placed_part(part, folder, where) for part in message.parts))


def _placed_part(part: Part, folder: Path, where: str) -> Part:
    if isinstance(part, TextPart):
        return part
    if isinstance(part, ImagePart) and isinstance(part.source, str | Path):
        return ImagePart(folder / part.source)
    if isinstance(part, VideoPart) and _are_paths(part.source):
        return VideoPart([folder / path for path in part.source], part.options)
    raise InputError(
        f"{where}: a suite holds words and paths of pictures; give a clip as the list of its"
        " frames' paths"
    )


def _are_paths(source: Any) -> bool:
    return isinstance(source, list) and all(isinstance(path, str | Path) for path in source)


def _check_keys(
    row: Mapping[str, Any], known: Sequence[str], needed: Sequence[str], where: str
) -> None:
    for key in row:
        if key not in known:
            raise InputError(f"{where} has the key {key!r}; {_nearest(str(key), known)}")
    for key in needed:
        if key not in row:
            raise InputError(f"{where} lacks {key!r}")


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
