"""Reads what has changed in a collection since a cursor, and keeps the number of tombstones bounded.

What a change is, and why none is lost or skipped, is said in `recq.index.changes`, which decides; here the index is
asked.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from qdrant_client import QdrantClient, models

from recq.commands import command
from recq.errors import CursorGone, IndexPending
from recq.index.changes import GONE, KEY, LOG_KEY, NUMBER, SETTLES, WRITER, Changes, Cursor, Log, Row, Stamp, taken
from recq.index.errors import translated
from recq.index.points import LEDGER_KEYS

MOST_TOMBSTONES = 10_000
"""What has gone is kept until there are more than these, and for an hour at least."""

MOST_CHANGES = 1_000
"""Changes of one answer."""

_KEPT_FOR = 3_600_000_000  # microseconds
_REMOVED_AT_ONCE = 1_000
_ROW_KEYS = [KEY, GONE, *LEDGER_KEYS]


def new_log() -> dict[str, Any]:
    """The metadata of a collection without changes."""
    return {LOG_KEY: Log(secrets.token_hex(4)).to_json()}


def newest(client: QdrantClient, collection: str, *conditions: models.Condition) -> int:
    """The newest visible number of points that match; 0 where there is none. Raises the client's errors."""
    order = models.OrderBy(key=NUMBER, direction=models.Direction.DESC)
    records, _ = client.scroll(
        collection,
        scroll_filter=models.Filter(must=list(conditions)) if conditions else None,
        limit=1,
        order_by=order,
        with_payload=False,
    )
    return next(map(_number, records), 0)


def _number(record: models.Record) -> int:
    """The number that a point was found by. Its payload may have a list of them: any program can write one."""
    return int(record.order_value or 0)


def _stamp(record: models.Record) -> Stamp | None:
    """The stamp of a point that was read with it; None where another program wrote something else."""
    return Stamp.from_json((record.payload or {}).get(KEY))


def _after(n: int) -> models.FieldCondition:
    """Numbers above one. The bound lies between two: a server may read a large one a quarter too small, and cuts off
    what is behind the point (1.17 takes 2000000000000001.0 for 2000000000000000)."""
    return models.FieldCondition(key=NUMBER, range=models.Range(gt=n + 0.5))


def _upto(n: int) -> models.FieldCondition:
    """That number and those below."""
    return models.FieldCondition(key=NUMBER, range=models.Range(lte=n + 0.5))


