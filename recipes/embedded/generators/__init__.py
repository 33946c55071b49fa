"""Generators: pure functions of (materials, seed) that draw a picture and know what is true of it.

Each module has one table `GENERATORS` (task name -> function); `generators` joins those tables.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.embedded.generators.questions import Generator

MODULES = (
    "text",
    "pdf",
    "documents",
    "tables",
    "charts",
    "screens",
    "drawings",
    "objects",
    "composites",
    "shapes",
    "quiz",
    "instruments",
    "games",
    "digits",
    "several",
    "clips",
    "words_only",
)


def generators() -> dict[str, Generator]:
    """Every generator by its task name, in the order of the mixture table."""
    tables = [importlib.import_module(f"{__name__}.{name}").GENERATORS for name in MODULES]
    joined = {name: make for table in tables for name, make in table.items()}
    assert len(joined) == sum(map(len, tables)), "two generators have one name"
    return joined
