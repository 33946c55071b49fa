"""Which stretches of a clip are kept, from a score for each of its segments.

Pure arithmetic: neighbours above the threshold are joined, and the best of what that gives is taken
until the wanted length is used. Where scores come from is `highlights.py`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# Two times closer than this are the same moment, in seconds: less than any frame lasts.
SAME = 1e-6


@dataclass(frozen=True)
class Scored:
    """A segment of a clip, in seconds, and how likely it is what is looked for, 0 to 1."""

    start: float
    end: float
    score: float

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """Neighbouring segments."""

    segments: tuple[Scored, ...]

    @property
    def start(self) -> float:
        """Seconds."""
        return self.segments[0].start

    @property
    def end(self) -> float:
        """Seconds."""
        return self.segments[-1].end

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start

    @property
    def score(self) -> float:
        """The mean score of its seconds."""
        return self.worth / self.length

    @property
    def worth(self) -> float:
        """The seconds of it that are expected to be what is looked for."""
        return sum(segment.score * segment.length for segment in self.segments)

    def best_part(self, room: float) -> Run | None:
        """The part worth most that is no longer than `room` seconds, the earliest of equals.

        None if not even one segment fits.
        """
        best, best_worth, begin, worth = None, 0.0, 0, 0.0
        # No score is below 0, so the best part that ends here is the longest that fits.
        for number, segment in enumerate(self.segments):
            worth += segment.score * segment.length
            while begin <= number and segment.end - self.segments[begin].start > room + SAME:
                worth -= self.segments[begin].score * self.segments[begin].length
                begin += 1
            if begin <= number and (best is None or worth > best_worth + SAME):
                best, best_worth = Run(self.segments[begin : number + 1]), worth
        return best


def join(segments: Sequence[Scored], threshold: float) -> list[Run]:
    """Runs of neighbours whose score is at least the threshold, in the order of the clip."""
    kept = sorted((s for s in segments if s.score >= threshold), key=lambda s: s.start)
    if not kept:
        return []
    runs = [[kept[0]]]
    for before, segment in pairwise(kept):
        if segment.start - before.end <= SAME:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return [Run(tuple(run)) for run in runs]


def pick(runs: Sequence[Run], keep: float | None) -> list[Run]:
    """The runs with the highest scores that together last at most `keep` seconds; None keeps all.

    A run that is longer than what is left is shortened to its best part. In the order of the clip.
    """
    if keep is None:
        return list(runs)
    picked: list[Run] = []
    room = keep
    for run in sorted(runs, key=lambda run: (-run.score, run.start)):
        part = run if run.length <= room + SAME else run.best_part(room)
        if part is not None:
            picked.append(part)
            room -= part.length
    return sorted(picked, key=lambda run: run.start)
