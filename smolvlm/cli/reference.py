"""`docs/cli.md`, generated from the program itself.

    python -m smolvlm.cli.reference > docs/cli.md

A test fails when the committed page differs. Only what was written in `main.py` and `flags.py`
goes into it, nothing of how typer happens to lay out a help page.
"""

from __future__ import annotations

import inspect
from typing import Any

import typer

from smolvlm.cli.main import app

HEAD = """\
# The command line

<!-- Generated: python -m smolvlm.cli.reference > docs/cli.md -->

"""
EXIT_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | `doctor`: the default engine cannot run here |
| 2 | something has to be changed by you; one line `error: ...` on standard error says what |
| 130 | stopped with Ctrl-C |
| 141 | whatever read the output went away |

The answer alone goes to standard output; everything about it goes to standard error. `NO_COLOR` and
output that is no terminal give plain text.
"""


def page() -> str:
    """The whole page as Markdown."""
    root: Any = typer.main.get_command(app)
    commands = [_command(name, command) for name, command in root.commands.items()]
    return HEAD + "\n".join([_paragraphs(root.help), *commands, EXIT_CODES])


def _command(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["smolvlm", name, *map(_usage, arguments), *["[OPTIONS]"] * bool(options)])
    parts = [f"## `smolvlm {name}`\n", f"```\n{usage}\n```\n", _paragraphs(command.help)]
    parts += _rows("argument", [(a.metavar or a.name, a.help) for a in arguments])
    parts += _rows("option", [(_flags(o), _option_help(o)) for o in options])
    return "\n".join(parts)


def _usage(argument: Any) -> str:
    several = "..." if argument.nargs != 1 else ""
    shown = f"{argument.metavar or argument.name}{several}"
    return shown if argument.required else f"[{shown}]"


def _flags(option: Any) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag else f"{names} {option.metavar}"


def _option_help(option: Any) -> str:
    default = option.default
    shown = f" [default: {default}]" if isinstance(default, str) else ""
    return f"{option.help}{shown}"


def _rows(kind: str, rows: list[tuple[str, str]]) -> list[str]:
    """A Markdown table; nothing for no rows."""
    if not rows:
        return []
    cells = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
    return ["\n".join([f"| {kind} | |", "|---|---|", *cells, ""])]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _paragraphs(text: str) -> str:
    """A docstring with each of its paragraphs on one line."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(p.split()) for p in paragraphs) + "\n"


if __name__ == "__main__":
    print(page(), end="")
