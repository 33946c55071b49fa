"""What a question costs on this machine, kept in the cache folder: one small file a combination.

A combination is a model's weights, an engine, a precision, a number of threads, the machine and the
versions of what runs: what was measured for one says nothing about another. Measuring is left to
whoever calls `keep_costs`, choosing tiles by it to `processing/budget.py`.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, fields
from importlib import metadata
from pathlib import Path

from smolvlm import __version__
from smolvlm.engines.choose import Choice, choose_for
from smolvlm.errors import CacheError, InputError
from smolvlm.processing.budget import Costs
from smolvlm.weights.cache import cache_folder
from smolvlm.weights.reader import Checkpoint


def find_costs(fingerprint: str, choice: Choice, threads: int | None) -> Costs | None:
    """What was fitted for this combination; None when nothing usable was."""
    path = _path(fingerprint, choice, threads)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["about"] != _about(fingerprint, choice, threads):
            return None
        return Costs(**{field.name: float(stored["costs"][field.name]) for field in fields(Costs)})
    except (OSError, ValueError, TypeError, KeyError):  # absent, cut short or of another form
        return None


def required_costs(
    model: str,
    checkpoint: Checkpoint,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Costs:
    """What was fitted for what would run; `InputError` when nothing was.

    model: how the user calls it. The others are those of `choose.create_engine`, and so are the
    errors.
    """
    choice = choose_for(checkpoint, engine, precision, threads)
    costs = find_costs(checkpoint.fingerprint, choice, threads)
    if costs is None:
        raise InputError(
            f"nobody has measured what {model} costs on {choice.name} {choice.precision} here with"
            " these threads; run `smolvlm bench --fit` with the same options, or give the budget in"
            " visual tokens: 256tok"
        )
    return costs


def keep_costs(fingerprint: str, choice: Choice, threads: int | None, costs: Costs) -> Path:
    """Keep what was fitted, in place of what was before; `CacheError` when it cannot be written."""
    path = _path(fingerprint, choice, threads)
    stored = {"about": _about(fingerprint, choice, threads), "costs": asdict(costs)}
    new = path.with_suffix(".new")
    try:
        new.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise CacheError(
            f"the fitted costs cannot be written to {path} ({error.strerror}); make room or set"
            " SMOLVLM_CACHE to another folder"
        ) from None
    return path


def _about(fingerprint: str, choice: Choice, threads: int | None) -> dict[str, str | int | None]:
    return {
        "model": fingerprint,
        "engine": choice.name,
        "device": choice.device,
        "precision": choice.precision,
        "threads": threads,
        "machine": f"{platform.node()} {platform.machine()}",
        "smolvlm": __version__,
        choice.package: metadata.version(choice.package),
    }


def _path(fingerprint: str, choice: Choice, threads: int | None) -> Path:
    about = json.dumps(_about(fingerprint, choice, threads), sort_keys=True)
    return cache_folder("costs") / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"
