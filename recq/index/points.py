"""Reads the points of one collection: by id, page by page, counted; and decides which of them are items.

Everything else in `recq.index` that reads points does so through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from qdrant_client import QdrantClient, models

from recq.index.errors import translated
from recq.index.plain_requests import (
    Near,
    Stored,
    query_beside,
    query_points,
    scroll_points,
    stored_payloads,
    stored_points,
    stored_vectors,
)
from recq.index.schema import VECTOR, Item
from recq.part import WHOLE, Part
from recq.space import MAX_DIMENSIONS

PAGE = 500
"""Points of one page of a scroll: it limits the memory of a pass over the whole catalog."""

LONGEST_AT_ONCE = 100
"""Points of one request that are read with vectors of the greatest length: the embedded engine gives 152 of them
(`recq.index.edge.bounds`)."""

LEDGER_KEYS = ["file", "error"]
"""The part of a payload that shows what is done and what failed."""

Page = tuple[list[Stored], Any]
Asking = Callable[..., Page]
"""Calls the given function with the other arguments, at once or with retries."""


@dataclass(frozen=True)
class ItemVector:
    """An item with its vector, float32 (dim,); no vector exactly when `item.error` is set."""

    item: Item
    vector: np.ndarray | None


def _at_once(function: Callable[..., Page], *args: Any) -> Page:
    """The default for `Points.asked_through`."""
    return function(*args)


class Points:
    """Reads the points of one collection. All methods raise only errors of `recq.errors`.

    `dim` is the length of its vectors: of long ones fewer are read in one request.
    """

    def __init__(
        self, client: QdrantClient, collection: str, asking: Asking = _at_once, *, dim: int = MAX_DIMENSIONS
    ) -> None:
        self._client = client
        self._collection = collection
        self._asking = asking
        self._dim = dim

    def asked_through(self, asking: Asking) -> Self:
        """The same points, each page of a scroll asked for through `asking`."""
        return type(self)(self._client, self._collection, asking, dim=self._dim)

    @translated
    def items(self, ids: Sequence[str], *, payload: bool | list[str] = True) -> dict[str, Item]:
        """The items with those ids that exist, by id; with the whole payload, or with some of its keys."""
        if not ids:
            return {}
        found = stored_payloads(self._client, self._collection, ids, payload)
        return {item_id: item for item_id, stored in found.items() if (item := item_in(stored)) is not None}

    @translated
    def records(self, ids: Sequence[str], *, payload: bool | list[str], vectors: bool = False) -> list[Stored]:
        """The points with those ids that exist, in no order; with the whole payload, or with some of its keys."""
        size, wanted = (vectors_at_once(self._dim), [VECTOR]) if vectors else (max(1, len(ids)), False)
        pages = [ids[start : start + size] for start in range(0, len(ids), size)]
        return [each for page in pages for each in stored_points(self._client, self._collection, page, payload, wanted)]

    @translated
    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The stored vectors of those ids, each float32 (dim,); failed and unknown items are absent."""
        found: dict[str, np.ndarray] = {}
        size = vectors_at_once(self._dim)
        for start in range(0, len(ids), size):
            found |= stored_vectors(self._client, self._collection, ids[start : start + size], VECTOR)
        return found

    @translated
    def count(self, condition: models.Filter, source: str | None = None) -> int:
        """How many points match, of all sources or of one."""
        return self._client.count(self._collection, count_filter=within(condition, source), exact=True).count

    @translated
    def facet(self, key: str, condition: models.Filter, limit: int) -> list[models.FacetValueHit]:
        """The most frequent values of an indexed payload key among matching points, with their exact counts."""
        found = self._client.facet(self._collection, key=key, facet_filter=condition, limit=limit, exact=True)
        return found.hits

    @translated
    def first(
        self,
        condition: models.Filter,
        limit: int,
        *,
        payload: bool | list[str],
        order_by: models.OrderBy | None = None,
        start: Any = None,
    ) -> list[Stored]:
        """The first `limit` matching points, in the order of ids, from the id `start` on, or of a field."""
        asked = models.ScrollRequest(
            filter=condition, limit=limit, order_by=order_by, with_payload=payload, offset=start
        )
        return scroll_points(self._client, self._collection, asked)[0]

    @translated
    def nearest(self, requests: Sequence[models.QueryRequest]) -> list[list[Near]]:
        """The answers to several questions, asked in one request."""
        return query_points(self._client, self._collection, requests)

    @translated
    def nearest_beside(self, request: models.QueryRequest, item_id: str) -> tuple[list[Near], Item | None]:
        """The answer to a question, and the item of an id, None where there is none."""
        found, payload = query_beside(self._client, self._collection, request, item_id)
        return found, None if payload is None else item_in(payload)

    def scroll(
        self,
        condition: models.Filter,
        *,
        payload: bool | list[str],
        page: int = PAGE,
        vectors: bool = False,
        part: Part = WHOLE,
    ) -> Iterator[Stored]:
        """Every matching point, of a source's part where one is named, a page at a time, in the order of ids."""
        offset: Any = part.first
        if vectors:
            page = min(page, vectors_at_once(self._dim))
        while True:
            records, offset = self._asking(self._page, condition, payload, page, offset, vectors)
            if part.end is not None and records and str(records[-1].id) >= part.end:
                yield from (record for record in records if str(record.id) < part.end)
                return
            yield from records
            if offset is None:
                return

    @translated
    def _page(self, condition: models.Filter, payload: bool | list[str], page: int, offset: Any, vectors: bool) -> Page:
        asked = models.ScrollRequest(
            filter=condition,
            limit=page,
            offset=offset,
            with_payload=payload,
            with_vector=[VECTOR] if vectors else False,
        )
        return scroll_points(self._client, self._collection, asked)


def vectors_at_once(dim: int) -> int:
    """How many points are read with vectors of that length in one request."""
    return min(PAGE, max(1, LONGEST_AT_ONCE * MAX_DIMENSIONS // dim))


def item_of(record: Stored) -> Item | None:
    """The item that a point is; None for one that another program wrote (any client of the server can)."""
    return item_in(record.payload or {})


def item_in(payload: Mapping[str, Any]) -> Item | None:
    """The item of a whole payload; None where it is none."""
    try:
        return Item.from_payload(payload)
    except (KeyError, TypeError):
        return None


def items_of(records: Iterable[Stored]) -> Iterator[Item]:
    """The items among some points. Every reader uses this function; points that are no items are skipped."""
    return (item for record in records if (item := item_of(record)) is not None)


def vector_of(record: Stored) -> np.ndarray | None:
    """The vector of a point, float32 (dim,); None where it has none, or it was not asked for."""
    if record.vector is None or VECTOR not in record.vector:
        return None
    return np.asarray(record.vector[VECTOR], dtype=np.float32)


def within(condition: models.Filter, source: str | None) -> models.Filter:
    """`condition`, within one source when one is named."""
    if source is None:
        return condition
    own = models.FieldCondition(key="file.source", match=models.MatchValue(value=source))
    return models.Filter(must=[own, condition]) if condition != models.Filter() else models.Filter(must=[own])
