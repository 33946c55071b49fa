"""The compiled kernels: built from `csrc/` by the machine's own compiler when first needed.

They are one small library of C++ (two seconds to compile) for processors with matrix tiles (AMX),
and nothing else depends on it: where it cannot be built or run, `obstacle` says why, and
`engines/choose.py` takes OpenVINO. Kept in the cache folder under a digest of sources, compiler and
flags, so another version never finds it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from smolvlm.errors import CacheError, EngineError
from smolvlm.weights.cache import cache_folder

SOURCES = Path(__file__).parent / "csrc"
MAIN = "kernels.cpp"
# What the kernels use, as /proc/cpuinfo and as the compiler call it.
CPU_FLAGS = (
    "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16", "avx512_vnni", "amx_tile",
    "amx_bf16", "fma", "f16c",
)  # fmt: skip
# The compiler's headers set off two of its own warnings.
FLAGS = (
    "-O3", "-std=c++20", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-Wall", "-Wextra",
    "-Wno-uninitialized", "-Wno-maybe-uninitialized", "-Wno-missing-field-initializers",
    *(f"-m{flag.replace('_bf16', '-bf16').replace('_tile', '-tile')}".replace("512-", "512")
      .replace("512_", "512") for flag in CPU_FLAGS),
)  # fmt: skip
COMPILERS = ("c++", "g++", "clang++")
# Where a library of kernels that was limited to older instructions says so; these are of them.
_ISA_LIMIT, _ISAS_WITH_TILES = "ONEDNN_MAX_CPU_ISA", ("AMX", "AVX10", "ALL", "DEFAULT")


@cache
def obstacle() -> str | None:
    """Why the kernels cannot run here; None when they can (they may have to be compiled first)."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        here = f"{platform.system()} on {platform.machine()}"
        return f"the kernels are for Linux on x86-64, this is {here}"
    missing = [flag for flag in CPU_FLAGS if flag not in _cpu_flags()]
    limit = os.environ.get(_ISA_LIMIT, "").upper()
    if missing or (limit and not any(word in limit for word in _ISAS_WITH_TILES)):
        return f"this CPU has no {', '.join(missing) or 'matrix tiles to use'}"
    if compiler() is None:
        return "there is no C++ compiler to build the kernels with (install g++ 11 or newer)"
    return None


@cache
def compiler() -> tuple[str, ...] | None:
    """The command of the C++ compiler: `$CXX`, or the first of `COMPILERS`; None without one."""
    named = os.environ.get("CXX", "").split()
    for words in [named] if named else [[name] for name in COMPILERS]:
        if shutil.which(words[0]):
            return tuple(words)
    return None


def library_path() -> Path:
    """The compiled library, built if it is not there.

    `EngineError` when it cannot be, `CacheError` when the cache cannot be written.
    """
    command = compiler()
    if command is None:
        raise EngineError("there is no C++ compiler to build the kernels with (install g++)")
    folder = cache_folder("native")
    path = folder / f"kernels-{_digest(command)}.so"
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch, path.name)
        done = subprocess.run(
            [*command, *FLAGS, str(SOURCES / MAIN), "-o", str(made)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise EngineError(f"the kernels do not compile with {' '.join(command)}: {last}")
        try:
            made.replace(path)
        except OSError as error:
            raise CacheError(f"{path} cannot be written ({error.strerror})") from None
    for other in folder.glob("kernels-*.so"):
        if other != path:
            other.unlink(missing_ok=True)
    return path


def _digest(command: tuple[str, ...]) -> str:
    """Of all that the library is made from."""
    digest = hashlib.sha256(repr((command, FLAGS)).encode())
    found = shutil.which(command[0])
    assert found is not None
    digest.update(repr((found, Path(found).stat().st_mtime_ns)).encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").split())
