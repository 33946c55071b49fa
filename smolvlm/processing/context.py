"""What to do about a prompt that does not fit the model's context.

Numbers in, one line of advice out; `Processor.check_context` decides when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smolvlm.config import ImageRules
from smolvlm.processing.split import BudgetPolicy, plan_split
from smolvlm.types import ImagePlan

Cost = Callable[[ImagePlan], int]  # prompt tokens of one picture


def advise(
    plans: Sequence[ImagePlan], cost: Cost, rules: ImageRules, *, tokens: int, room: int
) -> str:
    """What to do about a prompt of `tokens` tokens with these pictures where `room` would fit."""
    text = tokens - sum(map(cost, plans))
    single = cost(plan_split(1, 1, rules, BudgetPolicy(1)))
    if not plans or text + single > room:
        return "shorten the conversation or allow a shorter answer"
    pictures = f"{len(plans)} picture{'s' if len(plans) > 1 else ''}"
    used = sum(plan.num_tiles for plan in plans)
    seen = f"{pictures} took {used} tiles ({tokens - text} tokens)"
    for max_tiles in range(max(plan.num_tiles for plan in plans), 0, -1):
        budget = [plan_split(p.height, p.width, rules, BudgetPolicy(max_tiles)) for p in plans]
        if text + sum(map(cost, budget)) <= room:
            tiles = sum(plan.num_tiles for plan in budget)
            return f"{seen}, {tiles} would fit: set max_tiles to {max_tiles} a picture"
    fitting = (room - text) // single
    return f"{seen}, at most {fitting} would fit: give {fitting} or fewer pictures at max_tiles 1"


def advise_on_clips(frames: Sequence[int], clip_tokens: int, *, tokens: int, room: int) -> str:
    """The same for a prompt with clips of so many frames, which take `clip_tokens` in all."""
    total = sum(frames)
    clips = f"{len(frames)} clip{'s' if len(frames) > 1 else ''}"
    seen = f"{clips} took {total} frames ({clip_tokens} tokens)"
    a_frame = -(-clip_tokens // total)
    fitting = (room - (tokens - clip_tokens)) // a_frame // len(frames)
    if fitting < 1:
        return f"{seen}; give fewer clips, shorten the conversation or allow a shorter answer"
    return f"{seen}; set max_frames to {fitting} a clip, or choose a part with start and end"
