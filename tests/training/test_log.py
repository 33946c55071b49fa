"""Lines, skips, means, and going back to an earlier step."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from smolvlm.errors import InputError
from smolvlm.training.loader import Skip
from smolvlm.training.log import Log, Means, Report, check_skipped


def report(step: int, held_out: float | None = None) -> Report:
    return Report(
        step=step, steps=9, loss=1.25, tasks={"a": 1.0}, norm=0.5, rates={"text": 1e-3}, samples=4,
        tokens=400, seconds=0.5, elapsed=2.0, eta=3.0, tflops=0.5, skipped=1, held_out=held_out,
        held_out_tasks={"a": 2.0},
    )  # fmt: skip


def test_lines_say_how_fast_and_how_good(tmp_path: Path) -> None:
    log = Log(tmp_path / "out")
    log.write(report(1))
    log.write(report(2, held_out=1.5))
    first, second = map(json.loads, (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    assert (first["samples_per_s"], first["tokens_per_s"], first["tflops"]) == (8.0, 800.0, 0.5)
    assert "held_out" not in first
    assert (second["held_out"], second["held_out_tasks"]) == (1.5, {"a": 2.0})


def test_rewinding_drops_later_steps_and_half_lines(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in (1, 2, 3):
        log.write(report(step))
        log.write_skips(step, [Skip(f"k{step}", "broken")])
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    log.rewind(2)
    for name in ("log.jsonl", "skipped.jsonl"):
        assert [json.loads(x)["step"] for x in (tmp_path / name).read_text().splitlines()] == [1, 2]
    Log(tmp_path / "new").rewind(5)


def test_curves_for_tensorboard(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.rewind(-1)
    log.write(report(1, held_out=1.5))
    log.rewind(0)  # as a run that goes on does
    log.write(report(1))
    log.close()
    points, purged = curves(tmp_path)
    assert points["loss"] == (1, 1.25) and points["tasks/a"] == (1, 1.0)
    assert points["held_out"] == (1, 1.5) and points["rates/text"][0] == 1
    assert purged == [1]


def curves(folder: Path) -> tuple[dict[str, tuple[int, float]], list[int]]:
    """The points by name, and from where on a later run took back those of an earlier one.

    Read as TFRecords of events: length and two checksums around each message.
    """
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    points: dict[str, tuple[int, float]] = {}
    purged: list[int] = []
    for file in sorted((folder / "tensorboard").iterdir()):
        data = file.read_bytes()
        while len(data) >= 16 + int.from_bytes(data[:8], "little"):
            size = int.from_bytes(data[:8], "little")
            event, data = event_pb2.Event.FromString(data[12 : 12 + size]), data[16 + size :]
            points |= {value.tag: (event.step, value.simple_value) for value in event.summary.value}
            purged += [event.step] if event.file_version and event.step else []
    return points, purged


def test_one_in_a_hundred_may_be_left_out(tmp_path: Path) -> None:
    for skipped, seen in ((0, 1), (2, 2), (2, 200), (10, 1000)):
        check_skipped(skipped, seen, tmp_path)
    for skipped, seen in ((3, 3), (3, 200), (11, 1000)):
        with pytest.raises(InputError, match=f"{skipped} of {seen} samples"):
            check_skipped(skipped, seen, tmp_path / "skipped.jsonl")


def test_means_are_over_tokens_and_join() -> None:
    one, two = Means(), Means()
    one.add("a", 6.0, 2)
    two.add("a", 0.0, 1)
    two.add("b", 4.0, 1)
    two.add("empty", 0.0, 0)
    one.join(two)
    assert one.of_tasks() == {"a": 2.0, "b": 4.0}
    assert one.of_all() == 2.5
    assert math.isnan(Means().of_all())
