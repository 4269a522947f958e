"""What the index knows of items and fields: lookups, vectors, counts, facets. Reads that put nothing into an order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from qdrant_client import QdrantClient, models

from recq.index.dates import moment_of
from recq.index.errors import translated
from recq.index.facets import MAX_BINS, Bin, Facets, date_periods, histogram
from recq.index.fields import Fields
from recq.index.filters import NO_ERROR, NO_FILE, compile_filters, known_name, require_field, require_indexed
from recq.index.grammar import Condition, Where, parse_all
from recq.index.ledger import PAGE, Ledger, items_of, vector_of
from recq.index.operators import Op
from recq.index.pending_fields import Waiting, fields_of, uses_of
from recq.index.schema import (
    UNINDEXED_FIELDS,
    VECTOR,
    FieldType,
    FieldTypes,
    Item,
    Value,
    elements,
    field_name,
    fits,
    payload_key,
)
from recq.space import EmbeddingSpace

Ordered: TypeAlias = "float | datetime"

MOST_READ = 100_000
"""Rows that are read to find out what somebody may have meant."""


class Carried(NamedTuple):
    """A stored vector, float32 (dim,), and the revision of the decoder that saw its picture."""

    vector: np.ndarray
    decoder: int


class Reader(Ledger):
    """One collection, read. All methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, space: EmbeddingSpace) -> None:
        super().__init__(client, collection)
        self.space = space
        self._fields = Fields(client, collection)

    @translated
    def types(self, *, refresh: bool = False) -> FieldTypes:
        """The metadata fields and their types, read from the payload indexes; with those whose indexes wait."""
        return self._fields.types(refresh=refresh)

    @translated
    def waiting(self, *, refresh: bool = False) -> Waiting:
        """The payload indexes that are still to be made, as they were last read, or read now."""
        return self._fields.waiting(refresh=refresh)

    @property
    def known_waiting(self) -> Waiting:
        """The same without asking the index: what this process has declared or read of late."""
        return self._fields.known_waiting

    def compiled(self, filters: Iterable[Where] = (), *, exclude: Sequence[str] = ()) -> models.Filter:
        """Embedded items that all filters hold for, without the ids `exclude`.

        Raises FilterError, and IndexPending where an index that they need is still to be made.
        """
        conditions = parse_all(list(filters))
        types = self.types()
        self._fields.require_in_schema(fields_of(conditions))
        self._fields.require_made((known_name(name, types), words) for name, words in uses_of(conditions))
        return compile_filters(conditions, self.types(), exclude=exclude, searched=self._fields.searched())

    def vector(self, item_id: str) -> np.ndarray | None:
        """The stored vector, float32 (dim,); None for a failed or unknown item."""
        return self.vectors([item_id]).get(item_id)

    @translated
    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those ids, each float32 (dim,); failed and unknown items are absent."""
        found: dict[str, np.ndarray] = {}
        for start in range(0, len(ids), PAGE):
            records = self._client.retrieve(
                self._collection, ids=list(ids[start : start + PAGE]), with_payload=False, with_vectors=[VECTOR]
            )
            vectors = {str(record.id): vector_of(record) for record in records}
            found |= {item_id: vector for item_id, vector in vectors.items() if vector is not None}
        return found

    def rows(self, filters: Sequence[Where] = (), fields: Sequence[str] = ()) -> Iterator[Item]:
        """Every embedded item that all filters hold for, its metadata cut down to `fields`. Streams, in no order."""
        wanted = self.compiled(filters)
        keys = [*map(payload_key, fields), "file"]
        return items_of(self._scroll(wanted, payload=keys, page=10 * PAGE))

    @translated
    def vectors_by_sha256(self, digests: Collection[str], *, newest: int | None = None) -> dict[str, Carried]:
        """Vectors of embedded items with those bytes: what has been computed once is carried, not computed again.

        Of copies, the one that the newest decoder looked at counts; `newest` is the revision after which none is
        looked for, so that a thousand copies are not read where one is as good.
        """
        if not digests:
            return {}
        wanted = models.Filter(
            must=[models.FieldCondition(key="file.sha256", match=models.MatchAny(any=list(digests))), NO_ERROR],
            must_not=[NO_FILE],
        )
        holders: dict[str, tuple[int, str]] = {}  # one item for each digest: a thousand copies are no thousand vectors
        for record in self._scroll(wanted, payload=["file.sha256", "file.decoder"]):
            file = (record.payload or {})["file"]
            revision, digest = file.get("decoder") or 0, file["sha256"]
            if digest not in holders or revision > holders[digest][0]:
                holders[digest] = revision, str(record.id)
            if newest is not None and len(holders) == len(digests) and min(holders.values())[0] >= newest:
                break
        vectors = self.vectors([id_ for _, id_ in holders.values()])
        return {digest: Carried(vectors[id_], since) for digest, (since, id_) in holders.items() if id_ in vectors}

    def find_path(self, path: str, limit: int = 20) -> list[Item]:
        """Items of any source with that `file.path`, failed ones included."""
        return self._find("file.path", path, limit)

    def find_name(self, name: str, limit: int = 20) -> list[Item]:
        """Items of any source with that `file.name`, failed ones included."""
        return self._find("file.name", name, limit)

    @translated
    def _find(self, key: str, value: str, limit: int) -> list[Item]:
        condition = models.FieldCondition(key=key, match=models.MatchValue(value=value))
        records, _ = self._client.scroll(
            self._collection,
            scroll_filter=models.Filter(must=[condition], must_not=[NO_FILE]),
            limit=limit,
            with_payload=True,
        )
        return sorted(items_of(records), key=by_path)

    def places(self) -> Iterator[tuple[str, str]]:
        """Source and path of every item, failed ones included, in no order. Streams, and reads little else."""
        everything = models.Filter(must_not=[NO_FILE])
        for record in self._scroll(everything, payload=["file.source", "file.path"], page=10 * PAGE):
            file = (record.payload or {}).get("file")
            place = (file.get("source"), file.get("path")) if isinstance(file, dict) else (None, None)
            if isinstance(place[0], str) and isinstance(place[1], str):
                yield place[0], place[1]

    @translated
    def count(self, filters: Sequence[Where] = (), *, source: str | None = None) -> int:
        """How many embedded items all filters hold for."""
        return self._count(self.compiled(filters), source)

    @translated
    def facets(self, field: str, filters: Sequence[Where] = (), limit: int = 50) -> Facets:
        """The field's values with their counts, most frequent first; ranges for numbers and dates.

        Raises FilterError for unknown and for unindexed fields, IndexPending for one whose index is being made.
        """
        field_type = require_indexed(field, self.types(), "facets")
        field = known_name(field, self.types())
        self._fields.require_made([(field, False)])
        key = payload_key(field)
        base = self.compiled([*filters, Condition(field, Op.EXISTS)])
        total = self._count(base, None)
        if field_type in (FieldType.STRING, FieldType.BOOL):
            hits = self._client.facet(self._collection, key=key, facet_filter=base, limit=limit, exact=True).hits
            boolean = field_type is FieldType.BOOL
            rows = [(str(hit.value).lower() if boolean else str(hit.value), hit.count) for hit in hits]
            return Facets(field, field_type, sorted(rows, key=lambda row: (-row[1], row[0])), total)
        directions = (models.Direction.ASC, models.Direction.DESC)
        low, high = (self._extreme(key, field_type, base, direction) for direction in directions)
        if low is None or high is None:
            return Facets(field, field_type, [], total)
        if field_type is FieldType.DATE:
            periods = date_periods(low, high)
            counted = [(period, self._counted(field, period, filters)) for period in periods]
            return Facets(field, field_type, [row for row in counted if row[1]][: max(limit, MAX_BINS)], total)
        bins = histogram(
            low,
            high,
            integer=field_type is FieldType.INTEGER,
            count=lambda each: self._counted(field, each.span, filters),
            extremes=lambda each: self._extremes(field, field_type, each, filters),
        )
        spans = {each.label: each.span for each, _ in bins}
        return Facets(field, field_type, [(each.label, items) for each, items in bins], total, spans)

    def extremes(self, field: str) -> tuple[Ordered, Ordered] | None:
        """The smallest and the largest value of a field of numbers or dates; None where nobody has one.

        Of recq's own fields without an index at most `MOST_READ` rows are read.
        """
        smallest, largest = self._ends(field, None, None)
        return None if smallest is None or largest is None else (smallest, largest)

    def around(self, field: str, low: Ordered, high: Ordered) -> tuple[Ordered | None, Ordered | None]:
        """The largest value below `low` and the smallest above `high`."""
        above, below = self._ends(field, high, low)
        return below, above

    @translated
    def _ends(self, field: str, above: Ordered | None, below: Ordered | None) -> tuple[Ordered | None, Ordered | None]:
        """The smallest value above `above` and the largest below `below`, of all where these are None."""
        field_type = require_field(field, self.types())
        name = known_name(field, self.types())
        sides: tuple[tuple[models.Direction, str, Any], ...] = (
            (models.Direction.ASC, "gt", above),
            (models.Direction.DESC, "lt", below),
        )
        if name in UNINDEXED_FIELDS:
            own = name.removeprefix("file.")
            read = (getattr(item.file, own) for item in islice(self.rows(), MOST_READ))
            values: list[Any] = [
                moment_of(each) if field_type is FieldType.DATE else each for each in read if each is not None
            ]
            smallest = min((each for each in values if above is None or each > above), default=None)
            return smallest, max((each for each in values if below is None or each < below), default=None)
        self._fields.require_made([(name, False)])
        found: list[Ordered | None] = []
        for direction, side, end in sides:
            base = self.compiled()
            if end is not None:
                range_ = (models.DatetimeRange if isinstance(end, datetime) else models.Range)(**{side: end})
                base = models.Filter(must=[base, models.FieldCondition(key=payload_key(name), range=range_)])
            beyond = partial(operator.lt if side == "gt" else operator.gt, end) if end is not None else lambda _: True
            found.append(self._extreme(payload_key(name), field_type, base, direction, beyond))
        return found[0], found[1]

    @translated
    def example(self, field: str) -> Value | None:
        """The value that some embedded item has in a field; None where none has it."""
        records, _ = self._client.scroll(
            self._collection,
            scroll_filter=self.compiled([Condition(field, Op.EXISTS)]),
            limit=1,
            with_payload=[payload_key(field), "file"],
        )
        found = items_of(records)
        item = next(iter(found), None)
        if item is None:
            return None
        own = field.removeprefix("file.")
        return item.metadata.get(field) if own == field else getattr(item.file, own)

    def newest(self) -> str | None:
        """When the item was written that was written last, failed ones included: ISO 8601, UTC. Reads all of them."""
        newest: tuple[datetime, str] | None = None
        for record in self._scroll(models.Filter(must_not=[NO_FILE]), payload=["file.ingested_at"], page=10 * PAGE):
            text = ((record.payload or {}).get("file") or {}).get("ingested_at")
            moment = moment_of(text) if isinstance(text, str) else None
            if moment is not None and (newest is None or moment > newest[0]):
                newest = moment, str(text)
        return None if newest is None else newest[1]

    def _counted(self, field: str, value: str, filters: Sequence[Where]) -> int:
        """How many items a filter for that value finds: what facets say is what the filter that they print finds."""
        return self._count(self.compiled([*filters, Condition(field, Op.EQ, (value,))]), None)

    def _extremes(
        self, field: str, field_type: FieldType, span: Bin, filters: Sequence[Where]
    ) -> tuple[float, float] | None:
        """The least and the greatest number of a field within a range; None where a list hides them."""
        base = self.compiled([*filters, Condition(field, Op.EQ, (span.span,))])
        found = [
            self._extreme(payload_key(field), field_type, base, direction, span.holds)
            for direction in (models.Direction.ASC, models.Direction.DESC)
        ]
        return None if None in found else (found[0], found[1])

    def _extreme(
        self,
        key: str,
        field_type: FieldType,
        base: models.Filter,
        direction: models.Direction,
        wanted: Callable[[Any], bool] = lambda _: True,
    ) -> Any:
        """The smallest or largest indexed value of a field: a number, or a moment; None when none has its type.

        Of the values of that item only the `wanted` count.
        """
        records, _ = self._client.scroll(
            self._collection,
            scroll_filter=base,
            order_by=models.OrderBy(key=key, direction=direction),
            limit=1,
            with_payload=[key],
        )
        if not records:
            return None
        value = (records[0].payload or {}).get(field_name(key), [])
        chosen: list[Any] = [element for element in elements(value) if fits(element, field_type)]
        chosen = sorted(filter(wanted, map(moment_of, chosen) if field_type is FieldType.DATE else chosen))
        return chosen[0 if direction is models.Direction.ASC else -1] if chosen else None


def by_path(item: Item) -> tuple[str, str]:
    """What items are put in order by where nothing else decides."""
    return item.file.path, item.file.source
