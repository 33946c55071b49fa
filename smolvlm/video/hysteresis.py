"""From a probability that wavers to an answer that does not.

Two thresholds and a minimum time: the answer becomes yes at `on` and no at `off`, stays what it is
between the two, and once it has changed it stands for at least `hold` seconds. The probability
comes from the model; when it is taken is decided in `watch.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from smolvlm.errors import InputError

GAP = 0.2  # between the thresholds, unless both are given


@dataclass(frozen=True)
class Thresholds:
    """Yes from the probability `on`, no from `off`, each for at least `hold` seconds."""

    on: float = 0.6
    off: float = 0.4
    hold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("on", "off"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InputError(
                    f"the threshold for {'yes' if name == 'on' else 'no'} is {value:g};"
                    " wanted a probability from 0 to 1"
                )
        if self.off > self.on:
            raise InputError(
                f"the threshold for no ({self.off:g}) is above that for yes ({self.on:g}), and the"
                " answer would flicker; wanted it below"
            )
        if not 0.0 <= self.hold < float("inf"):
            raise InputError(f"the hold time is {self.hold:g} s; wanted 0 or more")

    @classmethod
    def around(cls, on: float, off: float | None = None, hold: float = 0.0) -> Thresholds:
        """With `off` as far below `on` as it usually is, if it is not given."""
        return cls(on, max(0.0, on - GAP) if off is None else off, hold)


@dataclass(frozen=True)
class Decision:
    """An answer and the time (seconds) at which it was first given."""

    yes: bool
    since: float


def decide(
    before: Decision | None, probability: float, time: float, thresholds: Thresholds
) -> Decision:
    """The answer at `time`; the same object as `before` where it stands.

    The first answer of all is yes only from `on`.
    """
    if before is None:
        return Decision(probability >= thresholds.on, time)
    crossed = probability <= thresholds.off if before.yes else probability >= thresholds.on
    # A clock on the wall may be put back; that must not hold an answer for as long.
    if crossed and abs(time - before.since) >= thresholds.hold:
        return Decision(not before.yes, time)
    return before
