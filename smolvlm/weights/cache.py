"""The one folder where smolvlm keeps what it fetched or built.

`SMOLVLM_CACHE` moves it; otherwise `$XDG_CACHE_HOME/smolvlm` or `~/.cache/smolvlm`. No other module
reads these variables.
"""

from __future__ import annotations

import os
from pathlib import Path

from smolvlm.errors import CacheError


def cache_folder(*parts: str) -> Path:
    """The cache folder, or one inside it, made if absent; `CacheError` if it cannot be written."""
    base = os.environ.get("SMOLVLM_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "smolvlm"
    )
    folder = Path(base, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be written ({error.strerror}); "
            "set SMOLVLM_CACHE to one that can"
        ) from None
    if not os.access(folder, os.W_OK):
        raise CacheError(
            f"the cache folder {folder} is read-only; set SMOLVLM_CACHE to one that is not"
        )
    return folder
