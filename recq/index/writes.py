"""Writes items; each write is waited for, so that an item is done only after its write was acknowledged.

Whatever concerns an item as a whole carries a stamp (`recq.index.changes`): its writes, and the tombstone that it
leaves when it goes. What is predicted of it, marks and times of its file are no changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models

from recq.errors import ImageError, Reason
from recq.index import changes, predicted
from recq.index.change_log import newest
from recq.index.changes import Gone, Stamp
from recq.index.errors import translated
from recq.index.fields import Fields, Misfit
from recq.index.points import ItemVector
from recq.index.schema import VECTOR, FieldType, Item, Value, stored_payload, stored_predictions
from recq.index.stamps import Stamps
from recq.space import EmbeddingSpace

NUMBERS_AT_ONCE = 1_000_000
"""The most numbers of one write: as JSON they take 20 MB, and a server takes 32 MB by default."""

Row = tuple[str, Mapping[str, npt.NDArray[np.float32]], Mapping[str, Any]]
"""A whole point: its id, its vectors by name, and its payload."""


@runtime_checkable
class WritesRows(Protocol):
    """A client that takes whole points as they are, without a request: that of the embedded engine in this process."""

    def upsert_rows(self, collection_name: str, rows: Sequence[Row]) -> None:
        """As a waited `upsert` of the same points; raises the same."""


def _ignore_misfit(field: str, value: Value, field_type: FieldType) -> None:
    """The default for `Writes.on_misfit`."""


class Writes:
    """Writes the items of one collection. All methods raise only errors of `recq.errors`.

    `on_misfit(field, value, type)` is called once per field when a stored value does not fit the field's type: the
    value is kept, but filters on the field do not find it.
    """

    def __init__(self, client: QdrantClient, collection: str, space: EmbeddingSpace, fields: Fields) -> None:
        self.on_misfit: Misfit = _ignore_misfit
        self._client = client
        self._collection = collection
        self._space = space
        self._fields = fields
        self._stamps = Stamps(lambda: newest(client, collection))

    @translated
    def upsert(self, entries: Sequence[ItemVector]) -> None:
        """Write items and vectors in one waited request; fields that are new get their payload index first.

        Long vectors (some `flatten`ed maps) take several requests: the items of those that went before are written when
        one fails. Raises ImageError(NO_SIGNAL) for a vector that is not finite, is all zeros or has the wrong length:
        the engines would store it without an error.
        """
        if not entries:
            return
        for entry in entries:
            self._check(entry)
        types = self._fields.declare_for([entry.item for entry in entries], self.on_misfit)
        rows = [
            (
                entry.item.id,
                {} if entry.vector is None else {VECTOR: entry.vector.astype(np.float32, copy=False)},
                stored_payload(entry.item, types),
            )
            for entry in entries
        ]
        before = [entry.item.stamp for entry in entries]
        for start in range(0, len(rows), step := max(1, NUMBERS_AT_ONCE // self._space.dim)):
            self._send_stamped(rows[start : start + step], before[start : start + step])

    def _send_stamped(self, rows: Sequence[Row], before: Sequence[Stamp | None]) -> None:
        """One waited write of points with their stamps; `before` are earlier ones of items whose bytes are the same."""
        with self._stamps.batch(len(rows)) as numbers:
            self._send(
                [
                    (id_, vectors, {**payload, changes.KEY: numbers.stamp(position, before[position]).to_json()})
                    for position, (id_, vectors, payload) in enumerate(rows)
                ]
            )

    @translated
    def copy(self, rows: Sequence[Row]) -> None:
        """Write whole points of another collection as they are: their payloads are stored ones."""
        for start in range(0, len(rows), step := max(1, NUMBERS_AT_ONCE // self._space.dim)):
            self._send(rows[start : start + step])

    def _send(self, rows: Sequence[Row]) -> None:
        """One waited write."""
        if isinstance(self._client, WritesRows):
            self._client.upsert_rows(self._collection, rows)
            return
        points = [
            models.PointStruct(
                id=id_, vector={name: numbers.tolist() for name, numbers in vectors.items()}, payload=dict(payload)
            )
            for id_, vectors, payload in rows
        ]
        self._client.upsert(self._collection, points=points, wait=True)

    def _check(self, entry: ItemVector) -> None:
        if (entry.vector is None) != (entry.item.error is not None):
            raise ValueError(f"{entry.item.file.path}: an item has a vector or an error, never both or neither")
        if entry.vector is None:
            return
        if entry.vector.shape != (self._space.dim,):
            raise ImageError(Reason.NO_SIGNAL, f"vector of shape {entry.vector.shape}, not ({self._space.dim},)")
        norm = float(np.linalg.norm(entry.vector))
        if not np.isfinite(norm) or norm == 0.0:
            raise ImageError(Reason.NO_SIGNAL, f"vector of norm {norm}")

    @translated
    def replace_metadata(self, items: Sequence[Item]) -> None:
        """Replace whole payloads (removed fields disappear); vectors stay untouched. What has gone stays so."""
        types = self._fields.declare_for(items, self.on_misfit)
        if not items:
            return
        ids = [item.id for item in items]
        with self._stamps.batch(len(items)) as numbers:  # which `remove` waits for: what it takes away is seen here
            records = self._client.retrieve(self._collection, ids=ids, with_payload=[changes.KEY, changes.GONE])
            payloads = {str(each.id): each.payload or {} for each in records}
            for position, item in enumerate(items):
                before = payloads.get(item.id, {})
                if changes.GONE not in before:
                    stamp = numbers.stamp(position, Stamp.from_json(before.get(changes.KEY)))
                    payload = {**stored_payload(item, types), changes.KEY: stamp.to_json()}
                    self._client.overwrite_payload(self._collection, payload=payload, points=[item.id], wait=True)

    @translated
    def replace_predictions(self, items: Sequence[Item]) -> None:
        """Replace what is predicted of items, which exist; vectors and all other payload stay untouched."""
        types = self._fields.types()
        operations: list[models.UpdateOperation] = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload={predicted.KEY: stored_predictions(item, types) or None}, points=[item.id]
                )
            )
            for item in items
        ]
        if operations:
            self._client.batch_update_points(self._collection, operations, wait=True)

    @translated
    def remove(self, items: Sequence[Gone]) -> None:
        """Put tombstones in the place of items, in one write: they are no items any more, and readers of changes learn
        that they have gone."""
        rows: list[Row] = [(item.id, {}, {changes.GONE: item.to_json()}) for item in items]
        if rows:
            self._send_stamped(rows, [None] * len(rows))

    @translated
    def delete(self, ids: Sequence[str]) -> None:
        """Delete points without a trace; unknown ids are no error. For items there is `remove`."""
        if ids:
            points: list[models.ExtendedPointId] = [int(each) if each.isdecimal() else each for each in ids]
            self._client.delete(self._collection, points_selector=models.PointIdsList(points=points), wait=True)

    @translated
    def probe(self) -> None:
        """Make a write that changes nothing, to see whether the index accepts writes. Raises IndexUnreachable."""
        nobody = models.PointIdsList(points=[str(uuid4())])
        self._client.delete(self._collection, points_selector=nobody, wait=True)
