"""Fitted costs on the disk: found for the same combination only, and never a reason to fail."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from smolvlm.engines.choose import CHOICES
from smolvlm.engines.fitted_costs import find_costs, keep_costs, required_costs
from smolvlm.errors import InputError
from smolvlm.processing.budget import Costs
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny

COSTS = Costs(1.0, 2.5, 3.0, 0.25, 1e-5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    return tmp_path / "costs"


def test_what_was_kept_is_found() -> None:
    assert find_costs("a", CHOICES[0], None) is None
    keep_costs("a", CHOICES[0], None, COSTS)
    assert find_costs("a", CHOICES[0], None) == COSTS
    again = Costs(*(2 * value for value in vars(COSTS).values()))
    keep_costs("a", CHOICES[0], None, again)
    assert find_costs("a", CHOICES[0], None) == again


def test_another_combination_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_costs("a", CHOICES[0], 2, COSTS)
    assert find_costs("b", CHOICES[0], 2) is None
    assert find_costs("a", CHOICES[1], 2) is None
    assert find_costs("a", CHOICES[0], None) is None
    monkeypatch.setattr(platform, "node", lambda: "another-machine")
    assert find_costs("a", CHOICES[0], 2) is None


def cut(path: Path, data: dict[str, Any]) -> None:
    path.write_text(path.read_text()[:-20])


def foreign(path: Path, data: dict[str, Any]) -> None:
    path.write_text("[1, 2]")


def other_version(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps({**data, "about": {**data["about"], "smolvlm": "0.0.1"}}))


def lacking(path: Path, data: dict[str, Any]) -> None:
    del data["costs"]["tile"]
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("damage", [cut, foreign, other_version, lacking])
def test_what_cannot_be_used_is_as_good_as_absent(damage: Any) -> None:
    path = keep_costs("a", CHOICES[0], None, COSTS)
    damage(path, json.loads(path.read_text()))
    assert find_costs("a", CHOICES[0], None) is None


def test_without_a_fit_tokens_are_proposed(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path / "tiny"))
    with pytest.raises(InputError) as caught:
        required_costs("256m", checkpoint, "torch", "f32")
    assert str(caught.value) == (
        "nobody has measured what 256m costs on torch f32 here with these threads; run `smolvlm"
        " bench --fit` with the same options, or give the budget in visual tokens: 256tok"
    )
    row = next(row for row in CHOICES if (row.name, row.precision) == ("torch", "f32"))
    keep_costs(checkpoint.fingerprint, row, None, COSTS)
    assert required_costs("256m", checkpoint, "torch", "f32") == COSTS
