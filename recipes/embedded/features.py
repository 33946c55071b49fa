"""What the frozen tower sees, computed once: the first training reads features, not pictures.

    python -m recipes.embedded.features --pack DIR --out DIR [--side 448] [--limit N]

Each view of each drawing becomes its pixel-shuffled patch features (T, C) before the projection,
stored as BF16 bit patterns one after another in `features.bin`; `features.jsonl` says which row of
the pack each one is. Both grow together, so a run that is stopped goes on where it was, and
training may begin before the end. A smaller `--side` costs a fifth: the position table is
resampled, as it was from DINOv2's own grid, and the patches look much the same.

Features belong to the pack they were made from: they name its rows by number.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recipes.embedded.pack import AssetPack
from recipes.embedded.views import blank, view
from smolvlm.config import ImageRules, ModelConfig
from smolvlm.errors import InputError
from smolvlm.model.connector import pixel_shuffle
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.model.vision import VisionTower
from smolvlm.processing.pixels import normalize
from smolvlm.weights.embedded import assemble
from smolvlm.weights.reader import open_checkpoint

BLANK = -1  # in place of a pack row: a tile with nothing on it
BLANK_EVERY = 150  # one blank tile for so many drawings
PEOPLE = ("people-body", "smileys-emotion")
LINE_DRAWINGS = ("fluent-mono", "game-icons")
POSITIONS = "embeddings.position_embedding.weight"
LOG_EVERY = 100  # records

SHAPE_FILE, DATA_FILE, INDEX_FILE = "shape.json", "features.bin", "features.jsonl"

Shape = tuple[int, int]  # of one record: visual tokens T, width C


@dataclass(frozen=True)
class FeatureStore:
    """Features on disk: `rows[i]` is the pack row of the i-th record."""

    rows: tuple[int, ...]
    data: NDArray[np.uint16]  # (n, T, C), memory-mapped BF16 bit patterns

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Open what is there now; a record that is only half written is left out."""
        shape = _stored_shape(folder)
        rows = _whole_records(folder, shape) if shape else ()
        if shape is None or not rows:
            raise InputError(f"no features in {folder}; make some with this module")
        path = folder / DATA_FILE
        return cls(rows, np.memmap(path, np.uint16, mode="r", shape=(len(rows), *shape)))

    @property
    def tokens(self) -> int:
        """Visual tokens of one record."""
        return int(self.data.shape[1])

    def tile(self, record: int) -> Tensor:
        """One record: bfloat16 (T, C)."""
        return torch.from_numpy(self.data[record].view(np.int16).copy()).view(torch.bfloat16)


@dataclass(frozen=True)
class Tower:
    """The frozen tower and the numbers that go with it."""

    network: VisionTower
    config: ModelConfig
    side: int  # of a tile, in pixels
    rules: ImageRules

    @classmethod
    def load(cls, side: int) -> Tower:
        """The tower of the embedded model, in bfloat16, for tiles of `side` pixels."""
        folder = assemble()
        checkpoint = open_checkpoint(folder)
        model = SmolVLM.from_checkpoint(checkpoint)
        network = _for_side(model.vision_model, checkpoint.config, side).to(torch.bfloat16)
        return cls(network, checkpoint.config, side, ImageRules.from_folder(folder))

    @property
    def shape(self) -> Shape:
        """Visual tokens of one tile, and their width."""
        side = self.side // self.config.vision.patch_size // self.config.scale_factor
        return side**2, self.config.connector_width

    @torch.inference_mode()
    def __call__(self, tiles: NDArray[np.uint8]) -> Tensor:
        """Tiles uint8 (N, S, S, 3) -> shuffled patch features (N, T, C) in the tower's dtype."""
        pixels = torch.from_numpy(normalize(tiles, self.rules))  # (N, 3, S, S)
        return pixel_shuffle(self.network(pixels), self.config.scale_factor).contiguous()


def _for_side(network: VisionTower, config: ModelConfig, side: int) -> VisionTower:
    """The same tower for another tile side: only its position table is resampled."""
    vision = dataclasses.replace(config.vision, image_size=side)
    if vision.grid == config.vision.grid:
        return network
    weights = network.state_dict()
    table = weights[POSITIONS].T.unflatten(1, (config.vision.grid, -1))[None]  # (1, D, g, g)
    size = (vision.grid, vision.grid)
    table = nn.functional.interpolate(table, size, mode="bicubic", antialias=True)  # (1, D, h, h)
    resampled = VisionTower(vision)
    resampled.load_state_dict({**weights, POSITIONS: table[0].flatten(1).T})  # (P, D)
    return resampled.eval()


