"""How every command of the recipe ends: one line about what was wrong, and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

from smolvlm.errors import SmolVLMError


def exit_code(work: Callable[[], object]) -> int:
    """Do the work; 0, or 2 after an error that the user can do something about."""
    try:
        work()
    except SmolVLMError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0
