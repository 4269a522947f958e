"""Fills a collection of a trained space from the vectors of the one that it was trained on: no picture is read.

Payloads are copied as they are stored, so that metadata, failures, problems and what is known of files come along. Both
collections are gone through a page at a time, in the order of ids. What the new one has already is not written again,
and what the old one has no more is removed: so it can be killed at any time, and run again after any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from qdrant_client import models

from recq.errors import SpaceMismatch
from recq.index.points import LEDGER_KEYS, Points, item_of, items_of, vector_of
from recq.index.schema import VECTOR, Item
from recq.paths import printable

if TYPE_CHECKING:
    from recq.index.plain_requests import Stored
    from recq.index.writes import Row, Writes
    from recq.models.heads import Projection

Asking = Callable[..., Any]
"""Calls the given function with the other arguments, at once or with retries."""

T = TypeVar("T")

_PAGE = 200
"""Points of a page: with payloads of 60 KB, the largest that were seen, a write takes 12 MB."""


class Projecting:
    """Makes the points of one collection equal to those of another but for the vectors, which are put through a head.

    Points that are no items stay behind.
    """

    def __init__(self, old: Points, new: Points, writes: Writes, projection: Projection, asking: Asking) -> None:
        self._old = old
        self._new = new
        self._writes = writes
        self._projection = projection
        self._asking = asking

    def run(self) -> Iterator[int]:
        """Do it; gives the number of items of each page. Raises SpaceMismatch where the head gives no vector."""
        remove_gone(self._old, self._new, self._writes, self._asking)
        for page in _pages(self._old.asked_through(self._asking).scroll(_ALL, payload=LEDGER_KEYS, page=_PAGE)):
            items = {str(record.id): item for record in page if (item := item_of(record)) is not None}
            known: Mapping[str, Item] = self._asking(self._new.items, list(items), payload=LEDGER_KEYS)
            due = [id_ for id_, item in items.items() if not _equal(known.get(id_), item)]
            # An item may have got other bytes since, and with them another vector: both come from one answer.
            records: list[Stored] = self._asking(self._old.records, due, payload=True, vectors=True)
            rows = [row for record in records if (row := self._row(record)) is not None]
            if rows:
                self._asking(self._writes.copy, rows)
            yield len(items)

    def _row(self, record: Stored) -> Row | None:
        """What is written of a point; None of one that is no item, or lacks its vector."""
        item, vector = item_of(record), vector_of(record)
        if item is None or (vector is None and item.error is None):
            return None
        made = {} if vector is None else {VECTOR: self._projected(item, vector)}
        return str(record.id), made, record.payload or {}

    def _projected(self, item: Item, vector: np.ndarray) -> Any:
        made = self._projection.of(vector)
        if not made.any():
            raise SpaceMismatch(
                f"the trained space gives no vector for {printable(f'{item.file.source}/{item.file.path}')}: "
                "train it again"
            )
        return made


def remove_gone(old: Points, new: Points, writes: Writes, asking: Asking) -> None:
    """Remove what the old collection does not have from the new one: it was deleted there since that was filled."""
    for page in _pages(items_of(new.asked_through(asking).scroll(_ALL, payload=LEDGER_KEYS, page=_PAGE))):
        there = asking(old.items, [item.id for item in page], payload=LEDGER_KEYS)
        if gone := [item.gone() for item in page if item.id not in there]:
            asking(writes.remove, gone)


_ALL = models.Filter()


def _pages(each: Iterable[T]) -> Iterator[list[T]]:
    each = iter(each)
    while page := list(islice(each, _PAGE)):
        yield page


def _equal(known: Item | None, item: Item) -> bool:
    """Whether an item was copied already: its file, its metadata (by their digest) and its failure are the same."""
    return known is not None and (known.file, known.error, known.problems) == (item.file, item.error, item.problems)
