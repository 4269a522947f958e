"""Examine: takes paths that are due from the queue, a few fresh ones or a group, and sends each to its next stage.

A worker of the source decides what becomes of a path (`ingest.pipeline.verdict`). No path is taken while the stages
behind are full, since the index or the network is slower. For the loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ingest.context import Context
from ingest.events.hints import Mark
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.loop import Workers
from ingest.pipeline.decode import Decode
from ingest.pipeline.places import GROUP, Places, Room
from ingest.pipeline.removal import Removals
from ingest.pipeline.verdict import Fate, Verdict, verdicts
from ingest.pipeline.write import Write
from ingest.reconcile.compare import Index
from ingest.reconcile.disks import Disks
from ingest.source.files import Key

_AT_ONCE = 32  # paths of a source


@dataclass(frozen=True)
class Exits:
    """Where a path goes: to `decode`, with new metadata alone to `write`, to `removals`; a table goes to `disks`."""

    decode: Decode
    write: Write
    removals: Removals
    disks: Disks


class Examine:
    """Takes paths from the queue and sends each through one of the `exits`.

    Of a daemon that is `fed` nothing is deleted, and no table compared: what it does not see another machine may.
    """

    def __init__(
        self, context: Context, queue: Queue, index: Index, places: Places, exits: Exits, *, fed: bool = False
    ) -> None:
        self._context = context
        self._queue = queue
        self._index = index
        self._places = places
        self._exits = exits
        self._fed = fed
        self._workers = Workers("examine", context.loop)
        self._examined = 0  # paths, of all sources

    @property
    def idle(self) -> bool:
        """Whether nothing is being examined."""
        return not self._workers.busy

    def next_deadline(self, now: float) -> float:
        """When a path that waits is due."""
        deadlines = []
        for name in self._context.sources:
            room = self._room(name, now)
            deadlines.append(self._queue.paths.next_due(name, fresh=room.fresh > 0, backlog=room.backlog > 0))
        return min((due for due in deadlines if due is not None), default=float("inf"))

    def tick(self, now: float) -> None:
        """Examine what is due, while there is room."""
        for name in self._context.sources:
            room = self._room(name, now)
            fresh, backlog = min(_AT_ONCE, room.fresh), min(_AT_ONCE, room.backlog)
            if any(room) and (entries := self._queue.paths.take(now, fresh, backlog, name)):
                self._examined += len(entries)
                self._workers[name].submit(partial(self._examine, entries), self._send)

    def _room(self, name: str, now: float) -> Room:
        """How many paths of a source may be examined now: few fresh ones at once, many in groups."""
        if self._workers[name].busy or self._exits.write.is_full(name):
            return Room(0, 0)
        room = self._places.room(name, self._examined)
        return room if room.fresh >= min(GROUP, self._queue.paths.fresh_due(now, name)) else Room(0, room.backlog)

    def _examine(self, entries: Sequence[PendingPath]) -> Sequence[Verdict]:
        """In a worker."""
        return verdicts(entries, self._context.sources, self._index, time.monotonic())

    def _send(self, found: Sequence[Verdict]) -> None:
        self._examined -= len(found)
        if self._context.stop.is_set():
            return
        for verdict in found:
            key = verdict.entry.key
            match verdict.fate:
                case Fate.EMBED | Fate.COMPARE | Fate.PREDICT:
                    self._exits.decode.examined(verdict)
                    continue
                case Fate.METADATA:
                    self._exits.write.describe(verdict)
                    continue
                case Fate.DELETE if not self._fed:
                    self._exits.removals.put(verdict)
                    continue
                case Fate.SETTLING:
                    quiet = max(verdict.entry.observation.quiet, self._context.settings.settle)
                    self._queue.wait(verdict.entry, verdict.state, quiet)
                case Fate.SIDECAR:
                    self._queue.look({Key(key.source, verdict.picture or key.path): Mark.CLOSED})
                case Fate.OTHERS if verdict.state is not None:
                    self._queue.others.appeared([(key, verdict.state.size)], time.monotonic())
                case Fate.TABLE if not self._fed:
                    self._exits.disks.reload_table(key)
            self._queue.finish(key)
