"""Has parts of sources recorded as this daemon's, renews that while it runs, and gives them back at its end.

`ingest.source.claims` decides; `take` is called before a daemon begins with a source. For the loop's thread, except
`take` and `give_back`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ingest.context import Context
from ingest.index.retrying import Retrier
from ingest.loop import Worker
from ingest.source.claims import RENEWED, earlier, in_the_way, living, refused, refused_by_whole
from ingest.source.other_daemons import is_living_other, own_watcher, started
from recq.errors import IndexBusy
from recq.index.catalog import Catalog
from recq.index.sources import Watcher
from recq.part import WHOLE, Part


def _began() -> str:
    """When this process began: of two that want the same, the later one ends."""
    return datetime.fromtimestamp(started(os.getpid()) or 0.0, UTC).isoformat(timespec="microseconds")


def _is_own(watcher: Watcher | None, own: Watcher) -> bool:
    return watcher is not None and (watcher.host, watcher.pid) == (own.host, own.pid)


def take(catalog: Catalog, source: str, part: Part, *, rescan: float) -> None:
    """Record that this process has a part of a source. Raises IndexBusy where that does not go together with others.

    `rescan`: seconds between two comparisons of a daemon that watches all of it.
    """
    own, records = own_watcher(), catalog.parts.all(source)
    others = living(records, own, started)
    other = others[0] if part.is_whole and others else in_the_way(part, others)
    if other is not None:
        raise IndexBusy(refused(source, part, other, own))
    whole = known.watcher if (known := catalog.sources.all().get(source)) is not None else None
    if not part.is_whole and whole is not None and is_living_other(whole, own, within=2 * rescan, started=started):
        raise IndexBusy(refused_by_whole(source, whole, own, 2 * rescan))
    gone = {each.part for each in records if each.part.of != part.of}
    catalog.parts.forget(source, gone if part.is_whole else {WHOLE, *gone})
    if not part.is_whole:
        catalog.parts.update(source, part, watcher=own, since=_began())


def give_back(catalog: Catalog, source: str, part: Part) -> None:
    """Record that no daemon has a part of a source, or the whole of it, where this process had it."""
    own = own_watcher()
    if part.is_whole:
        known = catalog.sources.all().get(source)
        if known is not None and _is_own(known.watcher, own):
            catalog.sources.write(replace(known, watcher=None))
        return
    for each in catalog.parts.all(source):
        if each.part == part and _is_own(each.watcher, own):
            catalog.parts.update(source, part, watcher=None, pending=0)


class Claims:
    """Renews what this daemon has of each source; `pending(source)` paths wait or are under way."""

    def __init__(self, context: Context, catalog: Catalog, retrier: Retrier, pending: Callable[[str], int]) -> None:
        self._context = context
        self._catalog = catalog
        self._retrier = retrier
        self._pending = pending
        self._part = context.settings.part
        self._worker = Worker("claims", context.loop)
        self._next = float("inf") if self._part.is_whole else time.monotonic() + RENEWED

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return self._next

    def tick(self, now: float) -> None:
        """Renew what is due."""
        if now >= self._next:
            self._next = now + RENEWED
            if not self._worker.busy:
                pending = {name: self._pending(name) for name in self._context.sources}
                self._worker.submit(partial(self._renew, pending), lambda _: None)

    def _renew(self, pending: dict[str, int]) -> None:
        """In a worker. Raises IndexBusy where an earlier daemon has the part, too, or shares the source otherwise."""
        for name, waiting in pending.items():
            own = own_watcher()
            records = self._retrier(self._catalog.parts.all, name)
            first = earlier(living(records, own, started), _began(), own)
            if (other := in_the_way(self._part, first)) is not None:
                raise IndexBusy(refused(name, self._part, other, own))
            self._retrier(self._catalog.parts.update, name, self._part, watcher=own, since=_began(), pending=waiting)
