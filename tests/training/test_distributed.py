"""Two processes under torchrun against one with the same batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from smolvlm.errors import InputError
from smolvlm.training.distributed import World, _buckets, choose_device, join_world, use_threads
from smolvlm.training.state import newest_state

ROOT = Path(__file__).parents[2]


def run(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_compute_what_one_does_with_the_same_batch(
    tiny_folder: Path, tmp_path: Path
) -> None:
    program = ["tests.training.train_tiny", str(tiny_folder)]
    run([*program, str(tmp_path / "one" / "out")])
    torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    run([*torchrun, *program, str(tmp_path / "two" / "out")])
    told = []
    for name in ("one", "two"):
        lines = (tmp_path / name / "out" / "log.jsonl").read_text().splitlines()
        told.append([json.loads(line) for line in lines])
    assert len(told[0]) == len(told[1]) == 7  # the held-out losses before the first step, too
    assert told[1][0]["held_out"] == pytest.approx(told[0][0]["held_out"], abs=1e-4)
    for one, two in zip(told[0][1:], told[1][1:], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert two["tasks"] == pytest.approx(one["tasks"], abs=1e-3)
        assert two.get("held_out") == pytest.approx(one.get("held_out"), abs=1e-4)
        assert (two["step"], two["skipped"]) == (one["step"], one["skipped"])
    ends = [newest_state(tmp_path / name / "out" / "state") for name in ("one", "two")]
    assert ends[0] is not None and ends[1] is not None
    assert ends[0].seen == ends[1].seen == 24


def test_alone_nothing_is_asked_of_anybody() -> None:
    world = join_world(torch.device("cpu"))
    assert world == World() and world.first
    assert world.sum(torch.tensor([2.0])).tolist() == [2.0]
    assert world.gather("x") == ["x"]
    world.wait()
    world.close()
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="threads is 0"):
        use_threads(0)


def test_buckets_hold_every_parameter_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smolvlm.training.distributed.BUCKET_BYTES", 50)
    parameters = [torch.nn.Parameter(torch.zeros(n)) for n in (3, 20, 1, 9, 9, 2)]
    buckets = _buckets(parameters)
    assert [p for bucket in buckets for p in bucket] == parameters
    assert len(buckets) == 3
