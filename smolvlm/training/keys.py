"""Settings as flat keys: `text.adapter.rank` of nested frozen dataclasses.

What a person writes in YAML or behind `--set` goes through here, so that an unknown key is named
with the nearest known one and a value of the wrong type is refused where it stands. Which settings
there are is said by the dataclasses of `stages.py` and `mixture.py`.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from smolvlm.errors import InputError

Settings = TypeVar("Settings")


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """`InputError` for the first key that is not known; it names the nearest that is."""
    names = list(known)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise InputError(f"there is no {what} named {key!r}; {hint}")


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of a dataclass under its dotted key; a nested one that is None is one key."""
    flat: dict[str, Any] = {}
    for field in fields(settings):
        value, key = getattr(settings, field.name), prefix + field.name
        flat |= flatten(value, f"{key}.") if is_dataclass(value) else {key: value}
    return flat


def known_keys(kind: type, prefix: str = "") -> list[str]:
    """Every key that can be set, those of optional nested dataclasses included."""
    keys: list[str] = []
    for name, hint in _hints(kind).items():
        nested = _nested(hint)
        if nested is None or _may_be_none(hint):
            keys.append(prefix + name)
        if nested is not None:
            keys += known_keys(nested, f"{prefix}{name}.")
    return keys


def with_values(
    settings: Settings, values: Mapping[str, Any], *, what: str = "setting"
) -> Settings:
    """The same settings with some dotted keys changed; `InputError` names the key that is wrong.

    A key inside a nested dataclass that is None starts from that dataclass's defaults.
    """
    refuse_unknown(values, known_keys(type(settings)), what)
    return _replaced(settings, values, "")


def read_settings(kind: type[Settings], raw: Any, *, where: str, what: str) -> Settings:
    """A dataclass from a mapping of its fields, as YAML gives it."""
    if not isinstance(raw, Mapping):
        raise InputError(f"{where} is {raw!r}; wanted keys and values: {_names(kind)}")
    hints = _hints(kind)
    try:
        refuse_unknown(map(str, raw), hints, what)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    values = {key: _checked(raw[key], hints[key], f"{where}: {key}") for key in raw}
    lacking = [
        field.name
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in values and not _has_default(field)
    ]
    if lacking:
        raise InputError(f"{where} lacks {', '.join(lacking)}; wanted keys: {_names(kind)}")
    return kind(**values)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` strings as they stand on a command line; values are read as YAML."""
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {text!r} has no key and value; write it as key=value")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {text!r} has a value that is not YAML") from None
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds keys and values; `InputError` where it does not."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; wanted a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no keys and values; wanted a YAML mapping")
    return {str(key): value for key, value in data.items()}


def _replaced(settings: Settings, values: Mapping[str, Any], prefix: str) -> Settings:
    hints, changed = _hints(type(settings)), {}
    for name, hint in hints.items():
        key = prefix + name
        nested = _nested(hint)
        inner = {k: v for k, v in values.items() if k.startswith(f"{key}.")}
        if key in values and not (nested and inner):
            changed[name] = _checked(values[key], hint, key)
        elif inner:
            assert nested is not None
            current = getattr(settings, name)
            changed[name] = _replaced(nested() if current is None else current, inner, f"{key}.")
    return replace(settings, **changed)  # type: ignore[type-var]


def _checked(value: Any, hint: Any, where: str) -> Any:
    """The value in the type a field asks for."""
    if value is None and _may_be_none(hint):
        return None
    plain = _without_none(hint)
    nested = _nested(plain)
    if nested is not None:
        return read_settings(nested, value, where=where, what="key")
    if get_origin(plain) is Literal:
        if value in get_args(plain):
            return value
        known = ", ".join(map(str, get_args(plain)))
        raise InputError(f"{where} is {value!r}; known: {known}")
    if get_origin(plain) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if isinstance(items, list | tuple) and all(isinstance(item, str) for item in items):
            return tuple(item.strip() for item in items)
        raise InputError(f"{where} is {value!r}; wanted a list of names")
    return _scalar(value, plain, where)


def _scalar(value: Any, kind: Any, where: str) -> Any:
    if kind is float:
        try:  # YAML 1.1 reads 1e-4, without a point, as a string
            return float(value) if not isinstance(value, bool) else _refuse(value, kind, where)
        except (TypeError, ValueError):
            return _refuse(value, kind, where)
    if kind is int and isinstance(value, float | str):
        number = _scalar(value, float, where)
        return int(number) if number.is_integer() else _refuse(value, kind, where)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    return _refuse(value, kind, where)


def _refuse(value: Any, kind: Any, where: str) -> Any:
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    raise InputError(f"{where} is {value!r}; wanted {words[kind]}")


def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _has_default(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _names(kind: type) -> str:
    return ", ".join(_hints(kind))


def _may_be_none(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and types.NoneType in get_args(hint)


def _without_none(hint: Any) -> Any:
    if not _may_be_none(hint):
        return hint
    (plain,) = [arg for arg in get_args(hint) if arg is not types.NoneType]
    return plain


def _nested(hint: Any) -> Any:
    plain = _without_none(hint)
    return plain if is_dataclass(plain) else None
