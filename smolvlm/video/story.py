"""What has been seen so far, in words, and never more of it than a prompt can bear.

Each look adds a line; the same words again add none. The oldest lines go first. How a line comes
about, and which question it is put before, is decided in `watch.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from smolvlm.video.times import clock

MAX_LINES = 8
MAX_CHARACTERS = 600


@dataclass(frozen=True)
class Story:
    """Lines (seconds since the beginning, words), the oldest first."""

    lines: tuple[tuple[float, str], ...] = ()

    def add(self, time: float, words: str) -> Story:
        """The story with one more line, cut to a single one of bounded length."""
        line = " ".join(words.split())[: MAX_CHARACTERS // 2]
        if not line or (self.lines and self.lines[-1][1] == line):
            return self
        lines = (*self.lines, (time, line))[-MAX_LINES:]
        while sum(len(text) for _, text in lines) > MAX_CHARACTERS:
            lines = lines[1:]
        return Story(lines)

    @classmethod
    def longest(cls) -> Story:
        """One that takes as many tokens as any in plain letters: each digit is a token."""
        line = "0" * (MAX_CHARACTERS // MAX_LINES)
        return cls(((360_000.0, line),) * MAX_LINES)

    def before(self, question: str) -> str:
        """The question, and before it what has been seen so far, if anything was."""
        if not self.lines:
            return question
        seen = "\n".join(f"{clock(time)} {text}" for time, text in self.lines)
        return f"Seen before:\n{seen}\n\n{question}"
