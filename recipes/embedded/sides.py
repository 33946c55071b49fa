"""The same model for another tile side: what most of training runs on, since a tile of half the
side costs a fifth.

    python -m recipes.embedded.sides MODEL OUT --side 224
    python -m recipes.embedded.sides SMALL OUT --side 448 --positions MODEL

Only the position table depends on the side. It is resampled as it was from DINOv2's own grid; on
the way back it is taken from the model it came from (`--positions`), which is exact as long as
training left it alone. Everything else is copied.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from recipes.embedded.command import exit_code
from smolvlm.config import read_json
from smolvlm.errors import InputError
from smolvlm.training.adapter_files import stored_as
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from smolvlm.weights.writer import INDEX_NAME, write_checkpoint

POSITIONS = "vision_model.embeddings.position_embedding.weight"
COPIED = ("*.json", "*.jinja", "*.txt")


def change_side(model: Path, out: Path, side: int, *, positions: Path | None = None) -> None:
    """Write the folder `model` to `out` for tiles of `side` pixels.

    positions: a model with tiles of this side whose position table is taken. `InputError` for a
    side that does not give whole visual tokens, a table of another side, or `model` itself as `out`
    (its weights are read while they are written).
    """
    if out.resolve() == model.resolve():
        raise InputError(f"{out} is the model itself; choose another folder for the result")
    base = open_checkpoint(model)
    vision, factor = base.config.vision, base.config.scale_factor
    least = vision.patch_size * factor
    if side < least or side % least:
        raise InputError(
            f"side is {side}; wanted a multiple of {least} pixels"
            f" ({factor} patches of {vision.patch_size})"
        )
    grid = side // vision.patch_size
    table = resampled(base, grid) if positions is None else _table(open_checkpoint(positions), grid)
    tensors: dict[str, NDArray[Any]] = {name: base.raw(name) for name in base.names()}
    tensors[POSITIONS] = stored_as(base.dtype(POSITIONS), table)
    copy_settings(model, out)
    _write_side(out, side, before=vision.image_size, tokens=(grid // factor) ** 2)
    write_checkpoint(out, tensors)


def copy_settings(model: Path, out: Path) -> None:
    """Everything of a model folder but its weights, to the folder `out`, made if absent."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (path for pattern in COPIED for path in model.glob(pattern)):
        if path.name != INDEX_NAME:
            shutil.copyfile(path, out / path.name)


def resampled(base: Checkpoint, grid: int) -> NDArray[np.float32]:
    """The position table for grid x grid patches, bicubic with antialias: float32 (grid^2, D)."""
    table = torch.from_numpy(base.f32(POSITIONS).copy())  # (P, D)
    own = base.config.vision.grid
    square = table.T.reshape(1, -1, own, own)  # (1, D, g, g)
    square = F.interpolate(square, (grid, grid), mode="bicubic", antialias=True)
    result: NDArray[np.float32] = square[0].flatten(1).T.contiguous().numpy()
    return result


def _table(source: Checkpoint, grid: int) -> NDArray[np.float32]:
    if source.config.vision.grid != grid:
        raise InputError(
            f"{source.folder} has {source.config.vision.grid} patches a side; wanted {grid}"
        )
    return source.f32(POSITIONS)


def _write_side(folder: Path, side: int, *, before: int, tokens: int) -> None:
    """Tell the three config files; longest edges of pictures and frames go with the tile."""
    config = read_json(folder / "config.json")
    config["vision_config"]["image_size"] = side
    pictures = read_json(folder / "preprocessor_config.json")
    clips = pictures.get("video_sampling", {}).get("video_size", {})
    for edges in (pictures["size"], pictures["max_image_size"], clips):
        edges.update({key: edge * side // before for key, edge in edges.items()})
    words = read_json(folder / "processor_config.json")
    words["image_seq_len"] = tokens
    for name, values in (("config", config), ("preprocessor_config", pictures),
                         ("processor_config", words)):  # fmt: skip
        text = json.dumps(values, indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--positions", type=Path, help="a model whose position table is taken")
    args = parser.parse_args(arguments)
    return exit_code(lambda: change_side(args.model, args.out, args.side, positions=args.positions))


if __name__ == "__main__":
    sys.exit(main())
