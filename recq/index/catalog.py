"""The Catalog: every read and every write of the index, written once against `QdrantClient`, equal on every engine.

A catalog is an alias; behind it stands one collection per embedding space, named after the space's fingerprint. The
collection's metadata keeps the space, the payload's schema version and the sources. Writes are waited for: an item is
done only after its upsert was acknowledged, and the fixed point ids make every retry harmless.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.errors import ImageError, Reason, TargetNotFound, UsageError
from recq.index import background
from recq.index.background import Background
from recq.index.collection import behind, collection_name, others, point_alias, stored_space
from recq.index.collection import create as create_collection
from recq.index.collection import upgrade as upgrade_collection
from recq.index.errors import translated
from recq.index.facets import MAX_BINS, Facets, date_periods, number_bins
from recq.index.fields import Fields, Misfit
from recq.index.filters import NO_ERROR, Condition, Op, compile_filters, require_indexed
from recq.index.ledger import PAGE, Ledger, item_of, vector_of, within
from recq.index.schema import (
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
from recq.index.sources import CONFIRMATION_PREFIX, METADATA_PREFIX
from recq.space import EmbeddingSpace, require_same

ORDERED = 100_000
"""Items up to which `search` reads the path of every match to find the first ones: some seconds at most."""

_ENTRIES = 100
"""Items with their vectors that a scroll asks for at a time: some megabytes of JSON."""


@dataclass(frozen=True)
class Entry:
    """One write: an item with its vector, float32 (dim,); no vector exactly when `item.error` is set."""

    item: Item
    vector: np.ndarray | None


@dataclass(frozen=True)
class Hit:
    """One neighbour; `score` is the cosine similarity (higher is nearer)."""

    item: Item
    score: float


def _ignore_misfit(field: str, value: Value, field_type: FieldType) -> None:
    """The default for `Catalog.on_misfit`."""


class Catalog(Ledger):
    """A named set of indexed images. All methods raise only errors of `recq.errors`.

    `on_misfit(field, value, type)` is called once per field when a stored value does not fit the field's type: the
    value is kept, but filters on the field do not find it.
    """

    def __init__(self, client: QdrantClient, name: str, collection: str, space: EmbeddingSpace) -> None:
        self.name = name
        self.space = space
        self.on_misfit: Misfit = _ignore_misfit
        super().__init__(client, collection)
        self._fields = Fields(client, collection)

    # -- life -----------------------------------------------------------------------------------------------------

    @classmethod
    @translated
    def open(cls, client: QdrantClient, name: str) -> Catalog:
        """The existing catalog. Raises TargetNotFound when there is none."""
        collection = behind(client, name)
        if collection is None:
            known = sorted(alias.alias_name for alias in client.get_aliases().aliases)
            others = f" (there is: {', '.join(known)})" if known else ""
            raise TargetNotFound(
                f"catalog {name!r} does not exist here{others}: fill it with "
                f"'recq-ingest run FOLDER --catalog {name}', or name another with --catalog, --data-dir or --url"
            )
        return cls(client, name, collection, stored_space(client, collection))

    @classmethod
    @translated
    def create(cls, client: QdrantClient, name: str, space: EmbeddingSpace) -> Catalog:
        """The catalog, made when it does not exist. Raises SpaceMismatch when it exists in another space."""
        collection = behind(client, name)
        if collection is not None:
            require_same(stored_space(client, collection), space, name)
        else:
            collection = collection_name(name, space)
            create_collection(client, collection, space)
            point_alias(client, name, collection)
        return cls(client, name, collection, space)

    @classmethod
    @translated
    def begin_rebuild(cls, client: QdrantClient, name: str, space: EmbeddingSpace) -> Catalog:
        """The catalog's next collection, in another space; queries go on in the old one until `finish_rebuild`.

        A rebuild that was interrupted is taken up where it stopped.
        """
        current = cls.open(client, name)
        if current.space.fingerprint == space.fingerprint:
            raise UsageError(f"catalog {name!r} already uses {space.label}: there is nothing to rebuild")
        catalog = cls(client, name, collection_name(name, space), space)
        create_collection(client, catalog._collection, space)
        for source in current.sources().values():
            catalog._write_source(source)
        return catalog

    @translated
    def finish_rebuild(self) -> None:
        """Move the alias to this collection in one step, then delete the one it stood for."""
        point_alias(self._client, self.name, self._collection)
        for old in others(
            self._client, self.name, self._collection
        ):  # also what an earlier one left when it was killed
            self._client.delete_collection(old)

    @translated
    def upgrade(self) -> int | None:
        """Bring an index that an older recq made up to date; the schema version it had, None when that was this one."""
        return upgrade_collection(self._client, self._collection)

    @translated
    def still_current(self) -> bool:
        """False once the alias stands for another collection: someone has rebuilt the catalog."""
        return behind(self._client, self.name) == self._collection

    @translated
    def exists(self) -> bool:
        """False once the catalog is gone altogether: someone has deleted its collection or its alias."""
        return behind(self._client, self.name) is not None

    # -- fields ---------------------------------------------------------------------------------------------------

    @translated
    def types(self, *, refresh: bool = False) -> FieldTypes:
        """The metadata fields and their types, read from the payload indexes."""
        return self._fields.types(refresh=refresh)

    @translated
    def declare(self, types: FieldTypes) -> None:
        """Create the payload indexes of fields that have none yet; a known field keeps its type."""
        self._fields.declare(types)

    # -- writes ---------------------------------------------------------------------------------------------------

    @translated
    def upsert(self, entries: Sequence[Entry]) -> None:
        """Write items and vectors in one waited request; fields that are new get their payload index first.

        Raises ImageError(NO_SIGNAL) for a vector that is not finite, is all zeros or has the wrong length: the engines
        would take it in silence.
        """
        if not entries:
            return
        for entry in entries:
            self._check(entry)
        types = self._fields.declare_for([entry.item for entry in entries], self.on_misfit)
        points = [
            models.PointStruct(
                id=entry.item.id,
                vector={} if entry.vector is None else {VECTOR: entry.vector.tolist()},
                payload=entry.item.with_digest().to_payload(types),
            )
            for entry in entries
        ]
        self._client.upsert(self._collection, points=points, wait=True)

    def _check(self, entry: Entry) -> None:
        if (entry.vector is None) != (entry.item.error is not None):
            raise ValueError(f"{entry.item.file.path}: an item has a vector or an error, never both or neither")
        if entry.vector is None:
            return
        if entry.vector.shape != (self.space.dim,):
            raise ImageError(Reason.NO_SIGNAL, f"vector of shape {entry.vector.shape}, not ({self.space.dim},)")
        norm = float(np.linalg.norm(entry.vector))
        if not np.isfinite(norm) or norm == 0.0:
            raise ImageError(Reason.NO_SIGNAL, f"vector of norm {norm}")

    @translated
    def replace_metadata(self, items: Sequence[Item]) -> None:
        """Replace whole payloads (removed fields disappear); vectors stay untouched."""
        types = self._fields.declare_for(items, self.on_misfit)
        for item in items:
            self._client.overwrite_payload(
                self._collection, payload=item.with_digest().to_payload(types), points=[item.id], wait=True
            )

    @translated
    def delete(self, ids: Sequence[str]) -> None:
        """Delete points; unknown ids are no error."""
        if ids:
            self._client.delete(self._collection, points_selector=models.PointIdsList(points=list(ids)), wait=True)

    # -- reads ----------------------------------------------------------------------------------------------------

    @translated
    def vector(self, item_id: str) -> np.ndarray | None:
        """The stored vector, float32 (dim,); None for a failed or unknown item."""
        records = self._client.retrieve(self._collection, ids=[item_id], with_payload=False, with_vectors=[VECTOR])
        return vector_of(records[0]) if records else None

    @translated
    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those ids, each float32 (dim,), in one request; failed and unknown items are absent."""
        records = self._client.retrieve(self._collection, ids=list(ids), with_payload=False, with_vectors=[VECTOR])
        return {str(record.id): vector for record in records if (vector := vector_of(record)) is not None}

    def rows(self, filters: Sequence[str | Condition] = (), fields: Sequence[str] = ()) -> Iterator[Item]:
        """Every embedded item that all filters hold for, its metadata cut down to `fields`. Streams, in no order."""
        wanted = compile_filters(filters, self.types())
        keys = [*map(payload_key, fields), "file"]
        return map(item_of, self._scroll(wanted, payload=keys, page=10 * PAGE))

    @translated
    def vectors_by_sha256(self, digests: Collection[str]) -> dict[str, np.ndarray]:
        """Vectors of embedded items with those bytes: what has been computed once is carried, not computed again."""
        if not digests:
            return {}
        wanted = models.Filter(
            must=[models.FieldCondition(key="file.sha256", match=models.MatchAny(any=list(digests))), NO_ERROR]
        )
        holders: dict[str, str] = {}  # one item for each digest: a thousand copies are no thousand vectors
        for record in self._scroll(wanted, payload=["file.sha256"]):
            holders.setdefault((record.payload or {})["file"]["sha256"], str(record.id))
            if len(holders) == len(digests):
                break
        if not holders:
            return {}
        records = self._client.retrieve(
            self._collection, ids=list(holders.values()), with_payload=False, with_vectors=[VECTOR]
        )
        vectors = {str(record.id): vector_of(record) for record in records}
        return {digest: vector for digest, id_ in holders.items() if (vector := vectors.get(id_)) is not None}

    def entries(self, filters: Sequence[str | Condition] | None = None) -> Iterator[Entry]:
        """Every item with its vector, failed ones included; with filters, embedded items that all hold for. Streams."""
        wanted = models.Filter() if filters is None else compile_filters(filters, self.types())
        for record in self._scroll(wanted, payload=True, page=_ENTRIES, vectors=True):
            yield Entry(item_of(record), vector_of(record))

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
            self._collection, scroll_filter=models.Filter(must=[condition]), limit=limit, with_payload=True
        )
        return sorted((item_of(record) for record in records), key=_by_path)

    @translated
    def nearest(
        self,
        query: np.ndarray | str,
        k: int,
        filters: Sequence[str | Condition] = (),
        *,
        min_score: float | None = None,
        exclude: Sequence[str] = (),
    ) -> list[Hit]:
        """The k items nearest to a vector, float32 (dim,), or to the item with that id (itself left out).

        Best first, ties by path. Raises FilterError.
        """
        response = self._client.query_points(
            self._collection,
            query=query if isinstance(query, str) else query.tolist(),
            using=VECTOR,
            query_filter=compile_filters(filters, self.types(), exclude=exclude),
            limit=k,
            score_threshold=min_score,
            with_payload=True,
        )
        hits = [Hit(item_of(point), point.score) for point in response.points]
        return sorted(hits, key=lambda hit: (-hit.score, *_by_path(hit.item)))

    @translated
    def search(self, filters: Sequence[str | Condition], k: int) -> list[Item]:
        """The first k items that all filters hold for, in the order of paths.

        Where more than `ORDERED` items match, the k are any of them (in the order of paths among themselves): finding
        the first would mean reading every row.
        """
        compiled = compile_filters(filters, self.types())
        if k < (matching := self._count(compiled, None)) <= ORDERED:
            rows = self._scroll(compiled, payload=["file.path", "file.source"], page=10 * PAGE)
            first = heapq.nsmallest(k, ((_place(row), str(row.id)) for row in rows))
            found = self.get_many([item_id for _, item_id in first])
            return [found[item_id] for _, item_id in first if item_id in found]
        records = self._scroll(compiled, payload=True, page=min(k, PAGE))
        return sorted((item_of(record) for record in islice(records, min(k, matching))), key=_by_path)

    @translated
    def count(self, filters: Sequence[str | Condition] = (), *, source: str | None = None) -> int:
        """How many embedded items all filters hold for."""
        return self._count(compile_filters(filters, self.types()), source)

    @translated
    def background(self) -> Background | None:
        """How alike random pairs of items are, the scale to read scores on; None where there are too few items.

        Kept with the collection, and measured anew when the catalog has grown or shrunk by `background.DRIFT`.
        """
        info = self._client.get_collection(self._collection)
        items = info.points_count or 0
        if items < background.FEWEST_ITEMS:
            return None
        kept = self._background_in(info)
        if kept is not None and not kept.is_stale(items):
            return kept
        embedded = compile_filters((), self.types())
        better = self.space.higher_is_better
        fresh = background.measure(self._client, self._collection, embedded, items, higher_is_better=better)
        if fresh is not None:
            with suppress(UnexpectedResponse):  # a key that may only read: it serves this answer at least
                self._client.update_collection(self._collection, metadata={background.KEY: fresh.to_json()})
        return fresh

    @translated
    def kept_background(self) -> Background | None:
        """What was measured last, up to date or not; None where nothing is kept."""
        return self._background_in(self._client.get_collection(self._collection))

    def _background_in(self, info: models.CollectionInfo) -> Background | None:
        stored = (info.config.metadata or {}).get(background.KEY)
        return Background.from_json(stored, higher_is_better=self.space.higher_is_better) if stored else None

    @translated
    def facets(self, field: str, filters: Sequence[str | Condition] = (), limit: int = 50) -> Facets:
        """The field's values with their counts, most frequent first; ranges for numbers and dates.

        Raises FilterError for unknown and for unindexed fields.
        """
        types = self.types()
        field_type = require_indexed(field, types, "facets")
        key = payload_key(field)
        base = compile_filters([*filters, Condition(field, Op.EXISTS)], types)
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
            first, last = (datetime.fromisoformat(str(end)) for end in (low, high))
            spans = [
                (period, compile_filters([*filters, Condition(field, Op.EQ, (period,))], types))
                for period in date_periods(first, last)
            ]
        else:
            bins = number_bins(float(low), float(high), integer=field_type is FieldType.INTEGER)
            spans = [(b.label, _and(base, key, b.range())) for b in bins]
        counted = [(label, self._count(span, None)) for label, span in spans]
        return Facets(field, field_type, [row for row in counted if row[1]][: max(limit, MAX_BINS)], total)

    def _extreme(self, key: str, field_type: FieldType, base: models.Filter, direction: models.Direction) -> Any:
        """The smallest or largest indexed value of a field; None when no value has the field's type."""
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
        chosen = sorted(element for element in elements(value) if fits(element, field_type))
        return chosen[0 if direction is models.Direction.ASC else -1] if chosen else None

    @translated
    def drop_source(self, name: str) -> int:
        """Delete a source's points and record; returns how many points there were.

        With the last source the fields go, too: what is indexed next decides their types anew.
        """
        condition = within(models.Filter(), name)
        dropped = self._client.count(self._collection, count_filter=condition, exact=True).count
        self._client.delete(self._collection, points_selector=models.FilterSelector(filter=condition), wait=True)
        gone = {METADATA_PREFIX + name: None, CONFIRMATION_PREFIX + name: None}
        self._client.update_collection(self._collection, metadata=gone)
        if not self.sources():
            self._fields.forget()
        return dropped


def _place(record: models.Record) -> tuple[str, str]:
    file = (record.payload or {})["file"]
    return file["path"], file["source"]


def _by_path(item: Item) -> tuple[str, str]:
    return item.file.path, item.file.source


def _and(base: models.Filter, key: str, span: models.Range) -> models.Filter:
    return models.Filter(must=[base, models.FieldCondition(key=key, range=span)])
