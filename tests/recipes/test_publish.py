"""Publishing: what a trained folder changed, made small, and what comes back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from recipes.embedded import publish as step
from recipes.embedded.low_rank import Spectrum, chosen_ranks
from recipes.embedded.publish import LARGEST_BYTES, changes, int8_rows, publish
from smolvlm.errors import CheckpointError, InputError
from smolvlm.weights.embedded import apply_trained, assets, read_trained
from smolvlm.weights.names import EMBEDDING, PATCH_WEIGHT
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from smolvlm.weights.writer import write_checkpoint

Floats = NDArray[np.float32]
CONNECTOR = "connector.modality_projection.proj.weight"
NORM = "text_model.norm.weight"
Q_PROJ = "text_model.layers.0.self_attn.q_proj.weight"
RANK = 3
ROWS = [7, 49152, 49279]


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> dict[str, Floats]:
    """What stands for the two packages: the tiny model."""
    checkpoint = open_checkpoint(tiny_folder)
    return {name: checkpoint.f32(name).copy() for name in checkpoint.names()}


def noise(shape: tuple[int, ...], size: float = 0.01) -> Floats:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32) * np.float32(size)


@pytest.fixture(scope="module")
def trained(base: dict[str, Floats]) -> dict[str, Floats]:
    """A matrix of rank 3 more, the tower and the connector, a norm, three rows."""
    after = dict(base)
    out, inner = base[Q_PROJ].shape
    after[Q_PROJ] = base[Q_PROJ] + noise((out, RANK), 0.1) @ noise((RANK, inner), 0.1)
    for name in (PATCH_WEIGHT, CONNECTOR, NORM):
        after[name] = base[name] + noise(base[name].shape)
    after[EMBEDDING] = base[EMBEDDING].copy()
    after[EMBEDDING][ROWS] += noise((3, base[EMBEDDING].shape[1]), 0.5)
    return after


@pytest.fixture
def model(
    tiny_folder: Path, base: dict[str, Floats], trained: dict[str, Floats], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """The trained folder; nothing is fetched for the comparison."""
    monkeypatch.setattr(step, "untrained", lambda: base)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    write_checkpoint(folder, trained)
    return folder


def test_each_kind_of_change_has_its_form(model: Path, base: dict[str, Floats]) -> None:
    found, lost = changes(open_checkpoint(model), base, size=LARGEST_BYTES)
    assert {key: str(value.dtype) for key, value in found.items()} == {
        f"lora_a:{Q_PROJ}": "int8",
        f"lora_b:{Q_PROJ}": "int8",
        f"lora_scale:{Q_PROJ}": "float32",
        f"delta:{PATCH_WEIGHT}": "int8",
        f"delta_scale:{PATCH_WEIGHT}": "float32",
        f"delta:{CONNECTOR}": "int8",
        f"delta_scale:{CONNECTOR}": "float32",
        f"set:{NORM}": "float16",
        f"rows:{EMBEDDING}": "float16",
        f"rows_index:{EMBEDDING}": "int32",
    }
    assert found[f"rows_index:{EMBEDDING}"].tolist() == ROWS
    assert lost == 0


def test_what_is_written_assembles_to_what_was_trained(
    model: Path, base: dict[str, Floats], trained: dict[str, Floats], tmp_path: Path
) -> None:
    facts = publish(model, tmp_path / "out")
    again = apply_trained(base, *read_trained(tmp_path / "out"))
    for name, wanted in trained.items():
        if wanted is base[name]:
            assert again[name] is base[name], name
            continue
        # float16 keeps 11 bits; int8 a 254th of the largest change in a row, or of each factor.
        steps = 100 if name == Q_PROJ else 254
        room = np.abs(wanted - base[name]).max() / steps + 1e-6
        room = max(room, 2**-11 * float(np.abs(wanted).max()) if name in (NORM, EMBEDDING) else 0)
        assert np.abs(again[name] - wanted).max() <= room, name
    assert facts == json.loads((tmp_path / "out" / "trained.json").read_text())
    assert facts == {"scale": 1.0, "ranks": [RANK, RANK], "lost_by_rank": 0.0, "stages": []}


def test_the_folder_has_what_assembling_needs(model: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second time over what is there
        publish(model, tmp_path / "out")
    small = [path for path in assets().iterdir() if not path.name.startswith("trained")]
    assert small
    assert all((tmp_path / "out" / path.name).read_bytes() == path.read_bytes() for path in small)


def test_too_few_bytes_keep_the_largest_directions_and_say_what_is_lost(
    model: Path, base: dict[str, Floats], trained: dict[str, Floats]
) -> None:
    everything, _ = changes(open_checkpoint(model), base, size=LARGEST_BYTES)
    fixed = len(save({k: v for k, v in everything.items() if not k.startswith("lora")}))
    one = sum(base[Q_PROJ].shape) + 4
    size = fixed + step.HEADER_BYTES + 2 * one - 1
    found, lost = changes(open_checkpoint(model), base, size=size)
    assert len(save(found)) <= size
    assert found[f"lora_a:{Q_PROJ}"].shape == (1, base[Q_PROJ].shape[1])
    sizes = np.linalg.svd(trained[Q_PROJ] - base[Q_PROJ], compute_uv=False)
    assert lost == pytest.approx(1 - sizes[0] ** 2 / np.square(sizes).sum(), abs=1e-4)


def test_directions_of_all_matrices_share_the_room() -> None:
    flat, steep = (
        Spectrum.of(np.diag([3.0, 3, 3, 3]).astype(np.float32)),
        Spectrum.of(np.diag([9.0, 2, 1, 1]).astype(np.float32)),
    )
    spectra = {"flat": flat, "steep": steep}
    assert flat.cost == steep.cost == 4 + 4 + 4
    assert chosen_ranks(spectra, 11) == {"flat": 0, "steep": 0}
    assert chosen_ranks(spectra, 12) == {"flat": 0, "steep": 1}
    assert chosen_ranks(spectra, 5 * 12) == {"flat": 4, "steep": 1}
    assert chosen_ranks(spectra, 1000) == {"flat": 4, "steep": 4}


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_a_low_rank_is_exact_where_it_suffices_and_nearest_elsewhere(
    shape: tuple[int, int],
) -> None:
    exact = noise((shape[0], 5), 1.0) @ noise((5, shape[1]), 1.0)
    spectrum = Spectrum.of(exact)
    (down, up), kept = spectrum.factors(5), spectrum.kept(5)
    assert len(spectrum.sizes) == 5 and down.shape == (5, shape[1]) and up.shape == (shape[0], 5)
    assert np.abs(up @ down - exact).max() < 1e-4
    assert kept == pytest.approx(float(np.square(exact).sum()), rel=1e-5)
    (down, up), kept = spectrum.factors(2), spectrum.kept(2)
    left = float(np.square(up @ down - exact).sum())
    assert left == pytest.approx(float(np.square(exact).sum()) - kept, rel=1e-3)
    others = [noise((shape[0], 2), s) @ noise((2, shape[1]), s) for s in (0.5, 1.0, 2.0)]
    assert all(left < float(np.square(other - exact).sum()) for other in others)


@pytest.mark.parametrize("shape", [(6, 20), (4, 3, 5, 5)])
def test_steps_are_at_most_half_a_step_away(shape: tuple[int, ...]) -> None:
    delta = noise(shape)
    delta[0] *= 1000  # a row with large changes does not coarsen the others
    delta[1] = 0
    steps, scale = int8_rows(delta)
    assert steps.shape == shape and steps.dtype == np.int8 and scale.shape == shape[:1]
    wide = scale.reshape(-1, *[1] * (len(shape) - 1))
    apart = np.abs(steps * wide - delta)
    assert np.all(apart <= 0.5001 * wide)
    assert not steps[1].any() and np.isfinite(scale).all()
    assert np.abs(steps[2]).max() == 127


def test_what_cannot_be_carried_is_refused(
    model: Path, base: dict[str, Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"takes \d+ bytes; wanted at most 1000"):
        publish(model, tmp_path / "out", size=1000)
    assert not (tmp_path / "out").exists()
    for wrong in (1e6, float("nan")):
        checkpoint: Any = open_checkpoint(model)
        with pytest.raises(CheckpointError, match="which float16 cannot"):
            changes(Spoilt(checkpoint, wrong), base, size=LARGEST_BYTES)  # type: ignore[arg-type]


class Spoilt:
    """A checkpoint with one value in a norm that is out of range."""

    def __init__(self, checkpoint: Checkpoint, value: float) -> None:
        self._checkpoint, self._value = checkpoint, value

    def f32(self, name: str) -> Floats:
        values = self._checkpoint.f32(name).copy()
        if name == NORM:
            values[3] = self._value
        return values


def test_the_facts_of_the_runs(model: Path, tmp_path: Path) -> None:
    aligned, learned = tmp_path / "align", tmp_path / "learn"
    for folder in (aligned, learned):
        folder.mkdir()
    (aligned / "stage.json").write_text('{"stage": "align", "minutes": 25, "held_out": 0.4}')
    recipe = {"stage": "learn", "resolved": {"batch": 24}}
    (learned / "recipe.json").write_text(json.dumps(recipe))
    lines = [
        {"step": 0, "held_out": 2.0, "held_out_tasks": {"word": 3.0}},
        {"step": 1, "loss": 2.1, "elapsed": 60.0, "skipped": 0},
        {"step": 2, "loss": 1.9, "elapsed": 120.0, "skipped": 1}
        | {"held_out": 1.5, "held_out_tasks": {"word": 2.5}},
    ]
    (learned / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = publish(model, tmp_path / "out", runs=[aligned, learned])
    assert facts["stages"] == [
        {"stage": "align", "minutes": 25, "held_out": 0.4},
        {"stage": "learn", "minutes": 2.0, "steps": 2, "samples": 47, "held_out": [2.0, 1.5]}
        | {"held_out_tasks": {"word": [3.0, 2.5]}},
    ]


def test_the_command_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert step.main([str(model), "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == {"ranks": [3, 3], "lost_by_rank": 0.0}
    assert step.main([str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
