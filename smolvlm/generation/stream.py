"""One answer as an iterator of text: what the Python face hands out, and what ends it early.

Imports nothing heavy, so that the face stays light; tokens come from `generate.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Self

from smolvlm.errors import InputError
from smolvlm.types import Answer

if TYPE_CHECKING:
    from smolvlm.generation.generate import Generation


class AnswerStream:
    """Pieces of text as they become certain; `answer` is there when they have ended.

    Leaving the loop early and calling `close` (or leaving a `with` block) ends the answer as
    "cancelled". Nothing runs before the first piece is asked for.
    """

    def __init__(self, begin: Callable[[], Generation]) -> None:
        self.answer: Answer | None = None
        self._begin = begin
        self._pieces = self._run()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def finish(self) -> Answer:
        """Take what is still to come, and return the whole answer; `InputError` if none began."""
        for _ in self._pieces:
            pass
        if self.answer is None:
            raise InputError("the stream was closed before it began; ask again for an answer")
        return self.answer

    def close(self) -> None:
        """Stop answering and give the engine's memory back."""
        self._pieces.close()

    def _run(self) -> Generator[str, None, None]:
        generation = self._begin()
        try:
            for event in generation:
                if event.text:
                    yield event.text
        finally:
            generation.close()
            self.answer = generation.answers.get(0)
