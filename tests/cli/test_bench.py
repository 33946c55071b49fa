"""`smolvlm bench`: the table, the report, several engines in turn, one that cannot run, `--fit`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smolvlm.cli import bench
from smolvlm.engines.choose import choose_for
from smolvlm.engines.fitted_costs import find_costs
from smolvlm.evaluation.speed import Limits, Round
from smolvlm.processing.budget import Costs
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.cli.conftest import Cli

TURNS: list[str] = []


class FakeWorker:
    """As `bench_worker.Worker`; "int8" cannot open the model, "f32" breaks in its second round."""

    def __init__(self, name: str, asked: Any) -> None:
        self.name, self.asked, self.load_ms, self.count = name, asked, 50.0, 0
        self.error = "there is no such model" if name == "int8" else None
        self.closed = False

    def round(self, new_tokens: int) -> Round | None:
        TURNS.append(self.name)
        self.count += 1
        if self.name == "f32" and self.count == 2:
            self.error = "the process ended with code -8"
            return None
        return Round(1.0, 2.0, 10.0 * self.count, 4.0, 0.5, 5.0)

    def describe(self) -> dict[str, Any]:
        engine = {"name": "openvino", "precision": self.name, "device": "CPU"}
        work = {"vision": 4e9, "prefill": 2e9, "token_bytes": 1e7}
        return {"engine": engine, "peak_bytes": 100 * 2**20, "work": work, "tiles": 1}

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(bench, "Worker", FakeWorker)
    monkeypatch.setattr(bench, "_limits", lambda kind: Limits(flops=1e12, bandwidth=1e10))
    yield
    TURNS.clear()


def test_engines_take_turns_and_the_first_round_does_not_count(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    arguments = ("bench", "--precision", "bf16", "--precision", "int8", "--precision", "f32")
    result = cli.run(*arguments, "--rounds", "3", "--out", out)
    assert result.exit_code == 0, result.output
    assert TURNS == ["bf16", "f32", "bf16", "f32", "bf16", "bf16"]
    report = json.loads(out.read_text())
    good, refused, broken = report["engines"]
    assert [r["vision"] for r in good["rounds"]] == [20.0, 30.0, 40.0]
    assert good["vision_ms"] == 30.0 and good["ttft_ms"] == 37.5
    assert good["vision_share"] == pytest.approx(4e9 / 0.03 / 1e12)
    assert good["decode_share"] == pytest.approx(1e7 / 0.005 / 1e10)
    assert refused == {"name": "int8", "error": "there is no such model"}
    assert broken["error"] == "the process ended with code -8"
    assert report["hardware"]["cpus_used"] >= 1 and report["limits"]["bf16"]["flops"] == 1e12
    head, row, *_ = result.stdout.splitlines()
    assert head.split()[:2] == ["engine", "decode"] and row.startswith("openvino bf16")
    assert "100 MiB" in row and "200.0" in row
    assert "int8 cannot run: there is no such model" in result.stderr


def test_nothing_that_can_run_is_an_error(cli: Cli) -> None:
    result = cli.run("bench", "--precision", "int8")
    assert result.exit_code == 2 and "int8: there is no such model" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rounds", "0"), "rounds is 0"),
        (("--new-tokens", "1"), "new_tokens is 1; wanted at least 2"),
        (("--side", "0"), "side is 0"),
        (("--precision", "int3"), "no engine has a precision 'int3'"),
        (("--engine", "onnx"), "there is no engine 'onnx'"),
        (("--picture", "none.png"), "none.png cannot be read"),
        (("--out", "no/such/folder/x.json"), "cannot be written"),
    ],
)
def test_bad_requests(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    result = cli.run("bench", *arguments)
    assert result.exit_code == 2 and message in result.stderr, result.output
    assert not TURNS


def test_fit_keeps_costs_for_a_budget_in_time(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Path
) -> None:
    """Without the fake model: a tiny one is fitted, then a budget in milliseconds can be read."""
    from smolvlm import api

    monkeypatch.undo()
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    folder = make_tiny("SmolVLM-256M-Instruct", tmp_path / "tiny", tokenizer=True)
    with pytest.raises(Exception, match="smolvlm bench --fit"):
        api.explain(folder, picture, precision="f32", budget="500ms")
    result = cli.run("bench", "--fit", "-m", folder, "--precision", "f32")
    assert result.exit_code == 0, result.output
    assert "kept in" in result.stderr and "token_squared" in result.stdout
    checkpoint = open_checkpoint(folder)
    costs = find_costs(checkpoint.fingerprint, choose_for(checkpoint, None, "f32"), None)
    assert isinstance(costs, Costs) and costs.tile > 0
    assert api.explain(folder, picture, precision="f32", budget="500ms").tiles >= 1
    assert api.explain(folder, picture, precision="f32", budget="1ms").tiles == 1
