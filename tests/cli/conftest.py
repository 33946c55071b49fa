"""The program with a fake model: inside this process, and as one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from smolvlm.cli.main import app
from tests.cli.fake_program import install

ROOT = Path(__file__).parents[2]
Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


@dataclass
class Cli:
    """The commands, run in this process; `calls` is what reached the API."""

    replies: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self, *arguments: str | Path, replies: tuple[str, ...] = (), stdin: Any = None
    ) -> Result:
        self.replies[:] = replies
        self.calls.clear()
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    made = Cli()
    install(monkeypatch.setattr, made.replies, made.calls)
    return made


@pytest.fixture
def program() -> Program:
    """Runs the program as a process; `fake=False` is the real one."""

    def run(
        *arguments: str | Path, replies: tuple[str, ...] = (), fake: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command(*arguments, fake=fake),
            capture_output=True,
            cwd=ROOT,
            env=environment(replies),
            **options,
        )

    return run


def command(*arguments: str | Path, fake: bool = True) -> list[str]:
    """The command line of the program."""
    module = "tests.cli.fake_program" if fake else "smolvlm"
    return [sys.executable, "-m", module, *map(str, arguments)]


def environment(replies: tuple[str, ...]) -> dict[str, str]:
    """The variables the fake program needs."""
    return {**os.environ, "FAKE_REPLIES": json.dumps(replies), "NO_COLOR": "1"}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A real picture of 40 x 30 pixels."""
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), (200, 0, 0)).save(path)
    return path
