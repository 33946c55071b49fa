"""What the machine is said to have, against other ways of asking."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from smolvlm.cli import machine


def test_peak_memory_agrees_with_the_kernel() -> None:
    block = bytearray(os.urandom(1)) * (32 * 2**20)
    peak = machine.peak_memory()
    assert peak is not None and peak > len(block)
    assert peak <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.05


def test_memory() -> None:
    told = machine.memory()
    assert told is not None
    every, available = told
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available <= every <= pages * 1.01


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    free = machine.free_space(tmp_path / "a" / "b")
    assert free is not None
    assert free == pytest.approx(stat.f_bavail * stat.f_frsize, rel=0.2)


def test_processor() -> None:
    assert machine.cpu_name()
    assert 1 <= machine.cpu_count() <= (os.cpu_count() or 1)
    features = machine.cpu_features()
    assert features is None or tuple(features) == machine.FEATURES


def test_features_are_read_from_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["model name\t: Some CPU", "flags\t\t: fpu avx2 avx512_bf16"]
    monkeypatch.setattr(machine, "_lines", lambda path: lines)
    assert machine.cpu_name() == "Some CPU"
    features = machine.cpu_features() or {}
    assert [name for name, has in features.items() if has] == ["avx2", "avx512_bf16"]


def test_a_system_without_proc_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_lines", lambda path: [])
    assert machine.cpu_features() is None
    assert machine.memory() is None
    assert machine.cpu_name()
    assert machine.peak_memory() is not None  # from getrusage
