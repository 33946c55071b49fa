"""`smolvlm chat`: a conversation about pictures, line by line.

At a terminal an error or Ctrl-C ends the turn it happened in and the conversation goes on; with
piped input the first error ends it, so that a script never goes on with half a conversation. What
the model has already read is kept by `Assistant.stream_chat`, not here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import typer

from smolvlm import api
from smolvlm.cli.arguments import STDIN, open_pictures
from smolvlm.cli.ask import check_settings, print_pieces
from smolvlm.cli.models import comes_from_hub
from smolvlm.cli.terminal import print_error, waiting
from smolvlm.errors import InputError, SmolVLMError
from smolvlm.processing.messages import visual_part
from smolvlm.types import ImagePart, Message, TextPart, VideoPart

HELP = """\
/image PATH   show a picture or clip with the next question
/clear        forget the conversation and its pictures
/help         this list
/quit         leave (so does the end of the input, Ctrl-D)"""
PROMPT = "> "


class Conversation:
    """The turns so far, and the pictures that wait for the next question."""

    def __init__(self, assistant: api.Assistant, *, generation: Mapping[str, Any], allow_url: bool):
        self._assistant = assistant
        self._generation = generation
        self._allow_url = allow_url
        self.messages: list[Message] = []
        self.waiting: list[ImagePart | VideoPart] = []

    def show_picture(self, path: str) -> None:
        """Open a picture now, so that what is wrong with it is said now."""
        if not path or path == STDIN:
            raise InputError("/image needs the path of a picture: /image cat.png")
        self.waiting += map(visual_part, open_pictures([path], allow_url=self._allow_url))

    def ask(self, question: str) -> None:
        """One turn: print the answer and remember both, unless the turn fails or is stopped."""
        turn = Message("user", (*self.waiting, TextPart(question)))
        messages = [*self.messages, turn]
        answer = print_pieces(self._assistant.stream_chat(messages, **self._generation))
        self.messages = [*messages, Message("assistant", (TextPart(answer.text),))]
        self.waiting = []

    def clear(self) -> None:
        """Forget everything that was said and shown."""
        self.messages, self.waiting = [], []


def run(
    pictures: Sequence[str],
    model: str,
    *,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
) -> None:
    """Talk until the input ends. `load` and `generation` are keywords of the API."""
    if STDIN in pictures:
        raise InputError("chat reads its questions from standard input; give pictures as files")
    check_settings(load, generation)
    allow_url = load.get("allow_urls", False)
    opened = open_pictures(pictures, allow_url=allow_url)
    with waiting("opening the model", shown=not comes_from_hub(model)):
        assistant = api.load(model, **load)
    talk = Conversation(assistant, generation=generation, allow_url=allow_url)
    talk.waiting += map(visual_part, opened)
    interactive = sys.stdin.isatty()
    if interactive:
        typer.echo(HELP, err=True)
    for line in _lines(interactive):
        if line == "/quit":
            return
        _turn(talk, line, interactive=interactive)


def _lines(interactive: bool) -> Iterator[str]:
    """The lines of the input without blank ones; a terminal gets a prompt and line editing."""
    if interactive:
        with suppress(ImportError):  # there is none on Windows, whose terminal edits lines itself
            import readline  # noqa: F401
    while True:
        try:
            line = input(PROMPT) if interactive else sys.stdin.readline()
        except EOFError:
            print()
            return
        if not interactive and not line:
            return
        if line.strip():
            yield line.strip()


def _turn(talk: Conversation, line: str, *, interactive: bool) -> None:
    """Do what one line says."""
    if not interactive:
        _obey(talk, line)
        return
    try:
        _obey(talk, line)
    except SmolVLMError as error:
        print_error(error)
    except typer.Exit:
        typer.echo("(stopped; this turn is forgotten)", err=True)


def _obey(talk: Conversation, line: str) -> None:
    command, _, rest = line.partition(" ")
    if command == "/image":
        talk.show_picture(rest.strip())
    elif line == "/clear":
        talk.clear()
    elif line == "/help":
        typer.echo(HELP, err=True)
    elif line.startswith("/"):
        raise InputError(f"there is no command {command}; known: /image PATH, /clear, /help, /quit")
    else:
        talk.ask(line)
