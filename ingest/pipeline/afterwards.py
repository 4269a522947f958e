"""What is done when nothing has been written for a while.

The embedded engine's journal is shortened, so that the next opening is fast, the scale of scores is measured, so that
no query has to (now and then also in the middle of much that is written), and tombstones that are too many are removed,
at most once an hour: their age is counted from the newest write, so that in silence there is nothing new to find. When
the first pass over a source has ended, sources with the same files are looked for. Comparisons do this later on, but
the first one finds nothing in the index to compare. For the loop's thread; the index is asked in workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from ingest.context import Context
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Repeated, Worker
from recq.errors import RecqError
from recq.index.catalog import Catalog

_AFTER = 1.0  # seconds without a write
_LOOK_EVERY = 10.0  # seconds between two looks, while much is written, whether the scale is still that of the catalog
_SHARE = 0.01  # of the time that measuring it may take then
_PRUNE_EVERY = 3600.0  # seconds between two looks for tombstones: each reads all payloads, 1 s of 100,000 items


class Afterwards:
    """`flush` shortens the embedded engine's journal; None for a server."""

    def __init__(
        self, context: Context, catalog: Catalog, index: RetryingIndex, flush: Callable[[], None] | None
    ) -> None:
        self._sources = context.sources
        self._catalog = catalog
        self._index = index
        self._flush = Repeated(Worker("flush", context.loop), flush or _nothing, _ended)
        worker = Worker("background", context.loop)
        self._measure = Repeated(worker, self._measured, self._has_measured)
        self._prune = Repeated(worker, self._pruned, _ended)
        self._doubles = Repeated(worker, self._look_for_doubles, _ended)
        self._first: set[str] = set()  # sources whose first pass has not ended
        self._due = float("inf")
        self._measure_at = time.monotonic() + _LOOK_EVERY
        self._prune_at = 0.0
        self._has_removed = False

    def add(self, source: str) -> None:
        """Begin the first pass over a source."""
        self._first.add(source)

    def written(self) -> None:
        """Note that something was written."""
        now = time.monotonic()
        self._due = now + _AFTER
        if now >= self._measure_at:
            self._measure_at = float("inf")
            self._measure.ask()

    def removed(self) -> None:
        """Note that items were removed, and left tombstones."""
        self._has_removed = True

    def next_deadline(self) -> float:
        """When `tick` has something to do, if nothing is under way then."""
        return self._due

    def tick(self, now: float, is_settled: Callable[[str], bool]) -> None:
        """Do what is due; called while nothing is under way. `is_settled(source)`: nothing of it is left to be done."""
        if now < self._due:
            return
        self._due = float("inf")
        self._flush.ask()
        self._measure.ask()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_EVERY
            self._prune.ask()
        ended = {name for name in self._first if is_settled(name)}
        if ended:
            self._first -= ended
            self._doubles.ask()

    def finish(self) -> None:
        """Do all that is due when a single pass has ended; waits for the index."""
        self._measured()
        if self._has_removed:
            self._pruned()
        self._look_for_doubles()

    def _measured(self) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        with suppress(RecqError):
            self._catalog.background()
        return time.monotonic() - began

    def _has_measured(self, seconds: float) -> None:
        self._measure_at = time.monotonic() + max(_LOOK_EVERY, seconds / _SHARE)

    def _pruned(self) -> None:
        with suppress(RecqError):
            self._catalog.changes.prune()

    def _look_for_doubles(self) -> None:
        for watched in self._sources.values():
            if self._index.look_for_double(watched):
                self._index.record_problems(watched)


def _nothing() -> None:
    """A server needs no flush."""


def _ended(_: None) -> None:
    """Nothing follows."""
