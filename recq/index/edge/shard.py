"""One open collection: the Edge shard, which threads may use it, and when it is flushed.

Reads run side by side, writes one after another, and closing waits for both. Edge's own journal makes an acknowledged
write survive a killed process; a flush only keeps that journal short, so that opening stays fast (a journal of 20,000
points takes 6 s to replay, a flush 8 ms). `optimize()` is never called: it stops the whole interpreter for seconds.
`compaction` frees space instead: it records what is written meanwhile and then replaces the Edge shard.

An I/O error can leave Edge refusing every write for good. Such a shard is closed and opened again before the next
write; its journal has every acknowledged write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import qdrant_edge as edge

from recq.index.edge.conditions import Indexed, plain_key
from recq.index.edge.convert import DISTANCES, VectorSpec
from recq.index.edge.descriptors import has_free
from recq.index.edge.disk import require_room
from recq.index.edge.hashed_index import NarrowField, NarrowFields
from recq.index.edge.indexes import type_word
from recq.index.edge.problem import Problem, closed, edge_errors, needs_reopening, not_found
from recq.index.edge.throttle import throttled
from recq.index.edge.written import Id, Written

_log = throttled(__name__)

FLUSH_AFTER_POINTS = 2_000  # at most 0.6 s of journal to replay
FLUSH_WHEN_IDLE = 1.0  # seconds without a write
FLUSH_AT_LATEST = 10.0  # seconds since the first write that is not flushed
REOPEN_AFTER = 5.0  # seconds between two tries to open a shard again
_DESCRIPTORS = 64  # more than an opening takes; without them the shard that can still be read is kept
_READERS_LEAVE = 10.0  # seconds that readers get to leave a shard that is to be opened again
_BREATH = 0.02  # seconds for other threads between two long calls
_SOME = 100  # a write by filter touches an unknown number of points: count it as so many towards the next flush


def flush_due(unflushed: int, since_first: float, since_last: float) -> bool:
    """Whether a shard with `unflushed` points is flushed now; ages in seconds of its first and last such write."""
    if not unflushed:
        return False
    return unflushed >= FLUSH_AFTER_POINTS or since_last >= FLUSH_WHEN_IDLE or since_first >= FLUSH_AT_LATEST


class _Opened:
    """An Edge shard, its folder, and how many threads are inside it."""

    def __init__(self, shard: Any, path: Path) -> None:
        self.shard = shard
        self.path = path
        self.users = 0


class Shard:
    """An open collection. Thread-safe; calls after `close` raise the Problem given to `_close`.

    Raises Problem 507 instead of opening or writing on a full disk: the engine would end the whole process.
    """

    def __init__(
        self, shard: Any, specs: Mapping[str, VectorSpec], path: Path, narrow: NarrowFields | None = None
    ) -> None:
        self.specs = specs
        self._narrow = narrow or NarrowFields()
        self._opened = _Opened(shard, path)
        self._gate = threading.Condition()
        self._gone: Problem | None = None
        self._stuck = False
        self._reopened_at = -REOPEN_AFTER
        self._writing = threading.RLock()
        self._unflushed = 0
        self._first_write = self._last_write = 0.0
        self._indexed: Indexed | None = None
        self._changes: Written | None = None
        self._written = 0
        self._counts: dict[int, tuple[int, int]] = {}
        self._points_at_first = int(shard.info().points_count)

    @classmethod
    def create(cls, path: Path, specs: Mapping[str, VectorSpec], on_disk_payload: bool | None = None) -> Self:
        """A new shard in the empty or absent folder `path`."""
        return cls(cls.new(path, specs, on_disk_payload), specs, path)

    @staticmethod
    def new(path: Path, specs: Mapping[str, VectorSpec], on_disk_payload: bool | None = None) -> Any:
        """A new Edge shard in the empty or absent folder `path`."""
        vectors = {
            name: edge.EdgeVectorParams(size=spec.size, distance=DISTANCES[spec.distance])
            for name, spec in specs.items()
        }
        require_room(path.parent)
        with edge_errors():
            # The journal stays on: without it there is neither durability nor a lock.
            config = edge.EdgeConfig(vectors=vectors, on_disk_payload=on_disk_payload, wal_enabled=True)
            return edge.EdgeShard.create(str(path), config)

    @classmethod
    def load(cls, path: Path, specs: Mapping[str, VectorSpec], narrow: NarrowFields) -> Self:
        """The shard in `path`. The caller holds the data folder's lock: a second load damages a live writer."""
        require_room(path)
        with edge_errors():
            return cls(edge.EdgeShard.load(str(path)), specs, path, narrow)

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers each of a point's vectors has."""
        return {name: spec.size for name, spec in self.specs.items()}

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The Edge shard, kept open for the length of the block; any number of threads at once."""
        with self._gate:
            if self._gone is not None:
                raise self._gone
            if self._opened.shard is None:  # closed to be opened again, which failed or is under way
                self._open_again()
            opened = self._opened
            opened.users += 1
        try:
            with edge_errors():
                yield opened.shard
        finally:
            with self._gate:
                opened.users -= 1
                self._gate.notify_all()

    def update(self, operation: Any, ids: Sequence[Id] | None) -> None:
        """One write; returns when it is in the journal and visible. `ids`: the points it may touch, None if unknown."""
        with self._writing, self._written_to() as shard:
            require_room(self._opened.path)
            now = time.monotonic()
            if not self._unflushed:
                self._first_write = now
            self._last_write = now
            count = _SOME if ids is None else len(ids)
            self._unflushed += count  # before the write: a failed one is in the journal too
            try:
                shard.update(operation)
            finally:
                self._written += count
                if self._changes is not None:  # after the write: a reader of the changes then sees the write
                    self._changes.note(ids)

    @contextmanager
    def _written_to(self) -> Iterator[Any]:
        """`reading`, for a write: a shard that is stuck is opened again first. Within `_writing` only."""
        if self._stuck and time.monotonic() - self._reopened_at >= REOPEN_AFTER:
            self._reopen()
        try:
            with self.reading() as shard:
                yield shard
        except Problem as problem:
            self._stuck = self._stuck or needs_reopening(problem)
            raise

    def _reopen(self) -> None:
        """Close the stuck shard and open it again; if that fails now, a later write retries it."""
        self._reopened_at = time.monotonic()
        if not has_free(_DESCRIPTORS):
            return
        with self._gate:
            if not self._gate.wait_for(lambda: self._opened.users == 0, _READERS_LEAVE) or self._gone is not None:
                return
            old, self._opened.shard = self._opened.shard, None
            with suppress(Exception):  # it cannot flush; the journal has everything
                old.close()
            del old  # with its lock on the journal
            self._open_again()
        _log.warning("the index was opened again after an error of the disk or the system: %s", self._opened.path.name)

    def _open_again(self) -> None:
        """Open the folder of a shard that was closed. Within the gate only. Raises Problem."""
        require_room(self._opened.path)
        with edge_errors():
            self._opened.shard = edge.EdgeShard.load(str(self._opened.path))
        self._stuck = False
        self._indexed = None
        self._counts.clear()
        self._points_at_first = int(self._opened.shard.info().points_count) - self._written
        self._unflushed = max(self._unflushed, 1)  # the journal is replayed, not shortened

    def update_indexes(self, operation: Any) -> None:
        """Create or delete a payload index."""
        try:
            self.update(operation, None)
        finally:
            self._indexed = None

    def drop_index(self, key: str) -> None:
        """Delete the payload index on `key`, where there is one."""
        with self.reading() as shard:
            known = key in shard.info().payload_schema
        if known:
            self.update_indexes(edge.UpdateOperation.delete_field_index(key))

    def count_of(self, field: NarrowField) -> int:
        """How many points have a value in a narrow field. Kept until the next write: 2 ms at 10,000 points."""
        written, known = self._written, self._counts.get(field.number)
        if known is None or known[0] != written:
            with self.reading() as shard:
                count = shard.count(edge.CountRequest(exact=True, filter=edge.Filter(must=[field.anything])))
            known = self._counts[field.number] = (written, count)
        return known[1]

    @property
    def indexed(self) -> Indexed:
        """What filters need to know: the indexed fields, the narrow ones, and how many points there are."""
        known = self._indexed
        if known is None:
            with self._writing, self.reading() as shard:
                schema = shard.info().payload_schema
                types = {plain_key(key): type_word(info.data_type) for key, info in schema.items()}
                known = self._indexed = Indexed(types, self._narrow, lambda: self.counts()[0])
        return known

    @property
    def narrow(self) -> NarrowFields:
        """The narrow fields. A write that needs them is made within `writes_held`, so that they stay what they are."""
        return self._narrow

    @narrow.setter
    def narrow(self, fields: NarrowFields) -> None:
        with self._writing:
            self._narrow = fields
            self._indexed = None

    def flush_if_due(self, now: float) -> bool:
        """Flush where `flush_due` is true; True while more is left to flush later. `now`: monotonic seconds."""
        if flush_due(self._unflushed, now - self._first_write, now - self._last_write):
            self.flush()
        return self._unflushed > 0

    def flush(self) -> None:
        """Write every acknowledged change from the journal to the segments."""
        with self._writing, self._written_to() as shard:
            require_room(self._opened.path)
            shard.flush()
            self._unflushed = 0

    # -- for compaction -------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """How many points there are, and how many were replaced or deleted since the opening (roughly)."""
        with self.reading() as shard:
            points = int(shard.info().points_count)
        return points, self._written - (points - self._points_at_first)

    def watch(self) -> Written:
        """Note every write from here on, until `unwatch`."""
        with self._writing:
            self._changes = Written()
            return self._changes

    def unwatch(self) -> None:
        """Record no more changes."""
        self._changes = None

    @contextmanager
    def writes_held(self) -> Iterator[None]:
        """Writes wait for the length of the block; reads go on."""
        with self._writing:
            yield

    def exchange(self, shard: Any, path: Path) -> Retired:
        """All later calls use `shard` in `path`, which has the same points. Within `writes_held` only."""
        count = int(shard.info().points_count)
        with self._gate:
            if self._gone is not None:
                raise self._gone
            old, self._opened = self._opened, _Opened(shard, path)
            self._points_at_first = count - self._written
            self._unflushed = 0
        return Retired(old, self._gate)

    def exchange_back(self, retired: Retired) -> None:
        """Undo `exchange`; returns when no thread uses the other shard any more. Within `writes_held` only."""
        with self._gate:
            other, self._opened = self._opened, retired.opened
            self._unflushed = _SOME
            self._gate.wait_for(lambda: other.users == 0)

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close: flush, and release everything."""
        self._close(closed(), flush=True)

    def close_for_deletion(self) -> None:
        """The collection is deleted: nothing of it needs to reach the disk."""
        self._close(not_found("Collection was deleted meanwhile"), flush=False)

    def _close(self, gone: Problem, flush: bool) -> None:
        with self._gate:
            if self._gone is not None:
                return
            self._gone = gone  # no thread enters any more, and those inside finish first
            self._gate.wait_for(lambda: self._opened.users == 0)
        opened = self._opened
        try:
            if opened.shard is None:
                return
            if flush and self._unflushed:
                require_room(opened.path)
                with edge_errors():
                    opened.shard.flush()
            with edge_errors():
                opened.shard.close()
        except Problem as problem:  # a full disk: the journal has everything
            _log.warning("cannot flush %s: %s", opened.path.name, problem.message)
        finally:
            opened.shard = None  # with its lock on the journal, where it could not be closed


class Retired:
    """An Edge shard that no thread enters any more."""

    def __init__(self, opened: _Opened, gate: threading.Condition) -> None:
        self.opened = opened
        self._gate = gate

    def close(self) -> None:
        """Wait for the threads that still use it, then close it; its content is lost.

        Every call of Edge holds the interpreter. Closing 60,000 points with six indexes at once took up to 1.4 s,
        most of it for the indexes: so the indexes are deleted one by one before.
        """
        with self._gate:
            self._gate.wait_for(lambda: self.opened.users == 0)
        shard = self.opened.shard
        with suppress(Exception):  # an index that stays only makes the closing slower
            for key in shard.info().payload_schema:
                shard.update(edge.UpdateOperation.delete_field_index(key))
                time.sleep(_BREATH)
        with edge_errors():
            shard.close()
