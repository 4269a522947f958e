"""How many paths may be under way at once: every source always has its share of the places.

Pure. A path has a place from its verdict until it waits to be written.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

UNDER_WAY = 48
"""Paths that are read, decoded or embedded at a time: enough to keep all stages busy, unless the network works on many
at once. A source always has its share, since the paths of another may wait for a disk that does not answer."""

GROUP = 12
"""Paths that begin together while many wait: one question to the index is about all of them."""

_FOR_FRESH = 16  # more that may be under way when they are fresh: the backlog has not taken every place


class Room(NamedTuple):
    """How many paths of a source may begin: fresh ones, and others."""

    fresh: int
    backlog: int


class Places:
    """Counts the paths that are read, decoded or embedded, of which `capacity` may be with the network.

    As many again may be before it, so that its next batch is read and decoded while it works on one.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._under_way = max(UNDER_WAY, 2 * capacity)
        self._taken: Counter[str] = Counter()
        self._sources: set[str] = set()

    def add(self, source: str) -> None:
        """Share the places with this source, too."""
        self._sources.add(source)

    def enter(self, source: str) -> None:
        """A path of a source takes a place."""
        self._taken[source] += 1

    def leave(self, source: str) -> None:
        """A path of a source gives its place up."""
        self._taken[source] -= 1

    def of(self, source: str) -> int:
        """The places that a source has taken."""
        return self._taken[source]

    @property
    def taken(self) -> int:
        """The places that are taken."""
        return self._taken.total()

    def room(self, source: str, examined: int = 0) -> Room:
        """How many more paths of a source may begin now, where so many of all are being `examined`."""
        free = self._under_way - self.taken - examined
        share = max(1, self._under_way // len(self._sources))
        own = share - self._taken[source]
        backlog = free if free >= GROUP else own if own >= min(GROUP, share) else 0
        return Room(fresh=max(0, free + _FOR_FRESH, own), backlog=max(0, backlog))
