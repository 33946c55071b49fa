"""The recipe's stages and mixtures through the trainer's own reading of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recipes.embedded import learn
from recipes.embedded.generators import generators
from recipes.embedded.learn import STAGES, bound_generators, parser, told
from recipes.embedded.materials import Materials
from smolvlm.cli.train import resolve
from smolvlm.config import ModelConfig
from smolvlm.errors import SmolVLMError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.training.mixture import MixtureFile
from smolvlm.training.named import find_stage
from smolvlm.training.parts import part_of, prepare, trained_parameters
from smolvlm.weights.embedded import assets

OWN = sorted(path.stem for path in STAGES.glob("*.yaml"))
MIXTURES = sorted(STAGES.parent.glob("*.yaml"))


def test_the_command_line_says_what_smolvlm_train_would_be_told() -> None:
    line = ["learn", "--model", "m", "--out", "o", "--set", "batch=3", "--set", "seed=1"]
    line += ["--time-budget", "20m", "--resume", "--threads", "2", "--workers", "1"]
    found = told(parser().parse_args(line))
    assert found.stage == str(STAGES / "learn.yaml")
    assert (found.model, found.out, found.resume) == ("m", "o", True)
    assert found.mixture == str(learn.MIXTURE)
    stage = resolve(found).stage
    assert (stage.batch, stage.seed, stage.schedule.time_budget) == (3, 1, 1200.0)
    assert told(parser().parse_args(["lora", "--out", "o"])).stage == "lora"


@pytest.mark.parametrize("name", OWN)
def test_a_stage_can_be_run_on_the_embedded_model(name: str) -> None:
    stage = find_stage(str(STAGES / f"{name}.yaml")).stage
    stage.check_runnable()
    config = ModelConfig.from_folder(assets())
    assert stage.length <= config.text.max_position_embeddings
    with torch.device("meta"):
        model = SmolVLM(config)
    prepare(model, stage, [1, 2, 3])
    trained = trained_parameters(model)
    wanted = {part for part in ("vision", "connector", "text") if getattr(stage, part).rate}
    assert {part_of(path) for path in trained} - {"rows"} == wanted
    # The tower goes back to full tiles, so its positions may not learn.
    assert not [path for path in trained if "position" in path]


def test_a_rate_of_the_connector_is_one_that_keeps_the_start() -> None:
    """`tried.md`: 1e-4 undoes it within a few dozen steps."""
    for name in OWN:
        assert 0 < find_stage(str(STAGES / f"{name}.yaml")).stage.connector.rate <= 1e-5


@pytest.mark.parametrize("path", MIXTURES, ids=lambda path: path.stem)
def test_every_source_of_a_mixture_is_a_generator_there_is(path: Path) -> None:
    file = MixtureFile.read(path)
    known = generators()
    assert [entry.name for entry in file.entries if entry.generator not in known] == []
    # Each as it is called in the table, so that losses are listed under the generators' names.
    assert all(entry.name == entry.generator for entry in file.entries)


def test_a_mixture_gives_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Materials, "open", lambda folder: Materials.synthetic())
    mixture = MixtureFile.read(learn.MIXTURE).open(seed=0, generators=bound_generators(tmp_path))
    for position in range(6):
        sample = mixture[position]
        assert [m.role for m in sample.messages[:2]] == ["user", "assistant"]
    assert mixture[3].key == mixture[3].key != mixture.held_out(3).key


def test_a_dry_run_needs_neither_materials_nor_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(learn, "cache_folder", lambda: tmp_path)
    assert learn.main(["learn", "--dry-run"]) == 0
    assert "connector.rate" in capsys.readouterr().out
    assert learn.main(["learn", "--dry-run", "--set", "bach=3"]) == 2
    assert "did you mean 'batch'?" in capsys.readouterr().err
    with pytest.raises(SmolVLMError):
        bound_generators(tmp_path)
    assert learn.main(["learn", "--out", str(tmp_path / "out")]) == 2
