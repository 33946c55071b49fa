"""How every command speaks: consoles, one-line errors and warnings, exit codes, quiet endings.

Exit codes: 0 done, 1 a check failed (`doctor`), 2 the user has to change something, 130 stopped by
Ctrl-C, 141 the reader of the pipe went away. An exception that is none of the user's business keeps
its traceback. What a command prints is its own concern.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from smolvlm.errors import SmolVLMError

EXIT_CHECK_FAILED = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


@contextmanager
def reported() -> Iterator[None]:
    """Turn what may end a command early into a line on stderr and an exit code.

    Warnings become lines on stderr too; Python's filters decide which are shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            yield
        sys.stdout.flush()
    except SmolVLMError as error:
        print_error(error)
        raise typer.Exit(EXIT_USER) from None
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            typer.echo(err=True)  # the terminal has written ^C into the line
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        silence_stdout()
        raise typer.Exit(EXIT_BROKEN_PIPE) from None


@contextmanager
def waiting(text: str, *, shown: bool = True) -> Iterator[None]:
    """Something that moves on stderr meanwhile; nothing at all where stderr is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr: call it with what is done, how many are, of how many.

    Nothing where stderr is no terminal. What is printed meanwhile appears above it.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    progress = Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what goes into a file or a pipe stays on its way
        transient=True,
    )
    with progress as bars:
        bar = bars.add_task("", visible=False)  # nothing to show before the first call
        yield lambda what, done, total: bars.update(
            bar, description=what, completed=done, total=total, visible=True
        )


def say(text: str) -> None:
    """A line on stderr about what is on stdout."""
    typer.echo(text, err=True)


def print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """One line on stderr; the form is that of `warnings.showwarning`."""
    typer.echo(f"warning: {one_line(str(message))}", err=True)


def print_error(error: SmolVLMError) -> None:
    """One line on stderr, whatever names and messages of others it quotes."""
    typer.echo(f"error: {one_line(str(error))}", err=True)


def one_line(text: str) -> str:
    """The text without line breaks and without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else " " for c in text)


def silence_stdout() -> None:
    """Nobody reads stdout any more: let the flush at exit go nowhere instead of complaining."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
