"""Tables and numbers for people."""

from __future__ import annotations

import pytest

from smolvlm.cli import show


def test_a_table_is_neither_folded_nor_padded_nor_marked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "[bold]x[/bold] " * 40
    show.print_table(show.table([("a", long.strip()), ("bbb", "")], header=("k", "v")))
    assert capsys.readouterr().out == f"k    v\na    {long.strip()}\nbbb\n"


@pytest.mark.parametrize(
    ("count", "said"),
    [(None, "unknown"), (1000, "1000 B"), (2048, "2 KiB"), (3 * 2**20, "3 MiB"),
     (5 * 2**29, "2.5 GiB"), (2**42, "4096.0 GiB")],
)  # fmt: skip
def test_size(count: int | None, said: str) -> None:
    assert show.size(count) == said


def test_parameters() -> None:
    assert show.parameters(256_484_928) == "256 M"
    assert show.parameters(2_246_784_880) == "2.2 B"
