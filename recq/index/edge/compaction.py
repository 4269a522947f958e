"""Compaction: a shard is copied into a second folder while it serves requests, then replaced. This frees dead space.

    1. a new shard with the same payload indexes, in a folder that the manifest does not name
    2. all points copied, a page at a time; the ids of points written meanwhile are recorded
    3. the recorded points copied again, in rounds, until they fit on one page
    4. writes held: the last page, a flush, the manifest names the new folder, the shards are exchanged
    5. the old shard closed when its last reader has left, and its folder removed

If the process is killed before step 4 replaces the manifest, the old folder is complete; after that, the new one is.
The next opening removes the other folder. A write without known ids (by filter, or to an index) ends the attempt,
which is repeated later. Every call of Edge holds the interpreter, so the pages are small. A child process would not
help: opening its shard (1.2 s for 60,000 points) holds the interpreter longer than any step here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any, Self

import qdrant_edge as edge

from recq.index.edge.problem import edge_errors
from recq.index.edge.shard import Shard
from recq.index.edge.waste import RESERVE, free_bytes
from recq.index.edge.written import Id, Written

PAGE_NUMBERS = 1 << 16
"""Numbers of the vectors of one page: about 5 ms to read and 5 ms to write."""

_FLUSH_EVERY = 1_000  # points copied: less than 6 MB of 1280 numbers each, so that no flush is long
_ROUNDS = 50  # of copying points written meanwhile; a copy is faster than any writer, so a few are enough

_Op = edge.UpdateOperation


class Abandoned(Exception):
    """The attempt ended without a change, and another one later may succeed."""


class Copy:
    """The new shard in `folder`, being filled from `source`.

    `breathe(seconds)` is called after each step with the step's duration. If it raises, the attempt ends.
    """

    def __init__(self, shard: Any, source: Shard, folder: Path, breathe: Callable[[float], None]) -> None:
        self.shard = shard
        self._source = source
        self._folder = folder
        self._breathe = breathe
        self._unflushed = 0
        self._page = max(8, PAGE_NUMBERS // max(1, sum(spec.size for spec in source.specs.values())))

    @classmethod
    @contextmanager
    def begin(
        cls, source: Shard, folder: Path, on_disk_payload: bool | None, breathe: Callable[[float], None]
    ) -> Iterator[Self]:
        """An empty copy with the indexes of `source`; closed and removed when the block raises."""
        try:
            shard = Shard.new(folder, source.specs, on_disk_payload)
            try:
                with source.reading() as old:
                    schema = old.info().payload_schema
                with edge_errors():
                    for key, info in schema.items():
                        shard.update(_Op.create_field_index(key, info.params or info.data_type))
                yield cls(shard, source, folder, breathe)
            except BaseException:
                shard.close()
                raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def fill(self, changes: Written) -> None:
        """All points, then those written meanwhile until they fit on a page. `changes` began before the call."""
        following: Id | None = None
        while True:
            with self._step(changes), self._source.reading() as old:
                request = edge.ScrollRequest(offset=following, limit=self._page, with_payload=True, with_vector=True)
                records, following = old.scroll(request)
                self._write(records)
            if following is None:
                break
        for _ in range(_ROUNDS):
            ids = changes.take()
            for start in range(0, len(ids), self._page):
                with self._step(changes):
                    self._copy(ids[start : start + self._page])
            if len(ids) <= self._page:
                self.flush()  # so that `finish` has little to flush
                return
        raise Abandoned("points are written faster than they can be copied")

    def finish(self, changes: Written) -> None:
        """The last points, on disk. Within `writes_held` of the source only."""
        _refuse_unknown(changes)
        ids = changes.take()
        for start in range(0, len(ids), self._page):
            self._copy(ids[start : start + self._page])
        self.flush()

    def flush(self) -> None:
        """Write everything copied so far to the segments. Raises OSError when the disk is nearly full."""
        if free_bytes(self._folder) < RESERVE:
            raise OSError(ENOSPC, "not enough space is left on the disk")
        with edge_errors():
            self.shard.flush()
        self._unflushed = 0

    @contextmanager
    def _step(self, changes: Written) -> Iterator[None]:
        started = time.monotonic()
        yield
        if self._unflushed >= _FLUSH_EVERY:
            self.flush()
        _refuse_unknown(changes)
        self._breathe(time.monotonic() - started)

    def _copy(self, ids: Sequence[Id]) -> None:
        """Copy the points `ids` from the source, and delete those that the source no longer has."""
        with self._source.reading() as old:
            records = old.retrieve(list(ids), True, True)
        present = {record.id for record in records}
        gone = [one for one in ids if one not in present]
        self._write(records)
        if gone:
            with edge_errors():
                self.shard.update(_Op.delete_points(gone))
            self._unflushed += len(gone)

    def _write(self, records: Sequence[Any]) -> None:
        if not records:
            return
        with edge_errors():
            points = [edge.Point(record.id, record.vector or {}, record.payload or {}) for record in records]
            self.shard.update(_Op.upsert_points(points))
        self._unflushed += len(points)


def _refuse_unknown(changes: Written) -> None:
    if changes.unknown:
        raise Abandoned("something was written that has to be copied whole")
