"""Flat keys there and back; unknown and ill-typed ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from smolvlm.errors import InputError
from smolvlm.training.keys import (
    flatten,
    known_keys,
    parse_assignments,
    read_settings,
    with_values,
)


@dataclass(frozen=True)
class Inner:
    rank: int = 4
    where: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    rate: float
    kind: Literal["x", "y"] = "x"
    on: bool = False
    steps: int | None = None
    inner: Inner | None = None
    always: Inner = field(default_factory=Inner)


def test_flat_keys_of_what_is_there_and_of_what_can_be() -> None:
    assert flatten(Outer(1.0)) == {
        "rate": 1.0, "kind": "x", "on": False, "steps": None, "inner": None,
        "always.rank": 4, "always.where": ("a",),
    }  # fmt: skip
    assert known_keys(Outer)[4:7] == ["inner", "inner.rank", "inner.where"]


def test_values_are_set_where_they_belong() -> None:
    given = parse_assignments(["rate=1e-4", "inner.rank=8", "always.where=[b, c]", "steps=2e3"])
    changed = with_values(Outer(1.0, steps=5), given)
    assert changed == Outer(1e-4, steps=2000, inner=Inner(8), always=Inner(where=("b", "c")))
    assert with_values(changed, {"inner": None, "steps": None}).inner is None
    assert with_values(changed, parse_assignments(["inner.where=p, q"])).inner == Inner(
        8, ("p", "q")
    )


BAD = [
    ("inner.rnk=8", "no setting named 'inner.rnk'; did you mean 'inner.rank'"),
    ("rat=1", "did you mean 'rate'"),
    ("rate=fast", "rate is 'fast'; wanted a number"),
    ("rate=true", "rate is True; wanted a number"),
    ("steps=1.5", "steps is 1.5; wanted a whole number"),
    ("always.rank=yes", "rank is True; wanted a whole number"),
    ("on=1", "on is 1; wanted true or false"),
    ("kind=z", "kind is 'z'; known: x, y"),
    ("always.where=5", "wanted a list of names"),
    ("always=7", "no setting named 'always'; did you mean 'always.rank'"),
    ("rate", "no key and value"),
    ("rate={", "not YAML"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_assignment_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_values(Outer(1.0), parse_assignments([text]))


def test_reading_a_mapping() -> None:
    made = read_settings(Outer, {"rate": "1e-3", "inner": {"rank": 2}}, where="f", what="key")
    assert made == Outer(1e-3, inner=Inner(2))
    with pytest.raises(InputError, match="f lacks rate"):
        read_settings(Outer, {"kind": "y"}, where="f", what="key")
    with pytest.raises(InputError, match=r"f: inner.*did you mean 'rank'"):
        read_settings(Outer, {"rate": 1, "inner": {"rang": 2}}, where="f", what="key")
