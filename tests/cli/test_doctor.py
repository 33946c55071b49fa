"""`smolvlm doctor`: what it reports and when it exits with 1."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from smolvlm.cli import doctor
from smolvlm.engines import choose, openvino_compile
from smolvlm.engines.choose import CHOICES, Explanation
from tests.cli.conftest import Cli


def set_obstacles(monkeypatch: pytest.MonkeyPatch, *obstacles: str | None) -> None:
    told = [Explanation(row, why) for row, why in zip(CHOICES, obstacles, strict=True)]
    monkeypatch.setattr(doctor, "explain_choices", lambda: told)
    monkeypatch.setattr(openvino_compile, "has_mlp_kernel", lambda threads=None: False)
    monkeypatch.setattr(choose, "obstacle", lambda: "no tiles here")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_report(cli: Cli, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    set_obstacles(
        monkeypatch,
        "no tiles here",
        "no tiles here",
        "no bf16 here",
        None,
        None,
        None,
        "no GPU",
        None,
        None,
    )
    result = cli.run("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert any(line.startswith("python") for line in lines)
    assert any(
        line.startswith("numpy") and line.endswith(metadata.version("numpy")) for line in lines
    )
    assert any(line.startswith("cache") and str(cache) in line for line in lines)
    assert any(line.startswith("openvino bf16") and "no bf16 here" in line for line in lines)
    assert lines[-1] == "default: openvino f32 on cpu"


def test_no_engine_exits_with_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    set_obstacles(monkeypatch, *["broken"] * len(CHOICES))
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "default: none" in result.stdout


def test_an_unusable_cache_exits_with_1(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    set_obstacles(monkeypatch, *[None] * len(CHOICES))
    cache.write_text("a file where the folder should be")
    result = cli.run("doctor")
    assert result.exit_code == 1
    assert "unusable" in result.stdout and "SMOLVLM_CACHE" in result.stdout


def test_what_is_missing_says_how_to_get_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    set_obstacles(monkeypatch, *[None] * len(CHOICES))
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    told = cli.run("doctor").stdout
    assert "not installed, but needed (pip install numpy)" in told
    assert "optional (pip install 'smolvlm[torch]')" in told
    assert "ruff" not in told


def test_the_real_machine(cli: Cli) -> None:
    result = cli.run("doctor")
    assert result.exit_code == (1 if "default: none" in result.stdout else 0)
