"""Asks each source's disk at intervals whether a table or the root has changed, and whether the disk answers at all.

For the loop's thread; each disk is asked in a worker of its source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from ingest.context import Context
from ingest.events.queue import Queue
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Repeated, Worker, Workers
from ingest.source.files import Key
from ingest.source.watched_source import WatchedSource
from recq.index.schema import FieldType

_SILENT_AFTER = 10.0  # seconds without an answer after which a source's disk counts as one that hangs
_HANGS = "the disk has not answered for {:.0f} s: this source waits for it, the others go on"


class Disks:
    """Has a source compared when its tables or root have changed. `declare`, called in a worker, fixes types."""

    def __init__(
        self,
        context: Context,
        queue: Queue,
        index: RetryingIndex,
        declare: Callable[[Mapping[str, FieldType]], None],
    ) -> None:
        self._context = context
        self._queue = queue
        self._index = index
        self._declare = declare
        self._workers = Workers("check", context.loop)
        self._noting = Worker("declare", context.loop)  # asks the index, and no disk
        self._checks: dict[str, Repeated[tuple[bool, bool]]] = {}
        self._tables: dict[str, Repeated[bool]] = {}
        self._asked: dict[str, float] = {}  # when a disk was asked that has not answered since (monotonic)
        interval = context.settings.poll_interval
        self._next_check = time.monotonic() + interval if context.live else float("inf")

    @property
    def idle(self) -> bool:
        """Whether no table is being read."""
        return not (self._noting.busy or any(table.busy for table in self._tables.values()))

    def add(self, watched: WatchedSource) -> None:
        """Ask the disk of this source, too."""
        name, worker = watched.name, self._workers[watched.name]
        self._checks[name] = Repeated(worker, partial(_changed, watched), partial(self._checked, name))
        self._tables[name] = Repeated(worker, watched.load_tables, partial(self._loaded, watched))

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return self._next_check

    def tick(self, now: float) -> None:
        """Ask every disk; one that does not answer is not asked again."""
        if now < self._next_check:
            return
        self._next_check = now + self._context.settings.poll_interval
        for name, check in self._checks.items():
            if not check.busy:
                self._asked[name] = now
                check.ask()
            elif now - self._asked[name] >= _SILENT_AFTER and name not in self._queue.silent:
                self._queue.silent.add(name)
                detail = _HANGS.format(now - self._asked[name])
                self._context.say("unreadable", source=name, path=".", detail=detail)

    def reload_table(self, key: Key) -> None:
        """Read a table of a source again, which is complete or has gone, and have the source compared when it can be
        read."""
        self._context.sources[key.source].note_table(key.path)
        self._tables[key.source].ask()

    def _checked(self, name: str, changed: tuple[bool, bool]) -> None:
        self._queue.silent.discard(name)
        table, root = changed
        if table:
            self._tables[name].ask()
        if root:
            self._queue.compare(name)

    def _loaded(self, watched: WatchedSource, changed: bool) -> None:
        name = watched.name
        if changed:
            self._noting.submit(partial(self._declare, watched.tables.types), lambda _: self._queue.compare(name))
        else:
            self._noting.submit(partial(self._index.record_problems, watched), lambda _: None)


def _changed(watched: WatchedSource) -> tuple[bool, bool]:
    """In a worker: whether a table of a source has changed, and whether its root is another folder now."""
    return watched.table_changed(), watched.root_replaced()
