"""`smolvlm doctor`: what this machine has, and which engines can run on it.

Only reports; every judgement about an engine is that of `engines/choose.py`, and what should be
installed is read from the package's own metadata.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

from smolvlm import __version__
from smolvlm.cli import machine, show
from smolvlm.engines.choose import Explanation, default_choice, explain_choices
from smolvlm.errors import CacheError
from smolvlm.weights.cache import cache_folder

_EXTRA = re.compile(r"extra == ['\"](\w+)['\"]")
_NAME = re.compile(r"[\w.-]+")
Row = tuple[str, str]


def examine() -> bool:
    """Print the report; whether the default engine can run and the cache can be written."""
    choices = explain_choices()
    healthy, cache = _cache()
    _print("system", [*_system(), cache])
    _print("packages", list(_packages()))
    _print("engines", [_engine(choice) for choice in choices])
    default = default_choice(choices)
    if default is None:
        print("default: none; no engine can run here, see the reasons above")
    else:
        print(f"default: {default.name} {default.precision} on {default.device}")
    return healthy and default is not None


def _print(title: str, rows: list[Row]) -> None:
    print(title)
    show.print_table(show.table([("  " + left, right) for left, right in rows]))
    print()


def _system() -> Iterator[Row]:
    yield "smolvlm", __version__
    yield "python", f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield "processor", f"{machine.cpu_name()}, {machine.cpu_count()} to use"
    features = machine.cpu_features()
    if features is None:
        yield "features", "unknown"
    else:
        yield "features", ", ".join(f for f, has in features.items() if has) or "none of note"
        yield "lacking", ", ".join(f for f, has in features.items() if not has) or "nothing"
    memory = machine.memory()
    every, available = memory or (None, None)
    yield "memory", f"{show.size(available)} free of {show.size(every)}"


def _cache() -> tuple[bool, Row]:
    """Whether the cache folder can be written, and what to say of it."""
    try:
        folder = cache_folder()
    except CacheError as error:
        return False, ("cache", f"unusable: {error}")
    return True, ("cache", f"{folder}, {show.size(machine.free_space(folder))} free")


def _packages() -> Iterator[Row]:
    """What smolvlm needs and can use, with the version there is; developers' tools left out."""
    seen = set()
    for requirement in metadata.requires("smolvlm") or ():
        extra = _EXTRA.search(requirement)
        found = _NAME.match(requirement)
        assert found, requirement
        name = found[0]
        if name in seen or (extra and extra[1] == "dev"):
            continue
        seen.add(name)
        yield name, _version(name) or _absent(name, extra[1] if extra else None)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _absent(name: str, extra: str | None) -> str:
    if extra:
        return f"not installed; optional (pip install 'smolvlm[{extra}]')"
    return f"not installed, but needed (pip install {name})"


def _engine(told: Explanation) -> Row:
    choice = told.choice
    state = f"can run: {choice.reason}" if told.obstacle is None else f"cannot run: {told.obstacle}"
    return f"{choice.name} {choice.precision} on {choice.device}", state
