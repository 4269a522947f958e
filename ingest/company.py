"""Does another daemon work on a source? Two of them come to the same index, but do the work twice.

Each daemon leaves its name with the source after every comparison, and finds the name of the one that compared it last.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from recq.index.sources import Watcher, host_name

_ROUNDING = 1.0  # seconds by which a record may seem older than the process that wrote it


def is_living_other(
    last: Watcher | None, own: Watcher, *, within: float, started: Callable[[int], float | None]
) -> bool:
    """Whether `last` is another daemon than `own`, and at work.

    On this host that is certain: `started(pid)` tells when a living process began (seconds since the epoch; None: there
    is none), and a process younger than the record did not write it. On another host only the age of its record tells:
    `within` seconds, measured by two clocks that may differ.
    """
    if last is None or (last.host, last.pid) == (own.host, own.pid):
        return False
    at = datetime.fromisoformat(last.at)
    if last.host != own.host:
        return abs((datetime.fromisoformat(own.at) - at).total_seconds()) <= within
    began = started(last.pid)
    return began is not None and began <= at.timestamp() + _ROUNDING


def started(pid: int) -> float | None:
    """When a living process began, seconds since the epoch; None when there is no such process."""
    import psutil

    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def own_watcher() -> Watcher:
    """This process, now."""
    return Watcher(host_name(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))
