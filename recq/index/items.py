"""The items of a catalog that match filters: counted, listed, with their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import models

from recq.index.dates import moment_of
from recq.index.fields import Fields
from recq.index.filters import NO_FILE, compile_filters, known_name
from recq.index.grammar import Where, parse_all
from recq.index.pending_fields import fields_of, uses_of
from recq.index.points import PAGE, ItemVector, Points, item_of, items_of, vector_of
from recq.index.schema import Item, payload_key

_TRIES = 20  # looks for each item that is drawn; more than a few only where most points are no items
_ENTRIES = 100
"""Items with their vectors that a scroll asks for at a time: some megabytes of JSON."""


class Items:
    """Reads the items of one collection, in no order. All methods raise only errors of `recq.errors`."""

    def __init__(self, points: Points, fields: Fields) -> None:
        self._points = points
        self._fields = fields

    def compiled(self, filters: Iterable[Where] = ()) -> models.Filter:
        """The engine's condition for embedded items that match all filters.

        Raises FilterError, and IndexPending where an index that they need is still to be made.
        """
        conditions = parse_all(list(filters))
        types = self._fields.types()
        self._fields.require_in_schema(fields_of(conditions))
        self._fields.require_made((known_name(name, types), words) for name, words in uses_of(conditions))
        return compile_filters(conditions, self._fields.types(), searched=self._fields.searched())

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those ids, each float32 (dim,); failed and unknown items are absent."""
        return self._points.vectors(ids)

    def count(self, filters: Sequence[Where] = (), *, source: str | None = None) -> int:
        """How many embedded items match all filters."""
        return self._points.count(self.compiled(filters), source)

    def rows(self, filters: Sequence[Where] = (), fields: Sequence[str] = ()) -> Iterator[Item]:
        """Every embedded item that matches all filters, with only the metadata `fields`. Streams, in no order."""
        wanted = self.compiled(filters)
        keys = [*map(payload_key, fields), "file"]
        return items_of(self._points.scroll(wanted, payload=keys, page=10 * PAGE))

    def entries(self, filters: Sequence[Where] | None = None) -> Iterator[ItemVector]:
        """Every item with its vector, failed ones included; with filters, embedded items that match all. Streams."""
        wanted = models.Filter() if filters is None else self.compiled(filters)
        for record in self._points.scroll(wanted, payload=True, page=_ENTRIES, vectors=True):
            if (item := item_of(record)) is not None:
                yield ItemVector(item, vector_of(record))

    def page(self, start: Any, size: int) -> tuple[list[Item], Any]:
        """The items among `size` points in the order of ids, failed ones included, from a point on (None: the first
        one), and where the next page starts (None: nowhere).

        Whoever reads page by page may open the index anew for each.
        """
        records = self._points.first(models.Filter(), size + 1, payload=True, start=start)
        following = records[size].id if len(records) > size else None
        return list(items_of(records[:size])), following

    def whole(self, ids: Sequence[str]) -> list[ItemVector]:
        """The items with those ids that exist, failed ones included, with their vectors, in no order."""
        records = self._points.records(ids, payload=True, vectors=True)
        return [ItemVector(item, vector_of(record)) for record in records if (item := item_of(record)) is not None]

    def drawn(self, count: int, random: Random) -> list[Item]:
        """`count` embedded items at random, none twice; all where there are no more, fewer where most points are none.

        Ids are hashes of paths: what follows a random id is a random item, so only few are read where there are many.
        """
        embedded = self.compiled()
        total = self._points.count(embedded)
        if total <= 4 * count:
            found = sorted(items_of(self._points.scroll(embedded, payload=True)), key=lambda item: item.id)
            return random.sample(found, min(count, len(found)))
        drawn: dict[str, Item] = {}
        for _ in range(_TRIES * count):  # points of other programs look like items to a count, and items may go
            if len(drawn) == count:
                break
            start = str(UUID(int=random.getrandbits(128)))
            for item in items_of(self._points.first(embedded, 1, payload=True, start=start)):
                drawn.setdefault(item.id, item)
        return list(drawn.values())

    def newest(self) -> str | None:
        """The time of the last written item, failed ones included: ISO 8601, UTC. Reads all items."""
        newest: tuple[datetime, str] | None = None
        for record in self._points.scroll(
            models.Filter(must_not=[NO_FILE]), payload=["file.ingested_at"], page=10 * PAGE
        ):
            text = ((record.payload or {}).get("file") or {}).get("ingested_at")
            moment = moment_of(text) if isinstance(text, str) else None
            if moment is not None and (newest is None or moment > newest[0]):
                newest = moment, str(text)
        return None if newest is None else newest[1]
