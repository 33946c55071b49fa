"""`docs/cli.md` is what the program says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from smolvlm.cli import reference
from smolvlm.cli.main import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text() == reference.page(), (
        "stale; run: python -m smolvlm.cli.reference > docs/cli.md"
    )


def test_every_command_and_option_is_on_it_and_described() -> None:
    page = reference.page()
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        assert f"## `smolvlm {name}`" in page
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"
            assert all(option in page for option in parameter.opts if option.startswith("-"))
