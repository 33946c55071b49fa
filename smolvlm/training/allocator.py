"""Keep freed memory for the next step instead of giving it back to the system.

A step on a CPU frees and asks for the same gigabytes again and again. glibc takes every large block
from the system anew, and the kernel clears each page before it hands it out: a third of a step and
more was seen to go into that. Told once, the C library reuses what it has. Peak memory stays what
the largest step needs; it is given back when the process ends. Systems with another C library are
left as they are.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform

# Parameters of mallopt(3), from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = 2**31 - 1  # bytes at the top of the heap before any are given back: the largest int
PAD = 64 * 2**20  # bytes asked for at a time


def keep_freed_memory() -> bool:
    """Let this process's allocator reuse large blocks; whether it could be told."""
    name = ctypes.util.find_library("c")
    if platform.libc_ver()[0] != "glibc" or name is None:
        return False
    mallopt = ctypes.CDLL(name).mallopt
    wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: PAD}
    told = {parameter: mallopt(parameter, value) for parameter, value in wanted.items()}
    return all(answer == 1 for answer in told.values())