class ChangeLog:
    """The changes of one collection. All methods raise only errors of `recq.errors`."""

    def __init__(self, client: QdrantClient, collection: str, catalog: str) -> None:
        self._client = client
        self._collection = collection
        self._catalog = catalog

    @property
    @translated
    def known(self) -> bool:
        """Whether there is a log: an index that an older recq made has none before it is upgraded."""
        return Log.of(self._client.get_collection(self._collection).config.metadata or {}) is not None

    @translated
    def start(self) -> Cursor:
        """The cursor of whoever has read nothing: the first changes are all items that there are."""
        log = self._log()
        return Cursor(log.id, began=max(self._newest(), log.horizon))

    @translated
    def now(self) -> Cursor:
        """The cursor of whoever wants to know only what comes from now on."""
        log, head = self._log(), self._newest()
        base = max(0, head - SETTLES)
        seen: dict[int, int] = {}
        met: list[models.ExtendedPointId] = []  # besides the writers: any program can write a number without one
        while (record := self._last_of_another(base, seen, met)) is not None:
            met.append(record.id)
            if (stamp := _stamp(record)) is not None:
                seen.setdefault(stamp.by, stamp.n)
        return Cursor(log.id, base, max(head, log.horizon), seen)

    @translated
    def since(self, cursor: Cursor, limit: int = MOST_CHANGES) -> Changes:
        """The next changes, `limit` at the most. Raises CursorGone where some of them are not known any more."""
        if cursor.missed(self._log()):
            raise CursorGone(
                f"catalog {self._catalog!r} does not know any more what changed since this cursor: it was rebuilt, or "
                "too much has gone; begin anew, without a cursor"
            )
        unread = models.Filter(
            must=[_after(cursor.base)],
            must_not=[
                models.Filter(
                    must=[
                        models.FieldCondition(key=WRITER, match=models.MatchValue(value=by)),
                        _upto(n),
                    ]
                )
                for by, n in cursor.seen.items()
            ],
        )
        order = models.OrderBy(key=NUMBER, direction=models.Direction.ASC, start_from=cursor.base + 1)
        records, _ = self._client.scroll(
            self._collection, scroll_filter=unread, limit=limit + 1, order_by=order, with_payload=_ROW_KEYS
        )
        cut = _number(records[limit - 1]) if len(records) > limit else None
        rows = [row for each in records[:limit] if (row := Row.from_payload(str(each.id), each.payload or {}))]
        head = self._newest() if cut is not None else max([cursor.newest, *(row.stamp.n for row in rows)])
        return taken(cursor, rows, head=head, now=time.time_ns() // 1000, cut=cut, newest_of=self._newest_of)

    @translated
    def gone(self, ids: Sequence[str]) -> dict[str, int]:
        """The numbers with which items of those ids have gone, where that is still known."""
        if not ids:
            return {}
        records = self._client.retrieve(self._collection, ids=list(ids), with_payload=[GONE, KEY])
        gone = {str(each.id): _stamp(each) for each in records if GONE in (each.payload or {})}
        return {id_: stamp.n for id_, stamp in gone.items() if stamp is not None}

    @translated
    def prune(self, most: int = MOST_TOMBSTONES) -> int:
        """Remove the oldest tombstones where there are more than `most`. Returns how many.

        The horizon is moved first: where this is interrupted, cursors are refused that would have missed nothing.
        """
        tombstones = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=GONE))])
        count = self._client.count(self._collection, count_filter=tombstones, exact=True).count
        removed = 0
        latest = self._newest() - _KEPT_FOR
        order = models.OrderBy(key=NUMBER, direction=models.Direction.ASC)
        while count - removed > most:
            records, _ = self._client.scroll(
                self._collection,
                scroll_filter=tombstones,
                limit=min(_REMOVED_AT_ONCE, count - removed - most),
                order_by=order,
                with_payload=False,
            )
            numbers = {record.id: _number(record) for record in records}
            old = {id_: n for id_, n in numbers.items() if n <= latest}
            if not old:
                break
            log = self._log()
            moved = Log(log.id, max(log.horizon, *old.values()))
            self._client.update_collection(self._collection, metadata={LOG_KEY: moved.to_json()})
            self._client.delete(self._collection, points_selector=models.PointIdsList(points=list(old)), wait=True)
            removed += len(old)
        return removed

    def _log(self) -> Log:
        log = Log.of(self._client.get_collection(self._collection).config.metadata or {})
        if log is None:
            raise IndexPending(
                f"the changes of catalog {self._catalog!r} are not known yet, since an older recq made this index: "
                f"the next {command('recq-ingest', 'run')} brings it up to date"
            )
        return log

    def _newest(self) -> int:
        return newest(self._client, self._collection)

    def _newest_of(self, by: int) -> int:
        own = models.FieldCondition(key=WRITER, match=models.MatchValue(value=by))
        return newest(self._client, self._collection, own)

    def _last_of_another(
        self, base: int, writers: Iterable[int], met: Sequence[models.ExtendedPointId]
    ) -> models.Record | None:
        """The point with the newest number above `base` that none of those writers wrote, and that was not met yet."""
        known: list[models.Condition] = [
            models.FieldCondition(key=WRITER, match=models.MatchValue(value=by)) for by in writers
        ]
        if met:
            known.append(models.HasIdCondition(has_id=list(met)))
        others = models.Filter(must=[_after(base)], must_not=known)
        order = models.OrderBy(key=NUMBER, direction=models.Direction.DESC)
        records, _ = self._client.scroll(
            self._collection, scroll_filter=others, limit=1, order_by=order, with_payload=[KEY]
        )
        return next(iter(records), None)
