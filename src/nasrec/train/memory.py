"""Memory that every step frees and the next one takes again stays with the process.

glibc gives the end of its heap back to the system as soon as a step's activations are freed, and
the next step's first write to each page of it is a fault: 900 a step of a network of 200,000
multiply-adds and 512 rows, a tenth of its time. Where threads compute side by side each has a heap
of its own, which doubles that.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

#: Most free memory at the end of the heap that is kept, in bytes.
KEPT = 512 * 2**20
#: From so many bytes on an allocation is one of the system's; the second is the most that
#: glibc before 2.35 accepts.
LARGEST_ON_HEAP = 128 * 2**20, 32 * 2**20
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


@cache
def keep_freed_memory() -> bool:
    """Ask the C library, once, to keep up to `KEPT` bytes that are free; whether it does.

    What the environment says of it (`MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES` ...) stands, and
    other C libraries than glibc are left alone.
    """
    asked = any(name.startswith("MALLOC_") for name in os.environ)
    if asked or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return (
        any(mallopt(_MMAP_THRESHOLD, size) == 1 for size in LARGEST_ON_HEAP)
        and mallopt(_TRIM_THRESHOLD, KEPT) == 1
        and mallopt(_ARENA_MAX, 1) == 1
    )
