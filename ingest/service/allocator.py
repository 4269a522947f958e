"""Makes the C library's allocator return memory to the system, since the daemon runs for months.

By default glibc opens an arena for every few threads, and raises the size from which blocks are mapped on their own to
that of the largest block ever freed. Then every picture's pixels lie among small blocks that stay, and their space
never goes back to the system: a soak run of 4,000 grew by 3.6 KB per picture, and by 0.8 KB so.
"""

from __future__ import annotations

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_OPTIONS = (
    (_M_ARENA_MAX, 2),
    (_M_MMAP_THRESHOLD, 128 * 1024),  # glibc's own first values; saying them ends their growth
    (_M_TRIM_THRESHOLD, 128 * 1024),
)


def give_memory_back() -> None:
    """Set the process up, before it has threads. Nothing happens with a C library other than glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows has no library without a name
        return
    for option, value in _OPTIONS:
        mallopt(option, value)
