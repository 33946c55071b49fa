"""The text of one answer while it grows: tokens in, pieces out that are safe to print.

A piece never ends inside a UTF-8 character (the tokenizer's stream decoder sees to that), never
holds part of a stop string, and the first one never begins with white space: prompts end in
`Assistant:`, so replies begin with a space that belongs to the prompt's form, not to the answer.
Stop strings are looked for in the text after that trimming, across token borders; of several the
one that begins first ends the answer. Which ids end a turn is `generate.py`'s business.
"""

from __future__ import annotations

from typing import Protocol


class TokenDecoder(Protocol):
    """What turns tokens into text one by one (`processing/tokenizer.py` has the real one)."""

    def push(self, token_id: int) -> str:
        """The characters this token completes; may be none."""
        ...

    def flush(self) -> str:
        """What an unfinished character is shown as at the end."""
        ...


class StopMatcher:
    """Finds the first stop string in text that arrives in pieces."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""  # the end of the text so far, which may turn out to begin a stop string
        self.stopped = False

    def push(self, piece: str) -> str:
        """The text that is certain by now; after a match always empty."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [start for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        certain = len(text) - self._unsure(text)
        self._held = text[certain:]
        return text[:certain]

    def flush(self) -> str:
        """The text held back, once no more can come."""
        held, self._held = self._held, ""
        return held

    def _unsure(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        return next(
            (
                length
                for length in range(min(longest, len(text)), 0, -1)
                if any(stop.startswith(text[-length:]) for stop in self._stops)
            ),
            0,
        )


class AnswerText:
    """Tokens of one answer in, printable pieces out; `text` is all of them together."""

    def __init__(self, decoder: TokenDecoder, stops: tuple[str, ...] = ()) -> None:
        self._decoder = decoder
        self._matcher = StopMatcher(stops)
        self._begun = False  # whether anything but white space has been seen
        self.text = ""

    @property
    def stopped(self) -> bool:
        """Whether a stop string has ended the answer."""
        return self._matcher.stopped

    def push(self, token_id: int) -> str:
        """The piece this token makes certain; may be empty."""
        return self._emit(self._matcher.push(self._trim(self._decoder.push(token_id))))

    def finish(self) -> str:
        """What was still held back, when the answer ends for another reason than a stop string."""
        piece = self._matcher.push(self._trim(self._decoder.flush()))
        return self._emit(piece + self._matcher.flush())

    def _trim(self, piece: str) -> str:
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        return piece

    def _emit(self, piece: str) -> str:
        self.text += piece
        return piece
