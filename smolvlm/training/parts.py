"""A model made ready for a stage: what is frozen, what is adapted, what is trained in full.

After `prepare`, a parameter is trained exactly if it requires a gradient, and `part_of` says with
which part's rate. What is trained is float32; what is frozen is held in the stage's precision once
and for all, so that no step casts it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import nn

from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.training.lora import adapt, train_rows
from smolvlm.training.stages import Part, Stage

PartName = Literal["vision", "connector", "text", "rows"]
TABLES = ("text_model.embed_tokens.", "lm_head.")  # what `rows` are rows of
PREFIXES: Mapping[PartName, tuple[str, ...]] = {
    "vision": ("vision_model.",),
    "connector": ("connector.",),
    "text": ("text_model.", "lm_head"),
}


def prepare(model: SmolVLM, stage: Stage, row_ids: Sequence[int]) -> None:
    """Freeze, adapt and cast a model as the stage says; `row_ids` are its `rows.tokens`.

    The model is float32, or was opened with `first_dtype`. `InputError` for a name of the stage
    that nothing in the model has.
    """
    stage.check_runnable()
    model.requires_grad_(False)
    for name, part in parts(stage):
        _prepare_part(model, name, part)
    if stage.rows.rate:
        train_rows(model, row_ids)
    if stage.precision == "bf16":
        _cast_frozen(model, {name for name, part in parts(stage) if _trains_whole_tensors(part)})
    trained = trained_parameters(model).values()
    assert all(p.dtype == torch.float32 for p in trained), "trained weights start unrounded"
    model.train()


def first_dtype(stage: Stage, name: str) -> torch.dtype:
    """What a weight is read as: at once what it will be held as, where that can be said by name.

    A frozen weight that is first float32 leaves a hole of twice its size in memory, which nothing
    larger fits into.
    """
    if stage.precision == "f32" or (stage.rows.rate and name.startswith(TABLES)):
        return torch.float32
    part = dict(parts(stage))[part_of(name)]
    return torch.float32 if _trains_whole_tensors(part) else torch.bfloat16


def parts(stage: Stage) -> Iterator[tuple[PartName, Part]]:
    """The parts of a stage that are whole parts of the network, by name."""
    yield "vision", stage.vision
    yield "connector", stage.connector
    yield "text", stage.text


def part_of(parameter: str) -> PartName:
    """The part a parameter is trained with."""
    if parameter.endswith(".rows"):
        return "rows"
    return next(name for name, prefixes in PREFIXES.items() if parameter.startswith(prefixes))


def rate_of(stage: Stage, part: PartName) -> float:
    """The peak learning rate of a part."""
    if part == "rows":
        return stage.rows.rate
    return {name: settings.rate for name, settings in parts(stage)}[part]


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Everything that is trained, by its name in the model; a tied row counts once."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def find_row_ids(tokenizer: Tokenizer, stage: Stage) -> list[int]:
    """The ids of the tokens whose rows are trained; `InputError` for one that does not exist."""
    if not stage.rows.rate:
        return []
    ids = []
    for token in stage.rows.tokens:
        id_ = tokenizer.token_id(token)
        if id_ is None:
            raise InputError(f"rows.tokens names {token!r}, which the model's vocabulary lacks")
        ids.append(id_)
    return ids


def _prepare_part(model: SmolVLM, name: PartName, part: Part) -> None:
    if not part.rate:
        return
    own = {
        path: parameter
        for path, parameter in model.named_parameters()
        if path.startswith(PREFIXES[name])
    }
    if part.adapter is None:
        for parameter in own.values():
            parameter.requires_grad_(True)
        for parameter in _named(own, f"{name}.frozen", part.frozen):
            parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in own.values()):
            raise InputError(f"{name}.frozen leaves nothing to train; give the rate 0 instead")
        return
    for parameter in _named(own, f"{name}.full", part.full):
        parameter.requires_grad_(True)
    adapter = part.adapter
    adapt(
        model,
        adapter.where,
        prefixes=PREFIXES[name],
        rank=adapter.rank,
        alpha=adapter.alpha,
        dropout=adapter.dropout,
        dora=adapter.kind == "dora",
    )


def _named(
    own: Mapping[str, nn.Parameter], key: str, words: Sequence[str]
) -> Iterator[nn.Parameter]:
    """Parameters with one of the words in their name; `InputError` for a word that none has."""
    for word in words:
        chosen = [parameter for path, parameter in own.items() if word in path]
        if not chosen:
            raise InputError(f"{key} names {word!r}, which no parameter has in its name")
        yield from chosen


def _trains_whole_tensors(part: Part) -> bool:
    return part.rate > 0 and (part.adapter is None or bool(part.full))


def _cast_frozen(model: SmolVLM, whole: set[PartName]) -> None:
    """Frozen weights to bfloat16; vectors of parts in `whole` stay, as their neighbours do.

    A norm whose input may be float32, because something before it is trained in float32, must not
    have a narrower weight.
    """
    for name, parameter in model.named_parameters():
        keeps = parameter.ndim == 1 and part_of(name) in whole
        if not parameter.requires_grad and not keeps:
            parameter.data = parameter.data.to(torch.bfloat16)
