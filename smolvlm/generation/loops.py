"""Tells when an answer has begun to repeat itself without end.

A small model that loses its way often says the same words until its length is used up. That is
noticed from the tokens alone: they equal those one period before, for long enough. Much that
repeats is meant to, though: rules of tables, dots of leaders, rows of equal numbers. So a period
without a word, or with the bars of a table, has to go on for longer, and nothing ends before a
paragraph's length of pure repetition. Ending the answer is `sequence.py`'s business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

# The longest period looked for, in tokens: a long sentence.
LONGEST_PERIOD = 64
# How often a period stands there before it is a loop; a refrain is sung three times.
TIMES = 4
# Tokens of pure repetition before it is a loop: with words in the period, and without.
TOKENS_WITH_WORDS = 64
TOKENS_WITHOUT_WORDS = 160
# Rows of a table may be equal for long, whatever stands in them.
TABLE_SIGNS = ("|", "\t")


class LoopWatch:
    """Watches the tokens of one answer. text_of: the text of some tokens."""

    def __init__(self, text_of: Callable[[Sequence[int]], str]) -> None:
        self._text_of = text_of
        self._recent: deque[int] = deque(maxlen=LONGEST_PERIOD)  # the latest first
        # For each period from 1: how many of the last tokens equal the one a period before.
        self._runs = np.zeros(LONGEST_PERIOD, dtype=np.int64)

    def push(self, token: int) -> bool:
        """Note the next token; whether the answer is in a loop by now."""
        earlier = np.array(self._recent, dtype=np.int64)  # (n,)
        equal = earlier == token
        self._runs[: len(earlier)] = np.where(equal, self._runs[: len(earlier)] + 1, 0)
        self._recent.appendleft(token)
        return self._is_loop()

    def _is_loop(self) -> bool:
        periods = np.arange(1, LONGEST_PERIOD + 1)
        lengths = self._runs + periods  # the first period equals nothing before it
        candidates = np.flatnonzero(
            (lengths >= TIMES * periods) & (lengths >= TOKENS_WITH_WORDS) & (self._runs > 0)
        )
        if not len(candidates):
            return False
        shortest = int(candidates[0])
        if lengths[shortest] >= TOKENS_WITHOUT_WORDS:
            return True
        return self._has_words(int(periods[shortest]))

    def _has_words(self, period: int) -> bool:
        """Whether what is repeated is speech rather than a table or a row of signs."""
        text = self._text_of([self._recent[place] for place in reversed(range(period))])
        return any(sign.isalpha() for sign in text) and not any(s in text for s in TABLE_SIGNS)
