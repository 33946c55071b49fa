"""Outputs of a frozen tower, made once a tile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from smolvlm.training.runs import open_run
from smolvlm.training.tower_cache import TowerCache
from smolvlm.training.trainer import RunOptions
from tests.training.train_tiny import STAGE, little, tiny_recipe


class Counted:
    """A tower of one patch, and how many tiles it was given."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, tiles: Tensor) -> Tensor:
        self.seen += len(tiles)
        return tiles.float().mean((1, 2, 3)).view(-1, 1, 1)  # (N, 1, 1)


def tiles(*values: int) -> Tensor:
    made = torch.tensor(values, dtype=torch.uint8)[:, None, None, None]
    return made.expand(-1, 4, 4, 3).contiguous()  # (N, 4, 4, 3)


def test_each_tile_goes_through_the_tower_once() -> None:
    cache, tower = TowerCache(1000), Counted()
    assert cache(tiles(3, 7, 3), tower).flatten().tolist() == [3, 7, 3]
    assert cache(tiles(7, 9, 3), tower).flatten().tolist() == [7, 9, 3]
    assert (tower.seen, cache.hits, cache.misses) == (3, 3, 3)


def test_the_oldest_go_when_it_is_full() -> None:
    cache, tower = TowerCache(8), Counted()  # two outputs of one float32
    for value in (1, 2, 1, 3, 1, 2):
        assert cache(tiles(value), tower).item() == value
    assert tower.seen == 4  # 2 had to be made again, 1 was always in use


def test_without_room_nothing_is_kept() -> None:
    cache, tower = TowerCache(), Counted()
    for _ in range(2):
        cache(tiles(5, 5), tower)
    assert (tower.seen, cache.hits) == (4, 0)


def test_a_run_with_a_cache_loses_what_it_loses_without(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(replace(STAGE, precision="f32"), tmp_path)
    losses, kept = [], []
    for room in (0, 10_000_000):
        options = RunOptions(save_every=1e9, tower_cache=room)
        run = open_run(
            tiny_folder, recipe, tmp_path / f"out{room}",
            generators={"little": lambda seed: little(seed % 4)}, options=options,
        )  # fmt: skip
        reports: list[float] = []
        run.trainer.fit(lambda report, reports=reports: reports.append(report.loss))  # type: ignore[misc]
        losses.append(reports)
        kept.append(run.trainer.tower_cache.hits)
    torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=1e-5, atol=0)
    assert kept[0] == 0 < kept[1]
