"""What waits to be looked at: one entry per path, the newest drop first, the backlog of a start-up last.

Pure: no clock, no I/O. It is bounded by the set of paths: however many events a path has, it waits once. A path that
is being worked on (`take` ... `finish`) and is hinted at meanwhile waits again afterwards, so that nothing that
happens to a file while it is read, embedded or written is missed.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ingest.files import Key
from ingest.stability import Observation

_REPLACED = 1_000  # entries that may lie about although their path waits in another


@dataclass(frozen=True, slots=True)
class Entry:
    """A path that waits.

    `fresh`: hinted at by an event, not found by a walk. `known`: the index has it already. `witnessed`: the kernel
    itself reported that it was removed. `retry`: embed it again if it failed. `altered`: embed it again, since its
    bytes are others although size and mtime are as known.
    """

    key: Key
    observation: Observation
    fresh: bool
    known: bool = False
    witnessed: bool = False
    retry: bool = False
    altered: bool = False


class Pending:
    """The waiting paths and those being worked on."""

    def __init__(self) -> None:
        self._waiting: dict[Key, Entry] = {}
        self._working: dict[Key, Entry] = {}
        self._again: dict[Key, Entry] = {}
        self._sizes: Counter[int] = Counter()  # of waiting and working files
        self._all: Counter[str] = Counter()  # by source, waiting and working
        self._unknown: Counter[str] = Counter()
        self._order = 0
        # Entries that are no longer the waiting one of their path are skipped when they come up.
        self._settling: list[tuple[float, int, Entry]] = []  # heap: fresh, not due yet
        self._due: list[Entry] = []  # fresh and due, the newest at the end
        self._backlog: deque[Entry] = deque()

    def __len__(self) -> int:
        """Paths that wait or are worked on."""
        return len(self._waiting) + len(self._working)

    @property
    def waiting(self) -> int:
        """Paths that wait."""
        return len(self._waiting)

    def count(self, source: str) -> tuple[int, int]:
        """Paths of a source that wait or are worked on, and those of them that the index does not have yet."""
        return self._all[source], self._unknown[source]

    def has_size(self, size: int) -> bool:
        """Whether an unfinished file has that many bytes: it may be the new place of one that has gone."""
        return self._sizes[size] > 0

    def observation(self, key: Key) -> Observation | None:
        """What was last seen of a waiting path."""
        entry = self._again.get(key) or self._waiting.get(key)
        return entry.observation if entry is not None else None

    def working_below(self, folders: Collection[Key]) -> list[Key]:
        """The paths below any of these folders that are being worked on."""
        return [
            key
            for key in self._working
            if any(Key(key.source, str(parent)) in folders for parent in PurePosixPath(key.path).parents)
        ]

    def put(self, entry: Entry) -> None:
        """Let a path wait, or replace what is known of one that waits. Fresh stays fresh."""
        if entry.key in self._working:
            self._again[entry.key] = entry
            return
        before = self._waiting.get(entry.key)
        if before is not None:
            entry = replace(
                entry,
                fresh=entry.fresh or before.fresh,
                known=entry.known or before.known,
                retry=entry.retry or before.retry,
                altered=entry.altered or before.altered,
            )
            if entry == before and not entry.fresh:  # no news, as from each reconcile: it keeps its place
                return
            self._count(before, -1)
        self._waiting[entry.key] = entry
        self._count(entry, +1)
        if entry.fresh:
            self._order += 1
            heapq.heappush(self._settling, (entry.observation.due, self._order, entry))
        else:
            self._backlog.append(entry)
        if len(self._settling) + len(self._due) + len(self._backlog) > 2 * len(self._waiting) + _REPLACED:
            self._sweep()

    def _sweep(self) -> None:
        """Forget replaced entries: while the index is away nothing is taken, and a file may change all the time."""
        self._settling = [each for each in self._settling if self._is_current(each[2])]
        heapq.heapify(self._settling)
        self._due = [entry for entry in self._due if self._is_current(entry)]
        self._backlog = deque(entry for entry in self._backlog if self._is_current(entry))

    def fresh_due(self, now: float) -> int:
        """About how many fresh entries are due: some of them may have been replaced since."""
        self._promote(now)
        return len(self._due)

    def take(self, now: float, fresh: int, backlog: int) -> list[Entry]:
        """Up to `fresh` fresh entries that are due, then others up to `backlog` of both; `finish` ends the work."""
        self._promote(now)
        taken: list[Entry] = []
        while len(taken) < fresh and self._due:
            self._begin(self._due.pop(), taken)
        while len(taken) < backlog and self._backlog:
            if self._is_current(self._backlog[0]) and self._backlog[0].observation.due > now:
                break
            self._begin(self._backlog.popleft(), taken)
        return taken

    def finish(self, key: Key) -> None:
        """Work on a path has ended; it waits again if something happened to it meanwhile."""
        self._count(self._working.pop(key), -1)
        again = self._again.pop(key, None)
        if again is not None:
            self.put(again)

    def next_due(self, *, fresh: bool = True, backlog: bool = True) -> float | None:
        """When the next entry of these kinds is due; None when none waits. May be in the past."""
        while self._due and not self._is_current(self._due[-1]):
            self._due.pop()
        while self._settling and not self._is_current(self._settling[0][2]):
            heapq.heappop(self._settling)
        while self._backlog and not self._is_current(self._backlog[0]):
            self._backlog.popleft()
        dues = [entry.observation.due for entry in self._due[-1:] if fresh]
        if fresh and self._settling:
            dues.append(self._settling[0][0])
        if backlog and self._backlog:
            dues.append(self._backlog[0].observation.due)
        return min(dues, default=None)

    def _promote(self, now: float) -> None:
        while self._settling and self._settling[0][0] <= now:
            entry = heapq.heappop(self._settling)[2]
            if self._is_current(entry):
                self._due.append(entry)

    def _begin(self, entry: Entry, taken: list[Entry]) -> None:
        if self._is_current(entry):
            del self._waiting[entry.key]
            self._working[entry.key] = entry
            taken.append(entry)

    def _is_current(self, entry: Entry) -> bool:
        return self._waiting.get(entry.key) is entry

    def _count(self, entry: Entry, change: int) -> None:
        self._all[entry.key.source] += change
        self._unknown[entry.key.source] += 0 if entry.known else change
        if entry.observation.state is not None:
            self._sizes[entry.observation.state.size] += change
            if not self._sizes[entry.observation.state.size]:
                del self._sizes[entry.observation.state.size]
