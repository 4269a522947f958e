"""Which fields the page offers values of: it counts all items of each, so what is known is kept, and read again beside.

Counting takes two seconds at 100,000 items. So a gallery never waits for it, and it takes a five-hundredth of the time
at the most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from recq.api.service import Served, Service
from recq.errors import RecqError, TargetNotFound
from recq.page.tiles import MOST_FACETS

KEPT_FOR = 120.0
"""Seconds that the list of fields is kept at the least."""

MANY = 20_000
"""Items from which on the values of fields follow after the results: counting those of one takes 50 ms at 100,000."""

_COUNTED_FOR = 60.0  # seconds
_SHARE = 500
_MOST_DISTINCT = 200  # values of a text; one with more differs from item to item


@dataclass(frozen=True)
class _Known:
    names: Sequence[str]
    until: float


@dataclass
class FacetedFields:
    """The fields of each catalog whose values narrow down, those with few values first."""

    service: Service
    _known: dict[str | None, _Known] = field(default_factory=dict)
    _many: dict[str | None, tuple[float, bool]] = field(default_factory=dict)
    _reading: WeakValueDictionary[str | None, threading.Lock] = field(default_factory=WeakValueDictionary)
    """Each for as long as a thread reads or waits: anybody may ask for a catalog that does not exist."""
    _finding: threading.Lock = field(default_factory=threading.Lock)

    def of(self, catalog: str | None, *, wait: bool) -> Sequence[str]:
        """The names of the fields; none where they are not known yet and nobody waits.

        Raises what the question raises, where it waits.
        """
        known = self._known.get(catalog)
        if known is None and wait:
            return self._read(catalog, known)
        if known is None or time.monotonic() > known.until:
            threading.Thread(target=self._read_beside, args=(catalog, known), daemon=True).start()
        return () if known is None else known.names

    def many(self, at: Served, catalog: str | None) -> bool:
        """Whether a catalog has so many items that the values of fields follow after the results."""
        known = self._many.get(catalog)
        if known is None or time.monotonic() > known[0]:
            known = self._many[catalog] = time.monotonic() + _COUNTED_FOR, at.catalog.count() > MANY
        return known[1]

    def _read_beside(self, catalog: str | None, before: _Known | None) -> None:
        if self._lock_of(catalog).locked():
            return
        try:
            self._read(catalog, before)
        except RecqError:  # who waits for it is told
            return

    def _read(self, catalog: str | None, before: _Known | None) -> Sequence[str]:
        with self._lock_of(catalog):
            known = self._known.get(catalog)
            if known is None or known is before:
                known = self._known[catalog] = self._read_now(catalog)
            return known.names

    def _read_now(self, catalog: str | None) -> _Known:
        """Raises what the question raises; nothing stays known of a catalog that does not exist any more."""
        began = time.monotonic()
        try:
            names = self.service.ask(catalog, _faceted)
        except TargetNotFound:
            self._known.pop(catalog, None)
            self._many.pop(catalog, None)
            raise
        now = time.monotonic()
        return _Known(names, now + max(KEPT_FOR, _SHARE * (now - began)))

    def _lock_of(self, catalog: str | None) -> threading.Lock:
        with self._finding:
            lock = self._reading.get(catalog)
            if lock is None:
                lock = self._reading[catalog] = threading.Lock()
            return lock


def _faceted(at: Served) -> Sequence[str]:
    found = at.catalog.fields()
    shared = [each for each in found if not each.waiting and is_shared(each.items, each.distinct)]
    return [each.name for each in sorted(shared, key=lambda each: each.distinct or _MOST_DISTINCT)][:MOST_FACETS]


def is_shared(items: int, distinct: int | None) -> bool:
    """Whether items have values of a field in common: one that differs from item to item tells nothing.

    Of numbers and dates, whose values are not counted, ranges are offered.
    """
    return items > 0 and (distinct is None or 1 < distinct <= min(_MOST_DISTINCT, items / 2))
