"""`smolvlm models` and `smolvlm pull`, with the hub answered for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smolvlm.catalog import CATALOG
from smolvlm.cli import models
from smolvlm.errors import DownloadError
from tests.cli.conftest import Cli


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Replaces the hub by one that holds only the 256M; what it was asked."""
    calls: list[dict[str, Any]] = []

    def find_model(name: str, **options: Any) -> Path:
        calls.append({"name": name, **options})
        if options.get("offline") and name != "256m":
            raise DownloadError(f"{name} is not in the cache")
        return tmp_path

    monkeypatch.setattr(models.hub, "find_model", find_model)
    return calls


def test_table(cli: Cli, asked: list[dict[str, Any]]) -> None:
    result = cli.run("models")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.startswith("name")
    assert [row.split()[0] for row in rows] == [entry.name for entry in CATALOG]
    column = header.index("on disk")
    told = {row.split()[0]: row[column:].split()[0] for row in rows}
    assert told["256m"] == "yes" and told["500m"] == "no"
    # Listing never fetches.
    assert all(call["offline"] is True for call in asked)


def test_the_embedded_model_is_never_built_by_looking(
    cli: Cli, asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.embedded, "assembled_folder", lambda: tmp_path / "model")
    assert models.on_disk("embedded") is False
    (tmp_path / "model").mkdir()
    assert models.on_disk("160m") is True
    assert asked == []


@pytest.mark.parametrize("name", ["256m", "HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "V2-256M"])
def test_details(cli: Cli, asked: list[dict[str, Any]], name: str) -> None:
    result = cli.run("models", name)
    told = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    told = {key: value.strip() for key, value in told.items()}
    assert told["patch grid"] == "32 x 32 patches of 16 pixels"
    assert told["pixel shuffle"] == "factor 4"
    assert told["visual tokens"] == "64 a tile"
    assert told["parameters"] == "256,484,928"
    assert told["on disk"] == "yes"


def test_unknown_name(cli: Cli) -> None:
    result = cli.run("models", "265m")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean '256m'?" in result.stderr


@pytest.mark.parametrize("written", [True, False])
def test_scores_of_the_embedded_model(
    cli: Cli,
    asked: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: bool,
) -> None:
    monkeypatch.setattr(models.resources, "files", lambda package: tmp_path)
    if written:
        card = tmp_path / models.CARD
        card.parent.mkdir(parents=True)
        card.write_text(json.dumps({"scores": {"E1 keyword recall": 0.125}, "limits": "No faces."}))
    result = cli.run("models", "embedded")
    assert result.exit_code == 0
    assert ("score: E1 keyword recall" in result.stdout) is written
    assert ("No faces." in result.stdout) is written


@pytest.mark.parametrize(("offline", "wanted"), [(False, None), (True, True)])
def test_pull(
    cli: Cli, asked: list[dict[str, Any]], tmp_path: Path, offline: bool, wanted: bool | None
) -> None:
    result = cli.run("pull", "256m", "--revision", "v1", *["--offline"] * offline)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}\n")
    assert asked == [
        {"name": "256m", "revision": "v1", "offline": wanted, "refresh": not offline}
    ]  # fmt: skip


def test_pull_of_what_is_not_there(cli: Cli, asked: list[dict[str, Any]]) -> None:
    result = cli.run("pull", "500m", "--offline")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: 500m is not in the cache\n"
