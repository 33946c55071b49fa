"""The program as a whole: quick help, version, its defaults, both ways to start it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from smolvlm import __version__
from smolvlm.cli import flags
from smolvlm.cli.main import app
from smolvlm.errors import SmolVLMError
from smolvlm.options import Options
from smolvlm.types import GenerationSettings
from tests.cli.conftest import Cli, Program

HEAVY = ("torch", "openvino", "transformers", "numpy", "PIL", "rich", "huggingface_hub", "jinja2")


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from smolvlm.cli.main import main\n"
        "try: main()\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_every_command_is_listed_with_a_whole_sentence(cli: Cli) -> None:
    result = cli.run("--help")
    for name in ("ask", "chat", "models", "pull", "doctor"):
        [line] = [line for line in result.stdout.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(".") and not line.endswith("...")


def test_version_and_module(program: Program) -> None:
    done = program("--version", fake=False)
    assert (done.returncode, done.stdout.decode().strip()) == (0, f"smolvlm {__version__}")


def test_no_or_unknown_command_exits_with_2(cli: Cli) -> None:
    assert cli.run().exit_code == 2
    assert cli.run("asc").exit_code == 2


def test_closed_pipe_is_quiet_for_help_too(program: Program) -> None:
    line = f"{sys.executable} -m smolvlm ask --help | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True)
    assert done.stderr == b""


def defaults_named() -> dict[str, str]:
    """The defaults that help texts claim, by parameter."""
    command: Any = typer.main.get_command(app)
    claims = {}
    for parameter in command.commands["ask"].params:
        claim = re.search(r"\[default: (.*)\]", parameter.help or "")
        if claim:
            claims[parameter.name] = claim[1]
    return claims


def test_the_defaults_in_the_help_are_the_real_ones() -> None:
    real = {**vars(GenerationSettings()), **vars(Options())}
    claims = defaults_named()
    assert {"max_new_tokens", "temperature", "policy", "repetition_penalty"} <= set(claims)
    for name, claim in claims.items():
        if name == "threads":
            assert (claim, real[name]) == ("all", None)
        else:
            assert claim == str(real[name]).removesuffix(".0"), name


def test_given_keeps_zeros() -> None:
    assert flags.given(a=0, b=0.0, c="", d=None, e=False, f=[], g=True) == {
        "a": 0, "b": 0.0, "c": "", "g": True,
    }  # fmt: skip


def test_every_class_of_error_is_one_the_user_can_meet() -> None:
    waiting = [SmolVLMError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        assert kind.__doc__ and kind.__module__ == "smolvlm.errors"
