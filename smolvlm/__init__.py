"""smolvlm: the home of the SmolVLM family of compact vision-language models.

    import smolvlm
    print(smolvlm.load("embedded").ask("cat.png", "What is this?").text)

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from pathlib import Path

    from smolvlm.api import Assistant
    from smolvlm.options import LoadOptions

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(model: str | Path = "embedded", **options: Unpack[LoadOptions]) -> Assistant:
    """Open a model by name or folder; `smolvlm.options.Options` has the keywords."""
    from smolvlm import api

    return api.load(model, **options)
