"""One open collection: the Edge shard, who may touch it now, and when it is flushed.

Reads run side by side, writes one after another, and closing waits for both. Edge's own journal makes an acknowledged
write survive a killed process; a flush only keeps that journal short, so that opening stays fast (a journal of 20,000
points takes 6 s to replay, a flush 8 ms). `optimize()` is never called: it stops the whole interpreter for seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import qdrant_edge as edge

from recq.index.edge.convert import DISTANCES, VectorSpec
from recq.index.edge.disk import require_room
from recq.index.edge.problem import Problem, closed, edge_errors, not_found

_log = logging.getLogger(__name__)

FLUSH_AFTER_POINTS = 2_000  # at most 0.6 s of journal to replay
FLUSH_WHEN_IDLE = 1.0  # seconds without a write
FLUSH_AT_LATEST = 10.0  # seconds since the first write that is not flushed


def flush_due(unflushed: int, since_first: float, since_last: float) -> bool:
    """Whether a shard with `unflushed` points is flushed now; ages in seconds of its first and last such write."""
    if not unflushed:
        return False
    return unflushed >= FLUSH_AFTER_POINTS or since_last >= FLUSH_WHEN_IDLE or since_first >= FLUSH_AT_LATEST


class Shard:
    """An open collection. Thread-safe; what comes after `close` gets the Problem that `close` was told.

    Raises Problem 507 instead of opening or writing on a full disk: the engine would take the whole process with it.
    """

    def __init__(self, shard: Any, specs: Mapping[str, VectorSpec], path: Path) -> None:
        self.specs = specs
        self._path = path
        self._shard = shard
        self._gate = threading.Condition()
        self._users = 0
        self._gone: Problem | None = None
        self._writing = threading.Lock()
        self._unflushed = 0
        self._first_write = self._last_write = 0.0
        self._text_fields: frozenset[str] | None = None

    @classmethod
    def create(cls, path: Path, specs: Mapping[str, VectorSpec], on_disk_payload: bool | None = None) -> Self:
        """A new shard in the empty or absent folder `path`."""
        vectors = {
            name: edge.EdgeVectorParams(size=spec.size, distance=DISTANCES[spec.distance])
            for name, spec in specs.items()
        }
        require_room(path.parent)
        with edge_errors():
            # The journal stays on: without it there is neither durability nor a lock.
            config = edge.EdgeConfig(vectors=vectors, on_disk_payload=on_disk_payload, wal_enabled=True)
            return cls(edge.EdgeShard.create(str(path), config), specs, path)

    @classmethod
    def load(cls, path: Path, specs: Mapping[str, VectorSpec]) -> Self:
        """The shard in `path`. The caller holds the data folder's lock: a second load damages a live writer."""
        require_room(path)
        with edge_errors():
            return cls(edge.EdgeShard.load(str(path)), specs, path)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """The Edge shard, kept open for the length of the block; any number of threads at once."""
        with self._gate:
            if self._gone is not None:
                raise self._gone
            self._users += 1
        try:
            with edge_errors():
                yield self._shard
        finally:
            with self._gate:
                self._users -= 1
                self._gate.notify_all()

    def update(self, operation: Any, points: int = 1) -> None:
        """One write; returns when it is in the journal and visible. `points`: how many it may touch, for the flush."""
        with self._writing, self.reading() as shard:
            require_room(self._path)
            now = time.monotonic()
            if not self._unflushed:
                self._first_write = now
            self._last_write = now
            self._unflushed += points  # before the write: a failed one is in the journal too
            shard.update(operation)

    def update_indexes(self, operation: Any) -> None:
        """Create or delete a payload index."""
        try:
            self.update(operation)
        finally:
            self._text_fields = None

    @property
    def text_fields(self) -> frozenset[str]:
        """The fields that have a text index now."""
        known = self._text_fields
        if known is None:
            with self._writing, self.reading() as shard:
                schema = shard.info().payload_schema
                known = frozenset(key for key, info in schema.items() if info.data_type == edge.PayloadSchemaType.Text)
                self._text_fields = known
        return known

    def flush_if_due(self, now: float) -> bool:
        """Flush where `flush_due` says so; True while something is left to flush later. `now`: monotonic seconds."""
        if flush_due(self._unflushed, now - self._first_write, now - self._last_write):
            self.flush()
        return self._unflushed > 0

    def flush(self) -> None:
        """Everything acknowledged goes from the journal to the segments."""
        with self._writing, self.reading() as shard:
            require_room(self._path)
            shard.flush()
            self._unflushed = 0

    def close(self) -> None:
        """The folder is closed: flush, and let go of everything."""
        self._close(closed(), flush=True)

    def close_for_deletion(self) -> None:
        """The collection is deleted: nothing of it needs to reach the disk."""
        self._close(not_found("Collection was deleted meanwhile"), flush=False)

    def _close(self, gone: Problem, flush: bool) -> None:
        with self._gate:
            if self._gone is not None:
                return
            self._gone = gone  # nobody comes in any more, and those inside finish first
            self._gate.wait_for(lambda: self._users == 0)
        try:
            if flush and self._unflushed:
                require_room(self._path)
                with edge_errors():
                    self._shard.flush()
            with edge_errors():
                self._shard.close()
        except Problem as problem:  # a full disk: the journal has everything
            _log.warning("cannot flush %s: %s", self._path.name, problem.message)
