"""The options of `smolvlm watch`: all arrive, and the defaults that the help names are real."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from smolvlm.cli import watching
from smolvlm.cli.main import app
from smolvlm.cli.watching import Wanted
from smolvlm.video.hysteresis import GAP, Thresholds
from smolvlm.video.watch import Plan


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Wanted, str, dict[str, Any]]]:
    calls: list[tuple[Wanted, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        watching, "run", lambda wanted, model, *, load: calls.append((wanted, model, load))
    )
    return calls


def test_every_option_arrives(called: list[tuple[Wanted, str, dict[str, Any]]]) -> None:
    result = CliRunner().invoke(
        app,
        [
            *("watch", "0", "--when", "a?", "--ask", "b?", "--every", "2s", "--threshold", "0.7"),
            *("--no-threshold", "0", "--hold", "5s", "--window", "3", "--sensitivity", "0.1"),
            *("--no-describe", "--save", "frames", "--out", "e.jsonl", "--speed", "2"),
            *("--max-steps", "9", "--max-new-tokens", "7", "-m", "256m", "--engine", "torch"),
            *("--precision", "bf16", "--threads", "1", "--offline", "--revision", "main"),
            *("--allow-url", "--allow-private"),
        ],
    )
    assert result.exit_code == 0, result.output
    [(wanted, model, load)] = called
    assert wanted == Wanted(
        "0", when="a?", ask="b?", every="2s", threshold=0.7, no_threshold=0.0, hold="5s", window=3,
        sensitivity=0.1, no_describe=True, save="frames", out="e.jsonl", speed=2.0, max_steps=9,
        max_new_tokens=7, allow_url=True, allow_private=True,
    )  # fmt: skip
    assert model == "256m"
    assert load == {
        "engine": "torch", "precision": "bf16", "threads": 1, "offline": True, "revision": "main"
    }  # fmt: skip


def test_what_is_left_out_is_left_to_the_defaults(
    called: list[tuple[Wanted, str, dict[str, Any]]],
) -> None:
    assert CliRunner().invoke(app, ["watch", "clip.mp4"]).exit_code == 0
    assert called == [(Wanted("clip.mp4"), "embedded", {})]
    # An empty question was given, and is an error rather than left out.
    CliRunner().invoke(app, ["watch", "clip.mp4", "--when", ""])
    assert called[1][0].when == ""


def test_the_defaults_in_the_help_are_the_real_ones() -> None:
    command: Any = typer.main.get_command(app)
    claims = {
        parameter.name: found[1]
        for parameter in command.commands["watch"].params
        if (found := re.search(r"\[default: (.*)\]", parameter.help or ""))
    }
    real = {field.name: field.default for field in fields(Wanted)}
    assert claims.pop("no_threshold") == f"{GAP:g} below"
    assert claims.pop("threads") == "all"
    assert len(claims) >= 7
    for name, claim in claims.items():
        assert claim == str(real[name]).removesuffix(".0"), name


def test_the_same_defaults_everywhere() -> None:
    plan = Wanted("0", when="a?").plan()
    assert (plan.window, plan.sensitivity, plan.describe) == (
        Plan().window, Plan().sensitivity, Plan().describe,
    )  # fmt: skip
    assert plan.thresholds.on == Thresholds().on
    assert plan.thresholds.off == pytest.approx(Thresholds().off)
    assert plan.thresholds.hold == Thresholds().hold
