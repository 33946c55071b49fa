"""The options about speed: their claimed defaults are the real ones, and they reach the API."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from smolvlm.cli import bench
from smolvlm.cli.main import app
from smolvlm.options import Options
from smolvlm.types import GenerationSettings
from tests.cli.conftest import Cli


def test_every_option_about_speed_reaches_the_api(cli: Cli, picture: Path, tmp_path: Path) -> None:
    result = cli.run(
        *("ask", picture, "What?", "--budget", "256tok", "--feature-cache", "0"),
        *("--prefix-cache", "7", "--disk-cache", tmp_path, "--disk-cache-limit", "9"),
        *("--lookup", "4", "--keep-repeating"),
        replies=("x",),
    )
    assert result.exit_code == 0, result.output
    load, stream = cli.calls
    assert load == {
        "load": "embedded", "budget": "256tok", "feature_cache": 0, "prefix_cache": 7,
        "disk_cache": str(tmp_path), "disk_cache_limit": 9,
    }  # fmt: skip
    assert stream == {
        "question": "What?", "pictures": [(40, 30)], "lookup": 4, "keep_repeating": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["feature_cache", "prefix_cache", "disk_cache_limit", "lookup"])
def test_the_defaults_in_the_help_are_the_real_ones(name: str) -> None:
    real = {**vars(GenerationSettings()), **vars(Options())}
    command: Any = typer.main.get_command(app)
    [option] = [p for p in command.commands["ask"].params if p.name == name]
    found = re.search(r"\[default: (.*)\]", option.help)
    assert found and found[1] == str(real[name])


def test_the_defaults_of_bench_are_those_of_its_settings() -> None:
    real = vars(bench.Wanted("m"))
    command: Any = typer.main.get_command(app)
    for option in command.commands["bench"].params:
        if option.name in ("side", "new_tokens", "rounds"):
            assert option.default == real[option.name]
            assert f"{real[option.name]}." in option.help
