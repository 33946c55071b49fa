"""Suites in folders: what can be read, and every way in which one can be broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from smolvlm.errors import InputError
from smolvlm.evaluation.suite import read_suite
from tests.evaluation.players import show

TASK = {
    "name": "E8-colour", "title": "colours", "kind": "choice", "metrics": ["accuracy"],
    "items": "items/colour.jsonl", "target": 0.97,
}  # fmt: skip
ITEM = {
    "id": "1",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "path": "pictures/a.png"},
                {"type": "text", "text": "What colour?"},
            ],
        }
    ],
    "targets": ["Red."],
    "choices": ["Red.", "Blue."],
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(task: Any = TASK, item: Any = ITEM, *more: Any) -> Path:
        (tmp_path / "items").mkdir(exist_ok=True)
        (tmp_path / "pictures").mkdir(exist_ok=True)
        show("cat").save(tmp_path / "pictures" / "a.png")
        lines = [row if isinstance(row, str) else json.dumps(row) for row in (item, *more)]
        (tmp_path / "items" / "colour.jsonl").write_text("\n".join(lines) + "\n")
        (tmp_path / "items" / "text.jsonl").write_text(
            json.dumps(
                {"id": "1", "messages": [{"role": "user", "content": "Hi"}], "targets": ["a"]}
            )
        )
        text = {**TASK, "name": "E15", "kind": "likelihood", "metrics": ["perplexity"]}
        text["items"] = "items/text.jsonl"
        data = {"name": "small", "version": "2", "tasks": [task, text]}
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(data))
        return tmp_path

    return make


def test_a_suite_is_read(write: Write) -> None:
    folder = write()
    suite = read_suite(folder)
    colour, text = suite.tasks
    assert (suite.name, suite.version) == ("small", "2")
    assert (colour.name, colour.kind, colour.metrics, colour.target, colour.max_new_tokens) == (
        "E8-colour", "choice", ("accuracy",), 0.97, 32,
    )  # fmt: skip
    [item] = colour.items
    assert (item.targets, item.choices) == (("Red.",), ("Red.", "Blue."))
    assert item.pictures == [folder / "pictures" / "a.png"]
    assert text.kind == "likelihood" and not text.has_pictures


def test_the_digest_changes_with_what_is_asked(write: Write) -> None:
    first = read_suite(write()).digest
    assert read_suite(write()).digest == first
    assert read_suite(write(TASK, {**ITEM, "targets": ["Blue."]})).digest != first
    assert read_suite(write({**TASK, "target": 0.9})).digest != first


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ([], ["E8-colour", "E15"]),
        (["E8"], ["E8-colour"]),
        (["E1*"], ["E15"]),
        (["E15", "E8-colour"], ["E8-colour", "E15"]),
        (["E15,E8"], ["E8-colour", "E15"]),
    ],
)
def test_tasks_are_selected(write: Write, wanted: list[str], names: list[str]) -> None:
    assert [task.name for task in read_suite(write()).select(wanted)] == names


def test_an_unknown_task_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match="no task 'E1'; it has: E8-colour, E15"):
        read_suite(write()).select(["E8", "E1"])


@pytest.mark.parametrize(
    ("task", "item", "words"),
    [
        ({**TASK, "metric": "x"}, ITEM, "key 'metric'; did you mean 'metrics'"),
        ({**TASK, "metrics": ["acuracy"]}, ITEM, "'acuracy'; did you mean 'accuracy'"),
        ({**TASK, "metrics": ["perplexity"]}, ITEM, "perplexity is no metric for the kind choice"),
        ({**TASK, "metrics": []}, ITEM, "no list of metrics"),
        ({**TASK, "kind": "guess"}, ITEM, "kind 'guess'; known: open, choice"),
        ({**TASK, "items": "gone.jsonl"}, ITEM, r"gone\.jsonl is missing; build"),
        ({k: v for k, v in TASK.items() if k != "title"}, ITEM, "lacks 'title'"),
        ("E7", ITEM, "task 1 is 'E7'; wanted a mapping"),
        (TASK, "{", "line 1 is not JSON"),
        (TASK, "[]", "line 1 is .*wanted an object"),
        (TASK, {**ITEM, "target": "x"}, "line 1 has the key 'target'; did you mean 'targets'"),
        (TASK, {**ITEM, "targets": []}, "cannot be answered"),
        (TASK, {**ITEM, "targets": ["Green."]}, "none among the choices"),
        (TASK, {**ITEM, "targets": "Red."}, "targets is 'Red.'; wanted a list"),
        (TASK, {**ITEM, "choices": []}, "choices belong to, and only to"),
        ({**TASK, "kind": "open"}, ITEM, "choices belong to, and only to"),
        (TASK, {**ITEM, "messages": []}, "conversation is empty"),
        (
            TASK,
            {
                **ITEM,
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "video", "path": "clip.mp4"}, "What is it?"],
                    }
                ],
            },
            "line 1: a suite holds words and paths of pictures",
        ),
        (
            TASK,
            {
                **ITEM,
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "path": "pictures/gone.png"}, "What is it?"],
                    }
                ],
            },
            r"line 1: the picture .*gone\.png is missing; build",
        ),
    ],
)
def test_a_broken_suite_is_named(write: Write, task: Any, item: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_suite(write(task, item))
    assert "\n" not in str(caught.value)


def test_an_id_stands_once(write: Write) -> None:
    with pytest.raises(InputError, match=r"colour\.jsonl is empty or has an id twice"):
        read_suite(write(TASK, ITEM, ITEM))


def test_a_folder_that_is_no_suite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no suite \(no suite\.yaml in it\); give `embedded`"):
        read_suite(tmp_path)
    with pytest.raises(InputError, match=r"gone is no suite \(there is no such folder\)"):
        read_suite(tmp_path / "gone")
    (tmp_path / "suite.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"suite\.yaml is no text in UTF-8"):
        read_suite(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "is not YAML"), ("- a", "no list of tasks"), ("", "no list of")]
)
def test_a_broken_suite_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_suite(tmp_path)
    assert "\n" not in str(caught.value)
