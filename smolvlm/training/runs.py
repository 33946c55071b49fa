"""From a model folder, a recipe and a mixture to a run, and from a run to what it leaves behind.

OUT/log.jsonl, skipped.jsonl    what was said (`log.py`)
OUT/state/                      checkpoints to go on from (`state.py`)
OUT/recipe.json                 every number of the run
OUT/model/ or OUT/adapter/      the result (`adapter_files.py`)
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from smolvlm.errors import CheckpointError, InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy, ReferencePolicy, SplitPolicy
from smolvlm.training.adapter_files import save_adapter, save_merged, trained_tensors
from smolvlm.training.distributed import World
from smolvlm.training.keys import flatten
from smolvlm.training.loader import Steps
from smolvlm.training.mixture import MixtureFile
from smolvlm.training.parts import (
    find_row_ids,
    first_dtype,
    part_of,
    prepare,
    trained_parameters,
)
from smolvlm.training.sources import Generator
from smolvlm.training.stages import Recipe, Stage
from smolvlm.training.trainer import RunOptions, Trainer
from smolvlm.weights.reader import Checkpoint, open_checkpoint, weight_files

Output = Literal["model", "adapter"]


@dataclass(frozen=True)
class Run:
    """A run ready to begin. `trained` counts the trained numbers of each part."""

    trainer: Trainer
    steps: Steps
    checkpoint: Checkpoint
    trained: Mapping[str, int]

    def write_result(self, output: Output) -> Path:
        """Write what was trained as a model folder or an adapter folder; returns it."""
        trainer = self.trainer
        folder = trainer.out / output
        trained = trained_tensors(trainer.model)
        if output == "adapter":
            save_adapter(folder, trained, {"recipe": trainer.recipe})
        else:
            save_merged(folder, self.checkpoint, trained, max_shard_bytes=trainer.options.max_bytes)
        return folder


def open_run(
    folder: Path,
    recipe: Recipe,
    out: Path,
    *,
    generators: Mapping[str, Generator] | None = None,
    world: World | None = None,
    device: torch.device | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Everything checked and opened; nothing is trained yet, and only `recipe.json` is written."""
    stage = recipe.stage
    stage.check_runnable()
    steps, facts = _open_steps(folder, stage, generators or {}, world or World())
    base = open_checkpoint(folder)
    base.require_values()
    model = _open_model(base, steps.processor, stage).to(device or torch.device("cpu"))
    if options is not None and options.compiled:
        compile_layers(model)
    resolved = {**flatten(stage), **facts, "base": content_digest(folder)}
    del resolved["mixture"]  # where the file lies may change; what it says stands in `facts`
    trainer = Trainer(
        model,
        steps.processor.rules,
        steps,
        stage,
        recipe=resolved,
        out=out,
        world=world,
        options=options,
    )
    counts: dict[str, int] = {}
    for name, parameter in trained_parameters(model).items():
        counts[part_of(name)] = counts.get(part_of(name), 0) + parameter.numel()
    if trainer.world.first:
        _write_recipe(out, recipe, resolved)
    return Run(trainer, steps, base, counts)


def content_digest(folder: Path) -> str:
    """A digest of what a model's weight files hold, wherever they lie."""
    digest = hashlib.sha256()
    for path in weight_files(folder):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _open_steps(
    folder: Path, stage: Stage, generators: Mapping[str, Generator], world: World
) -> tuple[Steps, dict[str, Any]]:
    """The data of the run, and what identifies them."""
    if stage.mixture is None:
        raise InputError("the stage has no mixture; give one: --mixture FILE.yaml")
    processor = Processor.from_folder(folder, _policy(stage))
    limit = processor.config.text.max_position_embeddings
    if stage.length > limit:
        raise InputError(f"length is {stage.length}, but the model's context holds {limit} tokens")
    file = MixtureFile.read(Path(stage.mixture))
    mixture = file.open(
        seed=stage.seed,
        generators=generators,
        licences=["green"] if stage.licence == "green" else ["green", "amber"],
    )
    return Steps(mixture, processor, stage, world), mixture.facts()


def _open_model(base: Checkpoint, processor: Processor, stage: Stage) -> SmolVLM:
    """The network as the stage wants it."""
    model = SmolVLM.from_checkpoint(base, dtype=partial(first_dtype, stage))
    torch.manual_seed(stage.seed)  # the adapters' first numbers
    prepare(model, stage, find_row_ids(processor.tokenizer, stage))
    if stage.checkpointing:
        forget_activations(model, stage)
    return model


def compile_layers(model: SmolVLM) -> None:
    """Let `torch.compile` fuse each layer when it is first used; lengths may change.

    Pays on a GPU. On the CPUs it was measured on it gave nothing (`recipes/embedded/tried.md`).
    """
    for layer in (*model.text_model.layers, *model.vision_model.encoder.layers):
        layer.compile(dynamic=True)


def forget_activations(model: SmolVLM, stage: Stage) -> None:
    """Let the layers that gradients go through keep their inputs only, and compute the rest again.

    Memory for time: about a third more computing, and activations of one layer instead of all.
    """
    layers: list[nn.Module] = [*model.text_model.layers]
    if stage.vision.rate:
        layers += [*model.vision_model.encoder.layers]
    for layer in layers:
        layer.forward = partial(_forgetful, copy.copy(layer))


def _forgetful(layer: nn.Module, *inputs: Any) -> Any:
    """What the layer makes of its inputs, which alone are kept.

    The weights are those of this moment when all is computed again: `loss.py` may have lent narrow
    ones, which are gone by then.
    """
    weights = dict(layer.named_parameters())
    return checkpoint(functional_call, layer, weights, inputs, use_reentrant=False)


def _policy(stage: Stage) -> SplitPolicy:
    return ReferencePolicy() if stage.policy == "reference" else BudgetPolicy(stage.max_tiles)


def _write_recipe(out: Path, recipe: Recipe, resolved: Mapping[str, Any]) -> None:
    lines = {key: {"value": value, "source": source} for key, value, source in recipe.lines()}
    record = {"stage": recipe.name, "about": recipe.about, "settings": lines, "resolved": resolved}
    try:
        text = json.dumps(record, indent=1) + "\n"
        (out / "recipe.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{out} cannot be written ({error.strerror})") from None
