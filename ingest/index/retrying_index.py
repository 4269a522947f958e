"""The daemon's questions to the catalog, repeated while the index is away."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import uuid4

from ingest.index.isolation import Isolation
from ingest.index.retrying import Retrier
from ingest.source.other_daemons import SAMPLE, doubled
from ingest.source.watched_source import WatchedSource
from recq.errors import RecqError, SpaceMismatch, TargetNotFound
from recq.images.revision import DECODER_REVISION
from recq.index.catalog import Catalog
from recq.index.ledger import Carried
from recq.index.points import PAGE
from recq.index.schema import Item
from recq.index.sources import Watcher
from recq.part import WHOLE, Part

_MOST_HOLDERS = 20 * SAMPLE  # items with the bytes of a sample that are looked at: copies may be many


class RetryingIndex:
    """`ingest.reconcile.compare.Index` for a catalog that may be away; `old` is the one that a rebuild replaces.

    Of sources that daemons share it has this daemon's `part`.
    """

    def __init__(self, catalog: Catalog, retrier: Retrier, *, old: Catalog | None = None, part: Part = WHOLE) -> None:
        self._catalog = catalog
        self._part = part
        self._old = old
        self._retired = False
        self._retrier = retrier
        self._recording = threading.Lock()
        self._streams = catalog.ledger.asked_through(retrier)
        self._isolation = Isolation(retrier, lambda: catalog.ledger.known([str(uuid4())]))

    def adopt(self) -> None:
        """Its collection is the catalog's from now on: no old one is asked any more."""
        self._old = None

    def retire(self) -> None:
        """Its collection is about to be replaced by this process, which is no error."""
        self._retired = True

    def known(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, without metadata.

        An item that the index cannot read counts as missing: it is written again, which repairs it or is reported.
        """
        found: dict[str, Item] = {}
        self._isolation.each(lambda some: found.update(self._catalog.ledger.known(some)), ids)
        return found

    def get_many(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, metadata included; of a rebuild those too that are to be replaced."""
        found: dict[str, Item] = {}
        if (old := self._old) is not None:
            self._isolation.each(partial(_get_into, old, found), ids)
        self._isolation.each(partial(_get_into, self._catalog, found), ids)
        return found

    def vectors(self, digests: Sequence[str]) -> Mapping[str, Carried]:
        """Stored vectors of files with those SHA-256; a vector that the index cannot read counts as missing."""
        found: dict[str, Carried] = {}

        def ask(some: Sequence[str]) -> None:
            found.update(self._catalog.ledger.vectors_by_sha256(some, newest=DECODER_REVISION))

        self._isolation.each(ask, digests)
        return found

    def scan(self, source: str) -> Iterator[Item]:
        """Every item of a source; each page of them is waited for while the index is away."""
        return self._streams.scan(source, self._part)

    def holders(
        self,
        digests: Collection[str],
        *,
        names: Collection[str] | None = None,
        source: str | None = None,
        page: int = PAGE,
    ) -> Iterator[Item]:
        """Items with those SHA-256 (and one of those file names), of all sources or of one."""
        return self._streams.holders(digests, names=names, source=source, page=page)

    def marked(self, source: str) -> list[Item]:
        """Failed items of a source that were marked to be tried again."""
        return self._retrier(lambda: list(self._catalog.ledger.marked(source)))

    def confirmed(self) -> Mapping[str, int]:
        """Deletions that were confirmed and not made yet, by source."""
        return self._own(self._retrier(self._catalog.sources.confirmed))

    def confirmed_metadata(self) -> Mapping[str, int]:
        """Losses of metadata that were confirmed and not made yet, by source."""
        return self._own(self._retrier(self._catalog.sources.confirmed_metadata))

    def _own(self, numbers: Mapping[str, int]) -> Mapping[str, int]:
        """Those that were recorded for this part, by source."""
        by_key = {key: (key.partition("/")[0], number) for key, number in numbers.items()}
        return {name: number for key, (name, number) in by_key.items() if key == self._part.key(name)}

    def keep_ctimes(self, ctimes: Mapping[str, int]) -> None:
        """Note the ctime of items by their ids; nothing else of them changes."""
        self._isolation.each(lambda some: self._catalog.ledger.keep_ctimes(dict(some)), list(ctimes.items()))

    def compared_ns(self, source: str) -> int | None:
        """When this part of a source was compared last, in nanoseconds since the epoch; None where it has all of it."""
        if self._part.is_whole:
            return None
        found = (each for each in self._retrier(self._catalog.parts.all, source) if each.part == self._part)
        at = next((each.reconciled_at for each in found), None)
        return None if at is None else int(datetime.fromisoformat(at).timestamp() * 1e9)

    def size(self, source: str) -> int:
        """How many items of a source the index has, failed ones included."""
        if not self._part.is_whole:
            return self._retrier(self._catalog.ledger.count_part, source, self._part).items
        embedded = self._retrier(lambda: self._catalog.items.count(source=source))
        return embedded + self._retrier(lambda: self._catalog.ledger.count_failed(source=source))

    def record_problems(self, watched: WatchedSource) -> None:
        """Store what is wrong with a source as a whole; one thread at a time, so that the latest state is kept."""
        with self._recording:
            self._retrier(self._catalog.problems.record, watched.key, watched.own_problems())

    def look_for_double(self, watched: WatchedSource) -> bool:
        """Note another source that has most of this one's files, if there is one. Returns whether that is new."""
        other = self._double(watched.name)
        if other is None:
            return watched.note_double(None)
        record = self._retrier(self._catalog.sources.all).get(other)
        return watched.note_double(other, None if record is None else record.root_here())

    def _double(self, source: str) -> str | None:
        if len(self._retrier(self._catalog.sources.all)) < 2:
            return None
        sample = list(islice(self.scan(source), SAMPLE))
        digests = {item.file.sha256 for item in sample if item.file.sha256 is not None}
        return doubled(source, sample, islice(self.holders(digests), _MOST_HOLDERS)) if digests else None

    def require_current(self) -> None:
        """Raise SpaceMismatch when the catalog has moved to another collection, unless this one is to become it."""
        if self._old is None and not self._retired and not self._retrier(self._catalog.still_current):
            raise self._retrier(replaced, self._catalog)

    def record_reconcile(
        self,
        watched: WatchedSource,
        *,
        watcher: Watcher | None,
        confirmed: int | None = None,
        confirmed_metadata: int | None = None,
    ) -> Watcher | None:
        """Note that a source was compared, how many of its files are skipped, what was held, what is wrong with it,
        and which daemon watches it. Returns the one that was noted until now.

        The confirmations that the comparison began with count as used: what is held next needs another one. One of
        another number, which came meanwhile, stays for the next comparison.
        """
        source = watched.name
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found: dict[str, Any] = {
            "ignored": len(watched.ignored),
            "held": watched.held,
            "held_metadata": watched.held_metadata,
            "plugins": watched.plugins,
        }
        before = None
        if self._part.is_whole:
            before = self._retrier(self._catalog.sources.record_reconcile, source, at=now, watcher=watcher, **found)
        else:  # whose it is was recorded before (`ingest.service.claims`)
            self._retrier(
                self._catalog.parts.update, source, self._part, reconciled_at=now, items=self.size(source), **found
            )
        self.look_for_double(watched)
        self.record_problems(watched)
        if confirmed is not None and self.confirmed().get(source) == confirmed:
            self._retrier(self._catalog.sources.confirm, watched.key, None)
        if confirmed_metadata is not None and self.confirmed_metadata().get(source) == confirmed_metadata:
            self._retrier(self._catalog.sources.confirm_metadata, watched.key, None)
        return before


def replaced(catalog: Catalog) -> RecqError:
    """The error of a daemon whose collection has been replaced or deleted."""
    if not catalog.exists():
        return TargetNotFound(
            f"catalog {catalog.name!r} has been deleted meanwhile: start the daemon again, "
            "and it indexes its folders anew"
        )
    return SpaceMismatch(
        f"catalog {catalog.name!r} has been rebuilt in another embedding space meanwhile: start the daemon again"
    )


def _get_into(catalog: Catalog, found: dict[str, Item], ids: Sequence[str]) -> None:
    """Add the items of those ids that exist."""
    found.update(catalog.ledger.get_many(ids))
