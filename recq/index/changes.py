"""Changes of a catalog: the stamp that each write leaves in a point, and the cursor of whoever reads them in order.

There is no log beside the items: each point has the number of its last write, in the same request as the write itself,
and an item that has gone leaves a tombstone in its place, at the same id and in one write. So nothing that was written
can be missing from the changes, whenever a process is killed, and nothing can be in them that was not written. What
changed twice is there once, as it is now.

Numbers are microseconds since 1970, made larger than all that were seen before. Several processes may write, and a
write becomes visible some time after it got its numbers: so numbers are in order only within one writer (`by`), which
writes one batch after the other. A cursor has a place for each writer that was at work lately, and one number below
which nothing can become visible any more. Pure: `recq.index.change_log` asks the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from recq.errors import UsageError

KEY = "_change"
"""The payload key of a stamp; like all that begin with an underscore it is recq's and in no answer."""

GONE = "_gone"
"""The payload key of what a tombstone keeps of its item."""

NUMBER = f"{KEY}.n"
WRITER = f"{KEY}.by"
"""Keys of stamps that have a payload index, of integers."""

LOG_KEY = "changes"
"""The collection-metadata key of the log: its id, and the number of the last tombstone that was removed."""

SETTLES = 150_000_000
"""Microseconds after which a write is visible or never will be (`recq.index.stamps` writes one again that took half of
it); clocks of writers may differ by less."""

_FIRST_CLOCK = 10**15
"""Numbers below are no times: items that an older recq wrote are numbered in the order of their ids."""

_ERA = datetime(1970, 1, 1, tzinfo=UTC)


class ChangeKind(StrEnum):
    """What became of an item."""

    INDEXED = "indexed"  # it, or its bytes, are new
    CHANGED = "changed"  # its metadata or its vector are others
    FAILED = "failed"  # it could not be embedded
    GONE = "gone"  # it is no item any more


@dataclass(frozen=True)
class Stamp:
    """The last write of a point: its number, its writer, the numbers of its batch, and the first write of the bytes
    that the item has."""

    n: int
    by: int
    batch: tuple[int, int]
    born: int
    born_by: int

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"n": self.n, "by": self.by, "of": list(self.batch), "new": [self.born, self.born_by]}

    @classmethod
    def from_json(cls, data: object) -> Self | None:
        """The stamp of a payload; None where it has none, or a malformed one."""
        if not isinstance(data, Mapping):
            return None
        try:
            (first, last), (born, born_by) = data["of"], data["new"]
            return cls(int(data["n"]), int(data["by"]), (int(first), int(last)), int(born), int(born_by))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Numbers:
    """The numbers of one batch of a writer."""

    by: int
    first: int
    count: int

    def stamp(self, position: int, before: Stamp | None = None) -> Stamp:
        """Of the item at that position of the batch; `before` is its earlier one, where its bytes are the same."""
        n = self.first + position
        born, born_by = (n, self.by) if before is None else (before.born, before.born_by)
        return Stamp(n, self.by, (self.first, self.first + self.count - 1), born, born_by)


@dataclass(frozen=True)
class Gone:
    """An item that is to go. `path` and `encoded` are those of its file, `sha256` None for one that had failed."""

    id: str
    source: str
    path: str
    encoded: bool = False
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What its tombstone keeps."""
        kept = {"source": self.source, "path": self.path, "sha256": self.sha256}
        return {**kept, "encoded": True} if self.encoded else kept


@dataclass(frozen=True)
class Row:
    """A stamped point as it was read: an item, with `failed`, or a tombstone. `at`: when it was indexed (ISO 8601)."""

    id: str
    stamp: Stamp
    source: str
    path: str
    encoded: bool
    sha256: str | None
    gone: bool = False
    failed: str | None = None
    at: str | None = None

    @classmethod
    def from_payload(cls, id_: str, payload: Mapping[str, Any]) -> Self | None:
        """The row of a payload; None for a point that is neither."""
        stamp = Stamp.from_json(payload.get(KEY))
        gone = payload.get(GONE)
        file = gone if isinstance(gone, Mapping) else payload.get("file")
        if stamp is None or not isinstance(file, Mapping):
            return None
        source, path, digest = file.get("source"), file.get("path"), file.get("sha256")
        if not isinstance(source, str) or not isinstance(path, str):
            return None
        error = payload.get("error")
        return cls(
            id_,
            stamp,
            source,
            path,
            encoded=file.get("encoded") is True,
            sha256=digest if isinstance(digest, str) else None,
            gone=isinstance(gone, Mapping),
            failed=str(error.get("reason")) if isinstance(error, Mapping) else None,
            at=file.get("ingested_at") if isinstance(file.get("ingested_at"), str) else None,
        )


@dataclass(frozen=True)
class Change:
    """What became of an item. `at` is ISO 8601 UTC, `reason` why it failed; `born` the number with which its bytes were
    indexed; `cursor` that of whoever has read up to this one."""

    kind: ChangeKind
    id: str
    source: str
    path: str
    sha256: str | None
    at: str
    cursor: str
    reason: str | None = None
    encoded: bool = False
    born: int = 0

    def to_json(self) -> dict[str, Any]:
        """As answers have it."""
        told = {
            "change": self.kind.value,
            "id": self.id,
            "source": self.source,
            "path": self.path,
            "sha256": self.sha256,
            "reason": self.reason,
            "at": self.at,
            "cursor": self.cursor,
        }
        return {**told, "encoded": True} if self.encoded else told


@dataclass(frozen=True)
class Log:
    """What a collection's metadata says of its changes: `horizon` is the number of the last tombstone removed."""

    id: str
    horizon: int = 0

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self | None:
        """None for a collection that an older recq made."""
        data = metadata.get(LOG_KEY)
        return cls(str(data["log"]), int(data["horizon"])) if isinstance(data, Mapping) else None

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"log": self.id, "horizon": self.horizon}


