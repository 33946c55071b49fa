"""`smolvlm models` and `smolvlm pull`: which models there are, what they are, and fetching one.

The facts are the catalogue's; whether a model is on disk is asked of `weights/hub.py` without the
network. The embedded model's scores come from the card written when it was trained.
"""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

from smolvlm import catalog
from smolvlm.cli import show
from smolvlm.cli.terminal import waiting
from smolvlm.errors import SmolVLMError
from smolvlm.quant.folder import folder_bytes
from smolvlm.quant.receipt import Receipt, read_receipt
from smolvlm.quant.schemes import scheme_of
from smolvlm.weights import embedded, hub
from smolvlm.weights.reader import Checkpoint, open_checkpoint

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
    """One model in detail; the embedded one with its scores, where they have been measured.

    A folder is told by what lies in it, how its matrices are stored among it.
    """
    if Path(name).is_dir():
        show.print_table(show.table(_folder(Path(name))))
        return
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


def _folder(folder: Path) -> list[tuple[str, str]]:
    """What a folder of one's own holds."""
    checkpoint = open_checkpoint(folder)
    vision, config = checkpoint.config.vision, checkpoint.config
    weights = sum(prod(checkpoint.shape(name)) for name in checkpoint.names())
    rows = [
        ("folder", str(folder)),
        ("parameters", f"{weights:,}"),
        ("tile", f"{vision.image_size} x {vision.image_size} pixels"),
        ("patch grid", f"{vision.grid} x {vision.grid} patches of {vision.patch_size} pixels"),
        ("pixel shuffle", f"factor {config.scale_factor}"),
        ("visual tokens", f"{config.tokens_per_tile} a tile"),
        ("weight files", show.size(folder_bytes(folder))),
        ("stored as", _storage(checkpoint)),
    ]
    return rows + _receipt(folder)


def _storage(checkpoint: Checkpoint) -> str:
    """How many matrices have which scheme, or the type the values are stored in."""
    schemes = Counter(
        str(scheme_of(packed, inputs=checkpoint.input_range(name) is not None))
        for name in checkpoint.names()
        if (packed := checkpoint.packed(name)) is not None
    )
    plain = Counter(
        checkpoint.dtype(name).lower()
        for name in checkpoint.names()
        if checkpoint.bits(name) is None
    )
    if not schemes:
        return ", ".join(name for name, _ in plain.most_common())
    told = ", ".join(f"{count} matrices in {name}" for name, count in schemes.most_common())
    return f"{told}; the rest in {' and '.join(name for name, _ in plain.most_common())}"


def _receipt(folder: Path) -> list[tuple[str, str]]:
    """What quantising the folder cost, where it says so."""
    said = read_receipt(folder)
    if said is None:
        return []
    receipt = Receipt(**said)
    header, *rows = receipt.rows()
    last = header.index("quantized")
    return [
        ("made from", f"{receipt.model}, plan {receipt.plan}"),
        *((row[0], row[last]) for row in rows if row[last]),
    ]


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
