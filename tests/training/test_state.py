"""Checkpoints: whole or not at all, damage, a full disk, other recipes."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from smolvlm.errors import CheckpointError, InputError
from smolvlm.training.optim import make_optimizer
from smolvlm.training.stages import Part, Stage
from smolvlm.training.state import State, check_recipe, collect, newest_state, restore, save_state

RECIPE = {"batch": 4, "text.full": ("norm",), "rate": 1e-3}


def state(step: int, size: int = 100) -> State:
    return State(step, 1.5, 10 * step, 0, RECIPE, {"weight:a": torch.arange(size).float() + step})


def same(seen: State | None, wanted: State) -> bool:
    return (
        seen is not None
        and (seen.step, seen.elapsed, seen.seen) == (wanted.step, wanted.elapsed, wanted.seen)
        and all(torch.equal(seen.tensors[name], t) for name, t in wanted.tensors.items())
    )


@pytest.mark.parametrize("max_bytes", [None, 1000, 10**9])
def test_a_checkpoint_comes_back_whole_from_pieces_too(
    tmp_path: Path, max_bytes: int | None
) -> None:
    path = save_state(tmp_path, state(7, size=2000), max_bytes=max_bytes)
    files = [f for f in path.iterdir() if f.name != "state.json"]
    assert len(files) == (9 if max_bytes == 1000 else 1)
    assert all(f.stat().st_size <= (max_bytes or 10**9) for f in files)
    assert same(newest_state(tmp_path), state(7, size=2000))


def test_two_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None
    for step in (1, 2, 10):
        save_state(tmp_path, state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000010"]
    assert same(newest_state(tmp_path), state(10))
    with (tmp_path / "step-00000010" / "state.safetensors").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff")
    assert same(newest_state(tmp_path), state(2))
    (tmp_path / "step-00000002" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"every checkpoint .* is damaged"):
        newest_state(tmp_path)


def test_what_a_kill_left_while_saving_is_removed(tmp_path: Path) -> None:
    save_state(tmp_path, state(1))
    part = tmp_path / ".part-step-00000002"
    part.mkdir()
    (part / "state.safetensors").write_bytes(b"half")
    assert same(newest_state(tmp_path), state(1))
    assert not part.exists()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond `size` fails in the system, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    save_state(tmp_path, state(1))
    with (
        files_of_at_most(4096),
        pytest.raises(CheckpointError, match=r"step-00000002 cannot be .* is step-00000001"),
    ):
        save_state(tmp_path, state(2, size=10_000))
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert same(newest_state(tmp_path), state(1))


def test_another_recipe_is_refused_with_every_difference(tmp_path: Path) -> None:
    save_state(tmp_path, state(3))
    kept = newest_state(tmp_path)
    assert kept is not None
    check_recipe(kept, dict(RECIPE))
    with pytest.raises(InputError) as refused:
        check_recipe(kept, {"batch": 8, "text.full": ("norm",), "seed": 1})
    assert "batch: 4 then, 8 now; rate: 0.001 then, None now; seed: None then, 1 now" in str(
        refused.value
    )


def test_the_optimiser_goes_on_exactly(tmp_path: Path) -> None:
    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"connector": torch.nn.Linear(4, 3)})
        return model, make_optimizer(model, Stage(connector=Part(1e-2), weight_decay=0.1))

    def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"]
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, float(step))
            optimizer.step()

    straight, again = made(), made()
    train(*straight, range(6))
    first = made()
    train(*first, range(3))
    save_state(tmp_path, State(3, 0.0, 0, 0, {}, collect(*first)))
    kept = newest_state(tmp_path)
    assert kept is not None
    restore(*again, kept.tensors)
    train(*again, range(3, 6))
    for mine, theirs in zip(again[0].parameters(), straight[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert json.loads((tmp_path / "step-00000003" / "state.json").read_text())["step"] == 3
