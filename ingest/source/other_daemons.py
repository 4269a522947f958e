"""Does another daemon work on a source, or on its files under another name?

Two daemons on one source make the same index, but do the work twice. Each writes its name into the source's record
after every comparison, and finds there the name of the one that compared it last. Two daemons that give the same files
two source names double every item: the earlier source had most items of the later one before.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from recq.index.schema import Item
from recq.index.sources import Watcher, host_name
from recq.paths import printable

SAMPLE = 200
"""Items of a source that are looked at: the first in the order of ids, which are hashes."""

_FEWEST = 3  # pictures from which on a majority means something

_ROUNDING = 1.0  # seconds by which a record may seem older than the process that wrote it


def is_living_other(
    last: Watcher | None, own: Watcher, *, within: float, started: Callable[[int], float | None]
) -> bool:
    """Whether `last` is another daemon than `own`, and at work.

    On this host that is certain: `started(pid)` gives the time at which a living process began (seconds since the
    epoch; None: there is none), and a process younger than the record did not write it. For another host only the age
    of its record counts: `within` seconds, measured by two clocks that may differ.
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


def doubled(source: str, sample: Sequence[Item], holders: Iterable[Item]) -> str | None:
    """The other source that has most of these items of `source`, and had most of them first; None: there is none.

    `holders` are items of any source with the same bytes. Of two sources with the same files the later is the double.
    """
    own: dict[str, str] = {}  # when this source had those bytes first
    for item in sample:
        _note(own, item)
    others: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for item in holders:
        if item.file.source != source and item.file.sha256 in own:
            _note(others[item.file.source], item)
    if len(own) < _FEWEST or not others:
        return None
    other, theirs = max(others.items(), key=lambda each: (len(each[1]), each[0]))
    first = sum((at, other) < (own[digest], source) for digest, at in theirs.items())
    return other if len(theirs) * 2 > len(own) and first * 2 > len(theirs) else None


def _note(first: dict[str, str], item: Item) -> None:
    digest, at = item.file.sha256, item.file.ingested_at or ""
    if digest is not None and item.error is None:
        first[digest] = min(at, first.get(digest, at))


def double_of(source: str, other: str, root: Path, there: Path | None) -> str:
    """The message about a source that has the files of another one, which is the folder `there` on this host, if any.

    Two folders of one host cannot be one source; folders of two hosts can.
    """
    name, first, folder = printable(source), printable(other), printable(str(root))
    copy = f"where {folder} is a copy of {printable(str(there))}, start the daemon without it; " if there else ""
    return (
        f"most pictures of source {name} are in source {first}, too, and are found twice: {copy}where both are the "
        f"same files (seen from another host), start the daemon of this one with --source {first}={folder}"
    )
