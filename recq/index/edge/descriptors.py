"""How many files and sockets the process may have open, and how many of them connections may take.

The usual soft limit, 1,024, is for programs that use `select`; nothing here does, so it is raised to the hard one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

try:
    import resource

    _LIMITED = True
except ImportError:  # Windows
    _LIMITED = False

MOST = 65_536
"""Where the hard limit is a billion, some child programs would close every number below it one by one."""

_USUAL = 1_024
_OWN = 256  # the index (some 30 a collection), models, watchers, decoding processes
_BACKLOG = 32
_CONNECTIONS = 512
_FEWEST = 8


@dataclass(frozen=True)
class Room:
    """`connections` that may be open at once, and the `backlog`: how many more asyncio accepts in one step."""

    connections: int
    backlog: int


def raise_soft_limit() -> int:
    """Raise the soft limit of descriptors as far as possible, to at most `MOST`. Returns the limit; the usual one where
    the system has none."""
    if not _LIMITED:
        return _USUAL
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST if hard == unlimited else min(hard, MOST)
    if soft != unlimited and soft < wanted:
        with suppress(ValueError, OSError):  # a system that has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == unlimited else soft


def room_for(descriptors: int) -> Room:
    """How many of `descriptors` connections may use: the rest is for the index.

    asyncio accepts a whole backlog before it looks at the first of it, and a connection that is closed keeps its
    descriptor for a step longer: so the backlog counts twice.
    """
    free = descriptors - min(_OWN, descriptors // 2)
    backlog = max(_FEWEST, min(_BACKLOG, free // 6))
    return Room(max(_FEWEST, min(_CONNECTIONS, free - 2 * backlog)), backlog)


def has_free(count: int) -> bool:
    """Whether `count` more files can be opened now."""
    opened: list[int] = []
    try:
        for _ in range(count):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    finally:
        for each in opened:
            os.close(each)
    return True
