"""The daemon's records: what is done, what failed, what is to be retried, which bytes are known.

The index itself is the ledger: everything here is read from the items' `file` and `error`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.index import changes, predicted
from recq.index.errors import translated
from recq.index.filters import NO_ERROR, NO_FILE
from recq.index.points import LEDGER_KEYS, PAGE, Asking, ItemVector, Points, item_of, items_of, vector_of, within
from recq.index.predicted import Prediction
from recq.index.schema import FACTS, Item, payload_key, predicted_key
from recq.part import WHOLE, Part

PREDICTED_AT_ONCE = 100
"""Items with their vectors that a scroll asks for at a time."""

_COUNTED_AT_ONCE = 10_000  # ids of a part that are read at a time
_TRIES = 3  # of a write to points that may be deleted meanwhile
_NOT_FOUND = 404  # one of the points of a request is not there


def _empty(key: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _said_by(field: str, by: str) -> models.FieldCondition:
    """The predictor `by` has said something of the field."""
    return models.FieldCondition(key=predicted_key(field, predicted.BY), match=models.MatchValue(value=by))


def _waiting(field: str, by: str) -> models.Filter:
    """Embedded items that people gave no such field, and of which the predictor `by` has said nothing."""
    return models.Filter(must=[NO_ERROR, _empty(payload_key(field))], must_not=[_said_by(field, by)])


_FOREIGN = models.Filter(
    should=[
        *(_empty(f"file.{key}") for key in FACTS),
        *(models.Filter(must_not=[_empty(f"file.{key}[]")]) for key in FACTS),  # a list of it
        *(
            models.Filter(must_not=[models.FieldCondition(key=key, match=models.MatchExcept(**{"except": [""]}))])
            for key in ("file.source", "file.path")
        ),
        *(
            models.Filter(must_not=[models.FieldCondition(key=key, range=models.Range(gte=-(2.0**64)))])
            for key in ("file.size", "file.mtime_ns")
        ),
    ],
    must=[_empty(changes.GONE)],
)
"""Finds every point that is no item and no tombstone, and some that are: what is found has to be looked at
(`item_of`)."""

_BYTES = [f"file.{key}" for key in (*FACTS, "sha256", "decoder")]
"""The part of a payload that shows which bytes an item has, and who saw them."""

_FAILED = models.Filter(must_not=[NO_ERROR, NO_FILE])


class Carried(NamedTuple):
    """A stored vector, float32 (dim,), and the revision of the decoder that saw its picture."""

    vector: np.ndarray
    decoder: int


class PartCount(NamedTuple):
    """How many items a part of a source has, `failed` ones included, and how many of them have failed."""

    items: int
    failed: int


class PredictionCounts(NamedTuple):
    """How many items have a label by a predictor, how many are unknown to it, and of how many it has said nothing."""

    labelled: int
    unknown: int
    waiting: int


class Ledger:
    """The records of one collection's items. All methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, points: Points) -> None:
        self._client = client
        self._collection = collection
        self._points = points

    def asked_through(self, asking: Asking) -> Self:
        """The same, with each page of a long answer asked for through `asking`, so that a retry goes on at that page.

        A stream that fails has ended; beginning it again would ask for the same page without end.
        """
        return type(self)(self._client, self._collection, self._points.asked_through(asking))

    def get_many(self, ids: Sequence[str]) -> dict[str, Item]:
        """The items of those ids that exist, metadata included."""
        return self._points.items(ids)

    def known(self, ids: Sequence[str]) -> dict[str, Item]:
        """The items of those ids that exist, without metadata: file facts and error alone."""
        return self._points.items(ids, payload=LEDGER_KEYS)

    def holders(
        self,
        digests: Collection[str],
        *,
        names: Collection[str] | None = None,
        source: str | None = None,
        page: int = PAGE,
    ) -> Iterator[Item]:
        """Items with those SHA-256 (and one of those file names), of all sources or of one, without metadata.

        Streams, `page` items at a time.
        """
        conditions: list[models.Condition] = [
            models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
            for key, values in (("file.sha256", digests), ("file.name", names))
            if values is not None
        ]
        return items_of(
            self._points.scroll(within(models.Filter(must=conditions), source), payload=LEDGER_KEYS, page=page)
        )

    def vectors_by_sha256(self, digests: Collection[str], *, newest: int | None = None) -> dict[str, Carried]:
        """Vectors of embedded items with those bytes: what has been computed once is carried, not computed again.

        Among copies, the one of the newest decoder is used; `newest` is the revision after which no other is
        searched for, so that a thousand copies are not read where one is enough.
        """
        if not digests:
            return {}
        wanted = models.Filter(
            must=[models.FieldCondition(key="file.sha256", match=models.MatchAny(any=list(digests))), NO_ERROR],
            must_not=[NO_FILE],
        )
        holders: dict[str, tuple[int, str]] = {}  # one item for each digest: a thousand copies are no thousand vectors
        for record in self._points.scroll(wanted, payload=_BYTES):
            item = item_of(record)
            if item is None or item.file.sha256 is None:  # another program wrote it, a list of digests for example
                continue
            revision, digest = item.file.decoder or 0, item.file.sha256
            if digest not in holders or revision > holders[digest][0]:
                holders[digest] = revision, str(record.id)
            if newest is not None and len(holders) == len(digests) and min(holders.values())[0] >= newest:
                break
        found: dict[str, Carried] = {}
        # An item may have got other bytes since, and with them another vector: both come from one answer.
        ids = [id_ for _, id_ in holders.values()]
        for record in self._points.records(ids, payload=_BYTES, vectors=True):
            item, vector = item_of(record), vector_of(record)
            if vector is not None and item is not None and item.file.sha256 in holders:
                found[item.file.sha256] = Carried(vector, item.file.decoder or 0)
        return found

    def count_failed(self, *, source: str | None = None) -> int:
        """How many items could not be embedded."""
        return self._points.count(_FAILED, source)

    def failed(self, source: str | None = None) -> Iterator[Item]:
        """Items that could not be embedded, metadata included. Streams."""
        return items_of(self._points.scroll(within(_FAILED, source), payload=True))

    def marked(self, source: str) -> Iterator[Item]:
        """Failed items of a source that are marked to be retried, without metadata."""
        mark = models.FieldCondition(key="error.retry", match=models.MatchValue(value=True))
        return items_of(self._points.scroll(within(models.Filter(must=[mark]), source), payload=LEDGER_KEYS))

    def scan(self, source: str, part: Part = WHOLE, *, page: int = PAGE) -> Iterator[Item]:
        """Every item of a source, or of a part of it, failed ones included, without metadata: file facts and error
        alone. Streams, `page` items at a time."""
        return items_of(self._points.scroll(within(models.Filter(), source), payload=LEDGER_KEYS, page=page, part=part))

    def count_part(self, source: str, part: Part) -> PartCount:
        """How many items a part of a source has. Reads its ids, since no engine counts a range of them."""

        def count(condition: models.Filter) -> int:
            ids = self._points.scroll(within(condition, source), payload=False, page=_COUNTED_AT_ONCE, part=part)
            return sum(1 for _ in ids)

        return PartCount(count(models.Filter()), count(_FAILED))

    def predictions_by_sha256(self, digests: Collection[str], field: str, by: str) -> dict[str, Prediction]:
        """What the predictor `by` says of embedded items with those bytes: it holds for every copy of them."""
        if not digests:
            return {}
        wanted = models.Filter(
            must=[
                models.FieldCondition(key="file.sha256", match=models.MatchAny(any=list(digests))),
                _said_by(field, by),
                NO_ERROR,
            ],
            must_not=[NO_FILE],
        )
        found: dict[str, Prediction] = {}
        for item in items_of(self._points.scroll(wanted, payload=["file", predicted.KEY])):
            if item.file.sha256 is not None and field in item.predicted:
                found.setdefault(item.file.sha256, item.predicted[field])
            if len(found) == len(digests):
                break
        return found

    def unpredicted(self, source: str, field: str, by: str, *, vectors: bool = True) -> Iterator[ItemVector]:
        """The items of a source whose prediction of a field is missing, or of another predictor than `by`, or stands
        where people gave the field; with their vectors, unless these are not wanted. Streams."""
        label, own = _empty(payload_key(field)), predicted_key(field, predicted.BY)
        wanted = models.Filter(
            must_not=[NO_FILE], should=[_waiting(field, by), models.Filter(must_not=[label, _empty(own)])]
        )
        records = self._points.scroll(within(wanted, source), payload=True, page=PREDICTED_AT_ONCE, vectors=vectors)
        return (ItemVector(item, vector_of(record)) for record in records if (item := item_of(record)) is not None)

    def count_predictions(self, field: str, by: str) -> PredictionCounts:
        """How far the predictor `by` is with a field."""
        unknown = models.FieldCondition(
            key=predicted_key(field, predicted.UNKNOWN), match=models.MatchValue(value=True)
        )
        said = [_said_by(field, by), NO_ERROR]
        return PredictionCounts(
            self._points.count(models.Filter(must=said, must_not=[NO_FILE, unknown])),
            self._points.count(models.Filter(must=[*said, unknown], must_not=[NO_FILE])),
            self._points.count(models.Filter(must=[_waiting(field, by)], must_not=[NO_FILE])),
        )

    def predicted(self, source: str | None, field: str) -> Iterator[Item]:
        """The items, of all sources or of one, that have a prediction of a field. Streams."""
        wanted = models.Filter(must_not=[NO_FILE, _empty(predicted_key(field, predicted.BY))])
        return items_of(self._points.scroll(within(wanted, source), payload=True))

    def foreign_points(self) -> Iterator[str]:
        """The ids of points that are no items: other programs wrote them, without what recq needs. Streams."""
        for record in self._points.scroll(_FOREIGN, payload=LEDGER_KEYS):
            if item_of(record) is None:
                yield str(record.id)

    @translated
    def mark_for_retry(self, ids: Sequence[str]) -> None:
        """Mark failed items to be retried by the daemons that watch their sources; other items stay as they are."""
        if not ids:
            return
        failed = models.Filter(must=[models.HasIdCondition(has_id=list(ids))], must_not=[NO_ERROR])
        self._client.set_payload(self._collection, payload={"retry": True}, key="error", points=failed, wait=True)

    @translated
    def keep_ctimes(self, ctimes: Mapping[str, int]) -> None:
        """Note the ctime (nanoseconds since the epoch) of items by their ids: vectors and all other payload stay.

        Ids that no longer exist are skipped. Items that cannot be written because others delete all the time are left
        to the next comparison of folder and index.
        """
        for _ in range(_TRIES):
            existing = self._client.retrieve(
                self._collection, ids=list(ctimes), with_payload=False, with_vectors=False
            )  # engines refuse to change what is not there
            operations: list[models.UpdateOperation] = [
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(
                        payload={"ctime_ns": ctimes[str(record.id)]}, key="file", points=[record.id]
                    )
                )
                for record in existing
            ]
            try:
                if operations:
                    self._client.batch_update_points(self._collection, operations, wait=True)
            except UnexpectedResponse as error:
                if error.status_code != _NOT_FOUND:
                    raise
            else:
                return
