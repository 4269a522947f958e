"""Who has which part of a source: daemons that share it record their part, and refuse one that is taken. Pure.

A record is renewed every `RENEWED` seconds. On one host it is certain whether its process lives; another host's record
counts for `HOLDS` seconds, so a part whose daemon was killed is free then. Two daemons that begin at the same moment
may both find a part free: when they renew, the later one finds the other and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ingest.source.other_daemons import is_living_other
from recq.commands import command
from recq.index.parts import PartRecord
from recq.index.sources import Watcher
from recq.part import Part
from recq.paths import printable

RENEWED = 15.0
"""Seconds after which a daemon records again that it has its part."""

HOLDS = 60.0
"""Seconds for which the record of a daemon on another host counts."""

Started = Callable[[int], float | None]
"""When a living process began (`ingest.source.other_daemons.started`)."""


def living(records: Iterable[PartRecord], own: Watcher, started: Started) -> list[PartRecord]:
    """The records of other daemons that are at work."""
    return [each for each in records if is_living_other(each.watcher, own, within=HOLDS, started=started)]


def in_the_way(part: Part, others: Iterable[PartRecord]) -> PartRecord | None:
    """One of these that does not go together with a daemon that has `part`; None: there is none."""
    return next((each for each in others if each.part.of != part.of or each.part == part), None)


def earlier(others: Sequence[PartRecord], since: str, own: Watcher) -> list[PartRecord]:
    """Those of these that began before this daemon, which began at `since`: of two, the later one ends."""
    return [
        each
        for each in others
        if each.watcher is not None and (each.since, each.watcher.host, each.watcher.pid) < (since, own.host, own.pid)
    ]


def refused(source: str, part: Part, other: PartRecord, own: Watcher) -> str:
    """Why a daemon cannot have a part of a source, and what to do."""
    name = printable(source)
    holder = other.watcher
    where = "" if holder is None or holder.host == own.host else f" on {printable(holder.host)}"
    who = "another daemon" if holder is None else f"process {holder.pid}{where}"
    ended = f" (after its end that counts for {HOLDS:g} s)" if where else ""
    if part.is_whole:
        return (
            f"source {name!r} is shared by several daemons, and {who} has part {other.part}{ended}: run this with "
            f"--partition, or stop them all first"
        )
    if part.of != other.part.of:
        return (
            f"source {name!r} is shared by {other.part.of} daemons, and {who} has part {other.part}{ended}: stop them "
            f"all before you share it by {part.of}"
        )
    return f"part {part} of source {name!r} is that of {who}{ended}: choose another one, or stop it first"


def refused_by_whole(source: str, watcher: Watcher, own: Watcher, within: float) -> str:
    """Why no part of a source can be had that one daemon watches as a whole."""
    where = "" if watcher.host == own.host else f" on {printable(watcher.host)}"
    ended = f" (after a kill it counts as running for {within:,.0f} s)" if where else ""
    return (
        f"source {printable(source)!r} is watched by process {watcher.pid}{where} without --partition{ended}: stop it "
        f"first ({command('recq-ingest', 'status')})"
    )
