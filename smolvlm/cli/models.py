"""`smolvlm models` and `smolvlm pull`: which models there are, what they are, and fetching one.

The facts are the catalogue's; whether a model is on disk is asked of `weights/hub.py` without the
network. The embedded model's scores come from the card written when it was trained.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from smolvlm import catalog
from smolvlm.cli import show
from smolvlm.cli.terminal import waiting
from smolvlm.errors import SmolVLMError
from smolvlm.weights import embedded, hub

CARD = "assets/embedded/card.json"


def print_models() -> None:
    """The catalogue as a table."""
    header = ("name", "weights", "tile", "tokens/tile", "video", "on disk", "what it is")
    rows = [
        (
            entry.name,
            show.parameters(entry.parameters),
            f"{entry.tile} px",
            str(entry.tokens_per_tile),
            _yes(entry.video),
            _yes(on_disk(entry.name)),
            entry.summary,
        )
        for entry in catalog.CATALOG
    ]
    show.print_table(show.table(rows, header=header))


def print_model(name: str) -> None:
    """One model in detail; the embedded one with its scores, where they have been measured."""
    entry = catalog.find(name)
    rows = [
        ("name", ", ".join((entry.name, *entry.aliases))),
        ("what it is", entry.summary),
        ("hub repository", entry.repo or "none: made here"),
        ("parameters", f"{entry.parameters:,}"),
        ("tile", f"{entry.tile} x {entry.tile} pixels"),
        ("patch grid", f"{entry.grid} x {entry.grid} patches of {entry.patch} pixels"),
        ("pixel shuffle", f"factor {entry.scale_factor}"),
        ("visual tokens", f"{entry.tokens_per_tile} a tile"),
        ("video", _yes(entry.video)),
        ("on disk", _yes(on_disk(entry.name))),
    ]
    if entry.repo is None:
        rows += _card()
    show.print_table(show.table(rows))


def on_disk(name: str) -> bool:
    """Whether a model can be opened without fetching or building anything; a folder always can."""
    if Path(name).is_dir():
        return True
    try:
        if not comes_from_hub(name):
            return embedded.assembled_folder().is_dir()
        hub.find_model(name, offline=True, progress=False)
    except SmolVLMError:
        return False
    return True


def comes_from_hub(name: str) -> bool:
    """Whether opening a model may show the hub client's own progress bars."""
    made_here = {n for e in catalog.CATALOG if e.repo is None for n in (e.name, *e.aliases)}
    return name.lower() not in made_here and not Path(name).is_dir()


def pull(name: str, *, revision: str | None, offline: bool) -> None:
    """Fetch a model into the cache, or its newer version; prints the folder it lies in."""
    with waiting(f"fetching {name}", shown=not comes_from_hub(name)):
        folder = hub.find_model(
            name, revision=revision, offline=True if offline else None, refresh=not offline
        )
    print(folder)


def _card() -> list[tuple[str, str]]:
    """The scores and limits of the embedded model's card; none before it has been trained."""
    card = resources.files("smolvlm") / CARD
    if not card.is_file():
        return []
    said: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    lines = [(f"score: {name}", str(value)) for name, value in said.get("scores", {}).items()]
    return [*lines, ("limits", said["limits"])] if "limits" in said else lines


def _yes(value: bool) -> str:
    return "yes" if value else "no"
