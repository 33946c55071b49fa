"""`smolvlm ask --each`: one question about many pictures, answered several at a time.

A line of JSON for every picture, as it ends: pictures of like size run together, so that long ones
do not hold up short ones. A picture that cannot be opened has its error in its line, and the others
go on. Pictures a second go to stderr. How several answers advance together is `generation/`'s
business.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from PIL import Image

from smolvlm import api
from smolvlm.cli.arguments import PICTURE_SUFFIXES
from smolvlm.cli.models import comes_from_hub
from smolvlm.cli.show import timings_json
from smolvlm.cli.terminal import say, waiting
from smolvlm.errors import InputError, SmolVLMError
from smolvlm.media.images import load_image
from smolvlm.types import Answer


@dataclass
class Lines:
    """The lines of a run: one for every picture, written as soon as there is something to say."""

    file: TextIO
    failed: int = 0
    names: list[str] = field(default_factory=list)  # of the questions, in the order they were asked

    def answer(self, number: int, answer: Answer) -> None:
        """The line of a picture that was answered."""
        told = {
            "picture": self.names[number],
            "answer": answer.text,
            "finish_reason": answer.finish_reason,
            "timings": timings_json(answer.timings),
        }
        self._write(told)

    def error(self, name: str, error: SmolVLMError) -> None:
        """The line of one that could not be opened."""
        self.failed += 1
        self._write({"picture": name, "error": str(error)})

    def _write(self, told: Mapping[str, Any]) -> None:
        self.file.write(json.dumps(told, ensure_ascii=False) + "\n")
        self.file.flush()


def run(
    names: Sequence[str],
    question: str,
    model: str,
    *,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
    out: str | None = None,
) -> None:
    """Answer about every picture. `InputError` at the end when some could not be opened."""
    pictures = expand(names)
    with waiting("opening the model", shown=not comes_from_hub(model)):
        # The pictures differ: what was read of one is of no use to the next.
        assistant = api.load(model, **{"prefix_cache": 0, **load})
        assistant.info()
    start = perf_counter()
    with _opened(out) as file:
        lines = Lines(file)
        questions = _questions(pictures, question, lines, allow_url=load.get("allow_urls", False))
        for number, answer in assistant.ask_each(questions, **generation):
            lines.answer(number, answer)
    spent, done = perf_counter() - start, len(lines.names)
    say(f"{done} pictures in {spent:.1f} s, {done / spent:.2f} a second")
    if lines.failed:
        raise InputError(f"{lines.failed} of {len(pictures)} pictures could not be opened")


def expand(names: Sequence[str]) -> list[str]:
    """The pictures and those of folders, the largest first; `InputError` for an empty folder."""
    found = []
    for name in names:
        if not Path(name).is_dir():
            found.append(name)
            continue
        inside = [p for p in sorted(Path(name).iterdir()) if p.suffix.lower() in PICTURE_SUFFIXES]
        if not inside:
            raise InputError(f"the folder {name} holds no pictures; wanted at least one")
        found += map(str, inside)
    return sorted(found, key=_size, reverse=True)


def _size(name: str) -> int:
    """Pixels, from the head of the file; 0 where that cannot be read, which is told later."""
    try:
        with Image.open(name) as picture:
            return picture.height * picture.width
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0


def _questions(
    names: Sequence[str], question: str, lines: Lines, *, allow_url: bool
) -> Iterator[tuple[Image.Image, str]]:
    """Open each picture when its turn comes."""
    for name in names:
        try:
            picture = load_image(name, allow_url=allow_url)
        except SmolVLMError as error:
            lines.error(name, error)
            continue
        lines.names.append(name)
        yield picture, question


def _opened(out: str | None) -> AbstractContextManager[TextIO]:
    if out is None:
        return nullcontext(sys.stdout)
    try:
        return Path(out).open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); give another file") from None
