"""A stage as data: what is trained at which rate, how long, on what; where numbers are from.

A stage is frozen and complete: with a model folder, a mixture and this package's version it says
everything that a run depends on, so a run that goes on compares it with the one it goes on from.
Named stages are in `named.py`; any of their values can be changed by a YAML file or by `--set`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smolvlm.errors import InputError
from smolvlm.processing.tokenizer import END_OF_UTTERANCE, FAKE, GLOBAL
from smolvlm.training.keys import flatten, parse_assignments, read_yaml, with_values

Layout = Literal["packed", "right", "left"]
"""How samples share a batch: one behind another without padding, or padded on a side."""
Precision = Literal["bf16", "f32"]
TEXT_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MAX_SEED = 255  # generators' training seeds are seed * 2^32 and up, held-out ones 2^40 and up


@dataclass(frozen=True)
class Adapter:
    """A low-rank update, times alpha / rank, of linear layers by the last part of their names."""

    kind: Literal["lora", "dora"] = "lora"
    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    where: tuple[str, ...] = TEXT_LINEARS

    def __post_init__(self) -> None:
        _check("adapter.rank", self.rank, self.rank >= 1, "at least 1")
        _check("adapter.alpha", self.alpha, self.alpha > 0, "above 0")
        _check("adapter.dropout", self.dropout, 0 <= self.dropout < 1, "0 to below 1")
        _check("adapter.where", self.where, bool(self.where), "names of linear layers")


@dataclass(frozen=True)
class Part:
    """How one part of the network is trained.

    rate: the peak learning rate; 0 is frozen. adapter: None trains the part in full. full: beside
    an adapter, what is trained in full: parameters with one of these words in their name. frozen:
    without an adapter, what stays as it is all the same, by such words ("layers.0.", "position").
    """

    rate: float = 0.0
    adapter: Adapter | None = None
    full: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("rate", self.rate, 0 <= self.rate < 1, "0 (frozen) to below 1")
        if self.full and self.adapter is None:
            raise InputError("full is only for parts with an adapter; without one all is trained")
        if self.frozen and self.adapter is not None:
            raise InputError("frozen is only for parts without an adapter; beside one all is")
        if self.adapter is not None and self.rate == 0:
            raise InputError("a part with an adapter has the rate 0; give it one, or no adapter")


@dataclass(frozen=True)
class Rows:
    """Rows of the token table (and head) trained where the rest of the table is frozen."""

    rate: float = 0.0
    tokens: tuple[str, ...] = (FAKE, GLOBAL, END_OF_UTTERANCE)

    def __post_init__(self) -> None:
        _check("rows.rate", self.rate, 0 <= self.rate < 1, "0 (frozen) to below 1")
        _check("rows.tokens", self.tokens, not self.rate or bool(self.tokens), "names of tokens")


@dataclass(frozen=True)
class Schedule:
    """How the rates move, and when the run ends.

    steps: optimiser steps; None goes by the time budget alone (then nothing is repeatable to the
    bit). time_budget: seconds after which the run ends in any case. length: steps after which the
    rate reaches `floor` (a share of the peak), `steps` if None. warm_up: steps of linear rise, or
    warm_up_share of the length, whichever is larger.
    """

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    steps: int | None = None
    time_budget: float | None = None
    length: int | None = None
    warm_up: int = 0
    warm_up_share: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "time_budget", "length"):
            value = getattr(self, name)
            _check(f"schedule.{name}", value, value is None or value > 0, "above 0, or none")
        _check("schedule.warm_up", self.warm_up, self.warm_up >= 0, "0 or more steps")
        share = self.warm_up_share
        _check("schedule.warm_up_share", share, 0 <= share < 1, "0 to below 1")
        _check("schedule.floor", self.floor, 0 <= self.floor <= 1, "0 to 1")
        if self.steps is None and self.length is None and self.warm_up:
            raise InputError("schedule.warm_up counts steps; without steps give warm_up_share")


@dataclass(frozen=True)
class Stage:
    """One run.

    batch: samples of an optimiser step, over all processes. micro_tokens: tokens that go through
    the network together; None is the whole step. length: samples with more tokens are left out.
    policy, max_tiles: how pictures are split. licence: "green" leaves out share-alike sources.
    neftune: alpha of the noise on embeddings (arXiv 2310.05914). precision: of the frozen weights
    and of products; what is trained is float32. validation: held-out samples whose loss is taken
    every validate_every steps and at the end.
    """

    vision: Part = field(default_factory=Part)
    connector: Part = field(default_factory=Part)
    text: Part = field(default_factory=Part)
    rows: Rows = field(default_factory=Rows)
    schedule: Schedule = field(default_factory=Schedule)
    mixture: str | None = None
    licence: Literal["all", "green"] = "all"
    batch: int = 16
    micro_tokens: int | None = None
    length: int = 2048
    layout: Layout = "packed"
    policy: Literal["budget", "reference"] = "budget"
    max_tiles: int = 5
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 1.0
    neftune: float = 0.0
    precision: Precision = "bf16"
    checkpointing: bool = False
    validation: int = 64
    validate_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "length", "max_tiles", "validate_every"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        tokens = self.micro_tokens
        _check("micro_tokens", tokens, tokens is None or tokens >= 1, "at least 1, or none")
        for name in ("beta1", "beta2"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "0 to below 1")
        for name in ("weight_decay", "neftune", "validation"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        _check("clip", self.clip, self.clip > 0, "above 0")
        _check("seed", self.seed, 0 <= self.seed <= MAX_SEED, f"0 to {MAX_SEED}")
        if self.rows.rate and self.text.rate and self.text.adapter is None:
            raise InputError("rows.rate is for a frozen table; text is trained in full, rows too")

    def check_runnable(self) -> None:
        """`InputError` when nothing is trained or nothing ends the run."""
        if not any((self.vision.rate, self.connector.rate, self.text.rate, self.rows.rate)):
            raise InputError("every rate of the stage is 0; there is nothing to train")
        if self.schedule.steps is None and self.schedule.time_budget is None:
            raise InputError("nothing ends the run; give schedule.steps or a time budget")


@dataclass(frozen=True)
class Recipe:
    """A stage and where each of its numbers is from.

    sources: dotted key, or the beginning of some, → words; the longest that fits counts.
    """

    name: str
    about: str
    stage: Stage
    sources: Mapping[str, str]

    def source(self, key: str) -> str:
        """Where the value of a key is from."""
        fitting = [k for k in self.sources if k == key or k == "" or key.startswith(f"{k}.")]
        return self.sources[max(fitting, key=len)] if fitting else "default"

    def lines(self) -> list[tuple[str, str, str]]:
        """Every resolved value: (key, value, source)."""
        return [(k, _shown(v), self.source(k)) for k, v in flatten(self.stage).items()]

    def changed(self, values: Mapping[str, Any], source: str) -> Recipe:
        """The same recipe with other values; `InputError` names a key that does not exist."""
        stage = with_values(self.stage, values, what="stage setting")
        return Recipe(
            self.name, self.about, stage, {**self.sources, **dict.fromkeys(values, source)}
        )


def read_stage(path: Path, named: Mapping[str, Recipe]) -> Recipe:
    """A stage from YAML: settings by key, nested or dotted, on top of the one named by `base`."""
    data = read_yaml(path)
    base = data.pop("base", None)
    if base is not None and base not in named:
        raise InputError(f"{path} builds on {base!r}; known stages: {', '.join(named)}")
    start = named[base] if base else Recipe("", "", Stage(), {})
    changed = start.changed(_dotted(data), path.name)
    return Recipe(path.stem, f"from {path.name}", changed.stage, changed.sources)


def with_assignments(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """A recipe with `--set key=value` applied."""
    return recipe.changed(parse_assignments(assignments), "command line")


def _dotted(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        nested = isinstance(value, Mapping)
        flat |= _dotted(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value) if value else "none"
    if isinstance(value, float):
        return f"{value:g}"
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _check(key: str, value: Any, good: bool, wanted: str) -> None:
    if not good:
        raise InputError(f"{key} is {value!r}; wanted {wanted}")
