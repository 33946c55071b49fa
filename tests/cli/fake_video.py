"""The commands about clips with a stand-in for the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from smolvlm.cli.main import app
from tests.video.stand_in import StandIn


@dataclass
class Command:
    """One command, run in this process; `loads` are the keywords that reached `api.load`."""

    name: str
    assistant: StandIn
    loads: list[dict[str, Any]] = field(default_factory=list)

    def load(self, model: str, **options: Any) -> StandIn:
        self.loads.append({"model": model, **options})
        return self.assistant

    def run(self, *arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [self.name, *map(str, arguments)])
