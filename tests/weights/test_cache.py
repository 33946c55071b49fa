"""Where the cache folder lies, and what is said when it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smolvlm.errors import CacheError
from smolvlm.weights.cache import cache_folder


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMOLVLM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_three_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / ".cache" / "smolvlm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("a", "b") == tmp_path / "xdg" / "smolvlm" / "a" / "b"
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "own"))
    assert cache_folder("a") == tmp_path / "own" / "a"
    assert (tmp_path / "own" / "a").is_dir()


def test_a_file_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"cannot be written \(.*\); set SMOLVLM_CACHE"):
        cache_folder("a")


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the system answers, since the superuser may write into read-only folders."""
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(CacheError, match="is read-only; set SMOLVLM_CACHE"):
        cache_folder()
