"""Single values of a checkpoint's JSON files, each checked before it is believed.

Every check fails with a `CheckpointError` that names the file, the key, the value seen and what was
wanted. Which keys there are, and what they mean, is `config.py`'s business.
"""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from smolvlm.errors import CheckpointError

Json = Mapping[str, Any]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; `CheckpointError` when the file is missing, broken or not an object."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a model folder needs it") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; download it again") from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} holds a {type(data).__name__}; wanted a JSON object")
    return data


def refusal(where: str, key: str, value: Any, wanted: str) -> CheckpointError:
    """The error for a value that cannot be used, in one form everywhere."""
    # A whole section or a long list in place of a number should not fill the screen.
    return CheckpointError(f"{where} has {key} = {reprlib.repr(value)}; wanted {wanted}")


def section(data: Json, key: str) -> Json:
    """A nested object of `config.json`."""
    value = data.get(key)
    if not isinstance(value, Mapping):
        raise refusal("config.json", key, value, "an object: every SmolVLM config has one")
    return value


def integer(data: Json, key: str, *, where: str) -> int:
    """A whole number from 1 on."""
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise refusal(where, key, value, "a positive integer")
    return value


def number(data: Json, key: str, *, where: str) -> float:
    """A finite number above 0."""
    value = data.get(key)
    if not _is_number(value) or not 0 < value <= sys.float_info.max:
        raise refusal(where, key, value, "a positive number")
    return float(value)


def flag(data: Json, key: str, default: bool, *, where: str) -> bool:
    """True or false; the default where the key is absent."""
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise refusal(where, key, value, "true or false")
    return value


def one_of(data: Json, key: str, known: tuple[Any, ...], *, where: str) -> None:
    """Refuse a value that is not one of those known."""
    if data.get(key) not in known:
        raise refusal(where, key, data.get(key), " or ".join(map(repr, known)))


def edge(data: Json, key: str, *, where: str) -> int:
    """The `longest_edge` of a nested object, in pixels."""
    value = data.get(key)
    if not isinstance(value, Mapping):
        raise refusal(where, key, value, "an object with longest_edge")
    return integer(value, "longest_edge", where=f"{where}: {key}")


def triple(data: Json, key: str, *, where: str) -> tuple[float, float, float]:
    """Three numbers, one per colour."""
    value = data.get(key)
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
        raise refusal(where, key, value, "three numbers")
    return float(value[0]), float(value[1]), float(value[2])


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
