"""What this machine offers: processor features, memory, disk, and what this process used of it.

Read from the operating system, nothing measured; what cannot be known on a system is None and is
shown as unknown. Which engine follows from it is decided in `engines/choose.py`.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

# What makes small numbers fast on x86: 8-bit dot products, bfloat16 products, matrix tiles.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_features() -> dict[str, bool] | None:
    """Which of `FEATURES` the processor has; None where the system does not tell."""
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            flags = set(value.split())
            return {name: name in flags for name in FEATURES}
    return None


def cpu_count() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """What figures depend on: processor, how many of its cores, its features, bytes of memory."""
    features, sizes = cpu_features() or {}, memory()
    return {
        "cpu": cpu_name(),
        "cpus_used": cpu_count(),
        "features": [name for name, has in features.items() if has],
        "memory_bytes": sizes[0] if sizes else None,
    }


def memory() -> tuple[int, int] | None:
    """Bytes of memory: (all, available); None where the system does not tell."""
    sizes = _kibibytes(Path("/proc/meminfo"))
    if "MemTotal" not in sizes or "MemAvailable" not in sizes:
        return None
    return sizes["MemTotal"], sizes["MemAvailable"]


def peak_memory() -> int | None:
    """The most memory this process has held so far, in bytes; None where it cannot be known."""
    peak = _kibibytes(Path("/proc/self/status")).get("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def free_space(folder: Path) -> int | None:
    """Free bytes on the disk that holds `folder`, which need not exist yet."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None


def _kibibytes(path: Path) -> dict[str, int]:
    """The `Name: 123 kB` lines of a file of /proc, in bytes."""
    found = {}
    for line in _lines(path):
        key, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdigit():
            found[key] = int(number) * 1024
    return found


def _lines(path: Path) -> list[str]:
    """The lines of a file of /proc; none where there is no such file."""
    return path.read_text(errors="replace").splitlines() if path.exists() else []