@dataclass(frozen=True)
class Cursor:
    """Who has one has read all changes up to `base`, and of the writers in `seen` those up to the number there.

    `log` is the log's id, `began` the newest number when the reading began with the first change (else 0): it has
    missed no tombstone until then.
    """

    log: str
    base: int = 0
    began: int = 0
    seen: Mapping[int, int] = field(default_factory=dict)

    def covers(self, by: int, n: int) -> bool:
        """Whether that change was read."""
        return n <= self.base or n <= self.seen.get(by, 0)

    @property
    def newest(self) -> int:
        """The largest number that was read."""
        return max([self.base, *self.seen.values()])

    def missed(self, log: Log) -> bool:
        """Whether the log has no longer all that came after it."""
        return self.log != log.id or max(self.base, self.began) < log.horizon

    def read(self, row: Row) -> Self:
        """With one more."""
        seen = {**self.seen, row.stamp.by: max(row.stamp.n, self.seen.get(row.stamp.by, 0))}
        return type(self)(self.log, self.base, self.began, seen)

    def settled(self, upto: int) -> Self:
        """With all up to a number: nothing before it can become visible any more."""
        base = max(self.base, upto)
        return type(self)(self.log, base, self.began, {by: n for by, n in self.seen.items() if n > base})

    def __str__(self) -> str:
        seen = [f"{by:x}-{n:x}" for by, n in sorted(self.seen.items())]
        return ".".join([self.log, f"{self.base:x}", f"{self.began:x}", *seen])

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor of a text. Raises UsageError."""
        try:
            log, base, began, *seen = text.split(".")
            places = {}
            for each in seen:
                by, n = map(_number, each.split("-"))
                places[by] = n
            if not log.isalnum():
                raise ValueError
            return cls(log, _number(base), _number(began), places)
        except ValueError:
            raise UsageError("since: this is no cursor: take the one of an answer, 'now', or none") from None


def _number(text: str) -> int:
    number = int(text, 16)
    if not 0 <= number < 2**53 or not text.isalnum():
        raise ValueError
    return number


@dataclass(frozen=True)
class Changes:
    """Changes in their order, and the cursor of whoever has read them. `more`: there are more already."""

    changes: Sequence[Change]
    cursor: Cursor
    more: bool = False

    def to_json(self) -> dict[str, Any]:
        """As an answer has it."""
        return {"changes": [each.to_json() for each in self.changes], "cursor": str(self.cursor), "more": self.more}


def taken(
    cursor: Cursor, rows: Sequence[Row], *, head: int, now: int, cut: int | None, newest_of: Callable[[int], int]
) -> Changes:
    """The changes among `rows`: all that are visible and not read yet, in the order of their numbers. Where they are
    only the first of these, `cut` is the number of the last point that was read: other writers' points may have it too.

    `head` is the newest visible number, `now` the time in microseconds. A server may show a part of a batch: where one
    is missing before others, and the writer (`newest_of`) has written nothing since, what follows the gap is left
    to the next reading. A gap that is older than a write can take is one that another writer has made.
    """
    place, after = cursor, cursor
    changes: list[Change] = []
    held: dict[int, int] = {}  # by writer: the first that is left
    gaps: dict[int, int] = {}  # by writer: the end of a batch with a gap, which a later batch of it explains
    for row in rows:
        stamp = row.stamp
        if cursor.covers(stamp.by, stamp.n) or stamp.by in held:
            continue
        first, last = stamp.batch
        expected = max(first, cursor.base + 1, place.seen.get(stamp.by, 0) + 1)
        if stamp.n > expected and last > gaps.get(stamp.by, 0):
            gaps[stamp.by] = last
            if stamp.n > now - SETTLES and newest_of(stamp.by) <= last:
                held[stamp.by] = stamp.n
                continue
        place = place.read(row)
        changes.append(_change(row, cursor, place))
    end = max(head, cursor.newest) if cut is None else cut - 1  # what was read at `cut` is among `seen`
    upto = min([end, head - SETTLES, *(n - 1 for n in held.values())])
    after = place.settled(upto)
    if changes:
        changes[-1] = _with_cursor(changes[-1], after)
    return Changes(changes, after, more=cut is not None)


def _change(row: Row, before: Cursor, place: Cursor) -> Change:
    known = before.covers(row.stamp.born_by, row.stamp.born) and row.stamp.n > before.began
    if row.gone:
        kind = ChangeKind.GONE
    elif row.failed is not None:
        kind = ChangeKind.FAILED
    else:
        kind = ChangeKind.CHANGED if known else ChangeKind.INDEXED
    at = row.at if row.stamp.n < _FIRST_CLOCK else None
    return Change(
        kind,
        row.id,
        row.source,
        row.path,
        row.sha256,
        at or moment(row.stamp.n),
        str(place),
        reason=row.failed,
        encoded=row.encoded,
        born=row.stamp.born,
    )


def _with_cursor(change: Change, cursor: Cursor) -> Change:
    return Change(**{**vars(change), "cursor": str(cursor)})


def moment(n: int) -> str:
    """The time of a number, ISO 8601 UTC."""
    return datetime.fromtimestamp(n / 1e6, UTC).isoformat(timespec="milliseconds")