def plan_rows(pack: AssetPack, limit: int | None) -> list[int]:
    """Pack rows in the order they are computed: things in colour, then as line drawings.

    Faces and people are left out of this first training.
    """
    things = [i for i in pack.indices("train") if pack.row(i)["group"] not in PEOPLE]
    rows: list[int] = []
    for count, index in enumerate(sorted(things, key=lambda i: _rank(pack, i))):
        rows += [index] if count % BLANK_EVERY else [BLANK, index]
    return rows[:limit]


def _rank(pack: AssetPack, index: int) -> tuple[bool, int]:
    # a fixed shuffle inside each rank, so that any prefix is a fair sample
    return pack.row(index)["source"] in LINE_DRAWINGS, index * 2654435761 % 2**32


def compute(
    tower: Tower, pack: AssetPack, rows: Sequence[int], out: Path, *, batch: int = 4
) -> None:
    """Append the features of `rows` that are not in `out` yet.

    `InputError` when `out` holds features of tiles of another size, or of other rows.
    """
    done = _resume(out, tower.shape, rows)
    started = time.time()
    with (out / DATA_FILE).open("ab") as data, (out / INDEX_FILE).open("a") as index:
        for chunk, tiles in _chunks(pack, rows, done, side=tower.side, batch=batch):
            data.write(tower(tiles).view(torch.int16).numpy().tobytes())
            data.flush()
            index.write("".join(f"{row}\n" for row in chunk))
            index.flush()
            done += len(chunk)
            if done % LOG_EVERY < batch:
                seconds = round(time.time() - started)
                print(json.dumps({"done": done, "of": len(rows), "s": seconds}), flush=True)


def _resume(out: Path, shape: Shape, rows: Sequence[int]) -> int:
    """Prepare `out` for appending: how many records it holds once half-written ones are gone."""
    out.mkdir(parents=True, exist_ok=True)
    stored = _stored_shape(out)
    if stored is None:
        (out / SHAPE_FILE).write_text(json.dumps(shape))
        return 0
    whole = _whole_records(out, shape)
    if stored != shape or whole != tuple(rows[: len(whole)]):
        raise InputError(f"{out} holds features of another side or pack; choose an empty folder")
    (out / INDEX_FILE).write_text("".join(f"{row}\n" for row in whole))
    with (out / DATA_FILE).open("ab") as data:
        data.truncate(len(whole) * _record_bytes(shape))
    return len(whole)


def _stored_shape(folder: Path) -> Shape | None:
    path = folder / SHAPE_FILE
    if not path.exists():
        return None
    tokens, width = json.loads(path.read_text())
    return tokens, width


def _whole_records(folder: Path, shape: Shape) -> tuple[int, ...]:
    """Pack rows of the records whose features and whose line are both complete."""
    index, data = folder / INDEX_FILE, folder / DATA_FILE
    if not index.exists() or not data.exists():
        return ()
    text = index.read_text()
    lines = text[: text.rfind("\n") + 1].split()
    return tuple(int(line) for line in lines[: data.stat().st_size // _record_bytes(shape)])


def _record_bytes(shape: Shape) -> int:
    return shape[0] * shape[1] * np.dtype(np.uint16).itemsize


def _chunks(
    pack: AssetPack, rows: Sequence[int], start: int, *, side: int, batch: int
) -> Iterator[tuple[Sequence[int], NDArray[np.uint8]]]:
    """Rows from `start` on, so many at a time, and their tiles; a record's number is its seed."""
    for at in range(start, len(rows), batch):
        chunk = rows[at : at + batch]
        tiles = [_tile(pack, row, side=side, seed=at + k) for k, row in enumerate(chunk)]
        yield chunk, np.stack(tiles)  # (batch, S, S, 3)


def _tile(pack: AssetPack, row: int, *, side: int, seed: int) -> NDArray[np.uint8]:
    if row == BLANK:
        return blank(side=side, seed=seed)
    return view(pack.image(row), side=side, seed=seed)


def main() -> None:
    """Command line of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=448, help="of a tile, in pixels")
    parser.add_argument("--limit", type=int, help="stop after so many records")
    args = parser.parse_args()
    pack = AssetPack(args.pack)
    compute(Tower.load(args.side), pack, plan_rows(pack, args.limit), args.out)


if __name__ == "__main__":
    main()
