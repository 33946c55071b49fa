"""Prompt lookup: guesses at the next tokens, copied from where the last few stood before.

An answer that reads a page aloud, goes on with a list or repeats a name says what has been said. So
the tokens after the latest earlier place with the same last three (or two) tokens are guessed; one
step of the engine then judges all of them, and those that the model would have chosen anyway stay.
Nothing is approximated: each token is chosen from the logits it would have been chosen from alone.
Who steps and judges is `sequence.py`. The idea is known as prompt-lookup decoding; choosing by the
model's own logits is the greedy case of speculative decoding (Leviathan et al., 2023).
"""

from __future__ import annotations

from collections.abc import Iterable

# Lengths of the endings that are looked up, the longest first. One token alone is followed by
# anything; four are rarely found again where three are not.
ENDINGS = (3, 2)
# Guesses of the first step; afterwards as many as have been right.
FIRST = 4


class Lookup:
    """The tokens of one sequence so far, and guesses at how they go on.

    most: guesses a step at most. banned: ids never guessed, because they mean something only in a
    prompt.
    """

    def __init__(self, prompt: Iterable[int], *, most: int, banned: Iterable[int] = ()) -> None:
        self._most = most
        self._length = min(FIRST, most)
        self._banned = frozenset(banned)
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}  # an ending -> the place that followed it last
        for token in prompt:
            self.push(token)

    def push(self, token: int) -> None:
        """Note one more token."""
        for length in ENDINGS:
            if len(self._ids) >= length:
                self._next[tuple(self._ids[-length:])] = len(self._ids)
        self._ids.append(token)

    def guess(self, room: int) -> list[int]:
        """The tokens that may come next, at most `room`; none where nothing is known."""
        start = self._place()
        guesses: list[int] = []
        if start is None:
            return guesses
        for place in range(start, start + min(self._length, room)):
            # Behind the last token a loop goes on with its own guesses.
            beyond = place - len(self._ids)
            token = self._ids[place] if beyond < 0 else guesses[beyond]
            if token in self._banned:
                break
            guesses.append(token)
        return guesses

    def judge(self, guessed: int, right: int) -> None:
        """Learn how many of the last guesses were right: guess more after luck, fewer after none.

        A step with wrong guesses costs more than one without: every guess is work for the engine.
        """
        if guessed:
            self._length = min(2 * right, self._most) if right == guessed else max(right, 1)

    def _place(self) -> int | None:
        """The place after the latest earlier occurrence of how the tokens end."""
        endings = (tuple(self._ids[-length:]) for length in ENDINGS if len(self._ids) >= length)
        return next((self._next[ending] for ending in endings if ending in self._next), None)
