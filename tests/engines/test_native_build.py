"""Building the kernels: what keeps them from running, the compiler, the kept library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from smolvlm.errors import EngineError
from smolvlm.native import build


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer of one test is kept for the next."""
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    kept = (build.obstacle, build.compiler, build._cpu_flags)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


def pretend_cpu(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(build, "_cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(build.platform, "system", lambda: "Linux")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")


def test_a_cpu_without_tiles_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cpu(monkeypatch, *(set(build.CPU_FLAGS) - {"amx_tile", "amx_bf16"}))
    assert build.obstacle() == "this CPU has no amx_tile, amx_bf16"


def test_limited_instructions_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cpu(monkeypatch, *build.CPU_FLAGS)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert build.obstacle() == "this CPU has no matrix tiles to use"


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.platform, "machine", lambda: "arm64")
    assert "for Linux on x86-64" in str(build.obstacle())


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cpu(monkeypatch, *build.CPU_FLAGS)
    monkeypatch.setenv("PATH", "")
    assert "install g++" in str(build.obstacle())
    with pytest.raises(EngineError, match="no C\\+\\+ compiler"):
        build.library_path()


def write_compiler(folder: Path, body: str) -> str:
    path = folder / "fake-c++"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = write_compiler(tmp_path, "echo 'unknown option -mamx-tile' >&2; exit 1")
    monkeypatch.setenv("CXX", said)
    with pytest.raises(EngineError, match=r"do not compile .*: unknown option"):
        build.library_path()
    assert not list(tmp_path.rglob("*.so"))


def test_a_library_is_built_once_and_again_for_other_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    # The last argument is where the library goes.
    script = f"echo run >> {log}; for last; do :; done; echo made > $last"
    monkeypatch.setenv("CXX", write_compiler(tmp_path, script))
    first = build.library_path()
    assert build.library_path() == first and log.read_text() == "run\n"
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / build.MAIN).write_text("// other")
    monkeypatch.setattr(build, "SOURCES", sources)
    second = build.library_path()
    assert second != first and not first.exists() and log.read_text() == "run\nrun\n"
