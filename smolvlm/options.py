"""The keywords of the Python face, checked: how a model is opened and how it answers.

Keywords come from people, command lines and JSON, so an unknown one is an error that names the
nearest, and a contradiction is found before anything is fetched. What each generation setting does
is in `types.py`; which engines and precisions there are is `engines/choose.py`'s business.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from smolvlm.errors import InputError, UnknownNameError
from smolvlm.types import GenerationSettings

if TYPE_CHECKING:
    from smolvlm.processing.budget import Budget
    from smolvlm.processing.split import SplitPolicy

POLICIES = ("budget", "reference")

Settings = TypeVar("Settings")


class LoadOptions(TypedDict, total=False):
    """The keywords of `load` and `explain`; `Options` says what they mean."""

    engine: str | None
    precision: str | None
    policy: str
    max_tiles: int | None
    max_visual_tokens: int | None
    budget: str | None
    revision: str | None
    offline: bool | None
    threads: int | None
    allow_urls: bool
    feature_cache: int
    prefix_cache: int
    disk_cache: str | Path | None
    disk_cache_limit: int


class GenerationOptions(TypedDict, total=False):
    """The keywords of every call that answers; `types.GenerationSettings` says what they mean."""

    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: str | Sequence[str]
    lookup: int
    keep_repeating: bool


@dataclass(frozen=True)
class Options:
    """How a model is opened.

    engine, precision: None takes the best there is here (`engines/choose.py` lists them).
    policy: "budget" never enlarges a picture and keeps to max_tiles / max_visual_tokens a picture;
    "reference" splits as the published processor does, and has no budget. budget: "500ms" to the
    first token, or "256tok" of visual tokens: each message's pictures get as many tiles as that
    pays for (`processing/budget.py`).
    revision, offline: which version on the hub, and whether it may be asked (None: the environment
    decides). threads: CPU threads, None for all. allow_urls: whether pictures may be fetched.
    feature_cache: MiB of visual features to keep, so that no tile is encoded twice; 0 keeps none.
    prefix_cache: MiB of keys and values to keep, so that no beginning of a prompt is read twice; 0
    keeps none. disk_cache: a folder where both are kept for later processes too, at most
    disk_cache_limit MiB of them; None keeps nothing on the disk.
    """

    engine: str | None = None
    precision: str | None = None
    policy: str = "budget"
    max_tiles: int | None = None
    max_visual_tokens: int | None = None
    budget: str | None = None
    revision: str | None = None
    offline: bool | None = None
    threads: int | None = None
    allow_urls: bool = False
    feature_cache: int = 256
    prefix_cache: int = 256
    disk_cache: str | Path | None = None
    disk_cache_limit: int = 1024

    def __post_init__(self) -> None:
        threads = self.threads
        if threads is not None and (not _is_whole(threads) or threads < 1):
            raise InputError(
                f"threads is {threads!r}; wanted a whole number of at least 1, or None"
            )
        for name in ("feature_cache", "prefix_cache", "disk_cache_limit"):
            size = getattr(self, name)
            if not _is_whole(size) or size < 0:
                raise InputError(
                    f"{name} is {size!r}; wanted a whole number of MiB, 0 for no cache"
                )
        disk = self.disk_cache
        if disk is not None and (not isinstance(disk, str | Path) or not str(disk).strip()):
            raise InputError(f"disk_cache is {disk!r}; wanted the name of a folder, or None")

    def whole_budget(self) -> Budget | None:
        """The budget of a message; `InputError` when it cannot be read."""
        from smolvlm.processing.budget import Budget

        return None if self.budget is None else Budget.parse(self.budget)

    def split_policy(self) -> SplitPolicy:
        """The splitter's policy; `InputError` when the options contradict each other."""
        from smolvlm.processing.budget import MOST_TILES
        from smolvlm.processing.split import BudgetPolicy, ReferencePolicy

        budget = (self.max_tiles, self.max_visual_tokens)
        if self.policy not in POLICIES:
            raise UnknownNameError(
                f"there is no policy named {self.policy!r}; known: {', '.join(POLICIES)}"
            )
        if self.policy == "budget":
            if budget != (None, None):
                return BudgetPolicy(*budget)
            return BudgetPolicy() if self.budget is None else BudgetPolicy(MOST_TILES)
        if budget != (None, None) or self.budget is not None:
            raise InputError(
                "the reference policy splits as published and has no budget; leave out max_tiles, "
                "max_visual_tokens and budget, or choose policy 'budget'"
            )
        return ReferencePolicy()


def read_generation(given: Mapping[str, Any]) -> GenerationSettings:
    """Keywords as `GenerationSettings`; `stop` may be one string or any sequence of them."""
    stop = given.get("stop", ())
    if isinstance(stop, str):
        given = {**given, "stop": (stop,)}
    elif isinstance(stop, list):
        given = {**given, "stop": tuple(stop)}
    return _read_keywords(GenerationSettings, given, "generation setting")


def read_load(given: Mapping[str, Any]) -> Options:
    """Keywords as `Options`."""
    return _read_keywords(Options, given, "option")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_keywords(kind: type[Settings], given: Mapping[str, Any], what: str) -> Settings:
    """A settings dataclass from keywords; `InputError` for an unknown one names the nearest."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise InputError(f"there is no {what} named {name!r}; {hint}")
    return kind(**given)
