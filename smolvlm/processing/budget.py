"""A budget for a whole question, in milliseconds or visual tokens, to a number of tiles a picture.

The largest number of tiles is taken that keeps the question within the budget; every picture of the
question has the same one, and clips keep their frames. What a number of tiles takes is told by
`Costs`, measured once on the machine and kept by `engines/fitted_costs.py`.
A budget nothing fits into gets the smallest possible, and a line in the log that says so. How tiles
become a grid is `split.py`'s business.
"""

from __future__ import annotations

import bisect
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from smolvlm.config import ImageRules
from smolvlm.errors import InputError
from smolvlm.processing.split import MAX_GRID, BudgetPolicy, plan_split
from smolvlm.types import ImagePlan

# The largest grid and the global view.
MOST_TILES = MAX_GRID**2 + 1
_FORM = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|tok)")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """Most milliseconds to the first token, or most visual tokens; the other is None."""

    milliseconds: float | None = None
    tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`500ms`, `1.5s` or `256tok`; `InputError` for anything else."""
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        amount = float(found[1]) if found else 0.0
        if found is None or amount == 0 or (found[2] == "tok" and not amount.is_integer()):
            raise InputError(f"the budget is {text!r}; write it as 500ms, 1.5s or 256tok")
        if found[2] == "tok":
            return cls(tokens=int(amount))
        return cls(milliseconds=amount * (1000 if found[2] == "s" else 1))

    def __str__(self) -> str:
        tokens = self.tokens is not None
        return f"{self.tokens} visual tokens" if tokens else f"{self.milliseconds:g} ms"


@dataclass(frozen=True)
class Costs:
    """Milliseconds to the first token of one model on one engine of one machine.

    megapixel: opening and resizing a picture, per million of its own pixels. tile: cutting and
    encoding one. token, token_squared: prefill of n prompt tokens takes token * n +
    token_squared * n^2. fixed: whatever the question.
    """

    fixed: float
    megapixel: float
    tile: float
    token: float
    token_squared: float

    def expected_ms(self, *, megapixels: float, tiles: int, prompt_tokens: int) -> float:
        """The time to the first token of a question."""
        prefill = self.token * prompt_tokens + self.token_squared * prompt_tokens**2
        return self.fixed + self.megapixel * megapixels + self.tile * tiles + prefill


@dataclass(frozen=True)
class Question:
    """What a question brings: its pictures' sizes (height, width), and the rest as it stands.

    frames: tiles of its clips. other_tokens: prompt tokens of everything but the pictures.
    """

    sizes: tuple[tuple[int, int], ...]
    frames: int
    other_tokens: int


class Allotter:
    """Chooses the policy for each question, within one budget.

    policy: limits that hold beside the budget. picture_tokens: prompt tokens of a picture by its
    plan. costs: needed for a budget in milliseconds.
    """

    def __init__(
        self,
        budget: Budget,
        policy: BudgetPolicy,
        rules: ImageRules,
        *,
        tokens_per_tile: int,
        picture_tokens: Callable[[ImagePlan], int],
        costs: Costs | None = None,
    ) -> None:
        assert budget.milliseconds is None or costs is not None, "a time needs costs"
        self._budget = budget
        self._policy = policy
        self._rules = rules
        self._tokens_per_tile = tokens_per_tile
        self._picture_tokens = picture_tokens
        self._costs = costs
        self._has_told = False

    def policy_for(self, question: Question) -> BudgetPolicy:
        """The policy with as many tiles as the budget pays, at least one a picture."""
        if not question.sizes:
            return self._policy
        most = self._policy.max_tiles or MOST_TILES
        # More tiles never cost less, so the last that fits is found by halving.
        limit = self._budget.milliseconds or self._budget.tokens or 0.0
        fitting = bisect.bisect_right(
            range(1, most + 1), limit, key=lambda tiles: self._cost(question, tiles)
        )
        if not fitting:
            self._tell(question)
        return self._with(max(fitting, 1))

    def expected_ms(self, question: Question, plans: Sequence[ImagePlan]) -> float | None:
        """The time to the first token with these plans; None where no costs are known."""
        if self._costs is None:
            return None
        return self._costs.expected_ms(
            megapixels=sum(height * width for height, width in question.sizes) / 1e6,
            tiles=question.frames + sum(plan.num_tiles for plan in plans),
            prompt_tokens=question.other_tokens + sum(map(self._picture_tokens, plans)),
        )

    def _with(self, tiles: int) -> BudgetPolicy:
        return replace(self._policy, max_tiles=tiles)

    def _cost(self, question: Question, tiles: int) -> float:
        """What the question costs with so many tiles a picture, in the budget's unit."""
        plans = [plan_split(*size, self._rules, self._with(tiles)) for size in question.sizes]
        if self._budget.milliseconds is not None:
            expected = self.expected_ms(question, plans)
            assert expected is not None
            return expected
        count = question.frames + sum(plan.num_tiles for plan in plans)
        return count * self._tokens_per_tile

    def _tell(self, question: Question) -> None:
        """Say, once, that the budget is too small."""
        if self._has_told:
            return
        self._has_told = True
        least = self._cost(question, 1)
        unit = "visual tokens" if self._budget.tokens is not None else "ms"
        _LOG.warning(
            "no question like this fits a budget of %s; taking the smallest possible, %.0f %s",
            self._budget,
            least,
            unit,
        )
