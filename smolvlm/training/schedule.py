"""How the learning rate moves: a factor of the peak for each step. Pure arithmetic.

A run that counts steps has the same factor at the same step whenever it is resumed. A run that goes
by time alone has a factor for the share of the time that is over.
"""

from __future__ import annotations

import math

from smolvlm.training.stages import Schedule


def rate_factor(schedule: Schedule, *, step: int, elapsed: float = 0.0) -> float:
    """The factor for the step that comes after `step` finished ones; 0 to 1.

    elapsed: seconds so far; counts only where the schedule has no steps.
    """
    if schedule.steps is None and schedule.length is None:
        assert schedule.time_budget is not None, "nothing says how long the schedule is"
        # One step of warm-up would start from 0 and learn nothing: begin a thousandth in.
        progress = min(max(elapsed / schedule.time_budget, 1e-3), 1.0)
        return _factor(schedule, progress, schedule.warm_up_share)
    length = schedule.length or schedule.steps
    assert length is not None
    warm_up = max(schedule.warm_up, round(schedule.warm_up_share * length))
    if step < warm_up:
        return (step + 1) / warm_up
    if length <= warm_up:
        return 1.0
    return _factor(schedule, min(step / length, 1.0), warm_up / length)


def _factor(schedule: Schedule, progress: float, warm_up: float) -> float:
    """The factor at a share of the schedule, of which `warm_up` is the rise."""
    if progress < warm_up:
        return progress / warm_up
    left = 1.0 - (progress - warm_up) / (1.0 - warm_up)  # 1 after the rise, 0 at the end
    shape = {
        "constant": 1.0,
        "linear": left,
        "cosine": 0.5 * (1.0 - math.cos(math.pi * left)),
    }[schedule.kind]
    return schedule.floor + (1.0 - schedule.floor) * shape
