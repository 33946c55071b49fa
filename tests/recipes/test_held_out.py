"""Naming held-out drawings: which are asked about, and what counts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recipes.embedded import align, held_out
from recipes.embedded.align import split_rows
from recipes.embedded.held_out import named
from tests.recipes.small_pack import LABELS, make_pack, make_row


class Sayer:
    """Says the same about every picture."""

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, 0

    def ask_batch(self, questions: Iterable[Any], **_: Any) -> list[SimpleNamespace]:
        pictures = [picture for picture, _ in questions]
        assert all(picture.mode == "RGB" for picture in pictures)
        self.asked = len(pictures)
        return [SimpleNamespace(text=self.answer) for _ in pictures]


def test_only_held_out_drawings_are_asked_about_and_any_of_their_names_counts(
    tmp_path: Path,
) -> None:
    rows = [make_row(label) for label in LABELS]
    rows += [make_row(label, source=align.HELD_OUT_ARTIST, answers=[label, f"old {label}"])
             for label in LABELS]  # fmt: skip
    pack = make_pack(tmp_path, rows)
    held = [pack.row(i) for i in split_rows(pack)[1]]
    sayer = Sayer(f"An old {held[0]['label']}.")
    found = named(sayer, pack)  # type: ignore[arg-type]
    assert sayer.asked == len(held) == found["score"]["n"]
    assert found["score"]["value"] == pytest.approx(1 / len(held))
    assert found["answers"] == {row["id"]: sayer.answer for row in held}


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert held_out.main([str(tmp_path / "model"), "--pack", str(tmp_path)]) == 2
    assert "Error:" in capsys.readouterr().err
