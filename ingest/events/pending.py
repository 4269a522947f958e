"""The paths that wait to be examined: one entry per path, the newest drop first, the backlog of a start-up last.

Pure: no clock, no I/O. A path waits once, however many events it has, so memory is bounded by the number of paths. A
path that is hinted at while it is being worked on (`take` ... `finish`) waits again afterwards, so that no change of a
file is missed while it is read, embedded or written. Each source has its own line, so that one whose disk does not
answer holds up no other.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePosixPath

from ingest.events.stability import Observation
from ingest.source.files import Key

_REPLACED = 1_000  # replaced entries that a source's line may hold before it is swept


@dataclass(frozen=True, slots=True)
class PendingPath:
    """A path that waits.

    `fresh`: hinted at by an event, not found by a walk. `known`: the index has it already. `witnessed`: the kernel
    itself reported that it was removed. `retry`: embed it again if it failed. `altered`: embed it again, since its
    bytes are others although size and mtime are as known. `unpredicted`: read it for what is predicted of it. `first`:
    since when (monotonic) it waits, where it has been seen in another state since.
    """

    key: Key
    observation: Observation
    fresh: bool
    known: bool = False
    witnessed: bool = False
    retry: bool = False
    altered: bool = False
    unpredicted: bool = False
    first: float | None = None

    @property
    def since(self) -> float:
        """Since when (monotonic) the path waits."""
        return self.observation.since if self.first is None else self.first

    def after(self, before: PendingPath | None) -> PendingPath:
        """This entry for a path that waits already: requests of both hold, and the later observation.

        A witnessed absence stays witnessed until a file is seen there again.
        """
        if before is None:
            return self
        oldest = min(self.since, before.since)
        still_absent = self.observation.state is None and before.observation.state is None
        return replace(
            self,
            fresh=self.fresh or before.fresh,
            known=self.known or before.known,
            witnessed=self.witnessed or (before.witnessed and still_absent),
            retry=self.retry or before.retry,
            altered=self.altered or before.altered,
            unpredicted=self.unpredicted or before.unpredicted,
            first=None if oldest == self.observation.since else oldest,
        )


class _Line:
    """The waiting paths of one source, in the order in which they are taken.

    An entry that another one of its path has replaced (not `is_current`) is skipped when it is reached.
    """

    def __init__(self, is_current: Callable[[PendingPath], bool]) -> None:
        self._is_current = is_current
        self._settling: list[tuple[float, int, PendingPath]] = []  # heap: fresh, not due yet
        self._due: list[tuple[int, PendingPath]] = []  # fresh and due, the newest at the end
        self._backlog: deque[tuple[int, PendingPath]] = deque()

    def __len__(self) -> int:
        """The number of entries, replaced ones included."""
        return len(self._settling) + len(self._due) + len(self._backlog)

    def put(self, entry: PendingPath, order: int) -> None:
        """Add an entry; `order` numbers all entries of all sources."""
        if entry.fresh:
            heapq.heappush(self._settling, (entry.observation.due, order, entry))
        else:
            self._backlog.append((order, entry))

    def sweep(self) -> None:
        """Remove replaced entries: while the index is away none is taken, and a file may change all the time."""
        self._settling = [each for each in self._settling if self._is_current(each[2])]
        heapq.heapify(self._settling)
        self._due = [each for each in self._due if self._is_current(each[1])]
        self._backlog = deque(each for each in self._backlog if self._is_current(each[1]))

    def fresh_due(self, now: float) -> int:
        """About how many fresh entries are due: some of them may have been replaced since."""
        while self._settling and self._settling[0][0] <= now:
            _, order, entry = heapq.heappop(self._settling)
            if self._is_current(entry):
                self._due.append((order, entry))
        return len(self._due)

    def next_fresh(self) -> tuple[int, PendingPath] | None:
        """The newest fresh entry that is due, as of the last `fresh_due`."""
        while self._due and not self._is_current(self._due[-1][1]):
            self._due.pop()
        return self._due[-1] if self._due else None

    def next_backlog(self) -> tuple[int, PendingPath] | None:
        """The oldest of the others, due or not."""
        while self._backlog and not self._is_current(self._backlog[0][1]):
            self._backlog.popleft()
        return self._backlog[0] if self._backlog else None

    def next_due(self, *, fresh: bool, backlog: bool) -> float | None:
        """When the next entry of these kinds is due."""
        while self._settling and not self._is_current(self._settling[0][2]):
            heapq.heappop(self._settling)
        dues = [first[1].observation.due for first in (self.next_fresh(),) if fresh and first is not None]
        if fresh and self._settling:
            dues.append(self._settling[0][0])
        if backlog and (first := self.next_backlog()) is not None:
            dues.append(first[1].observation.due)
        return min(dues, default=None)


class Pending:
    """The waiting paths and those being worked on."""

    def __init__(self) -> None:
        self._waiting: dict[Key, PendingPath] = {}
        self._working: dict[Key, PendingPath] = {}
        self._again: dict[Key, PendingPath] = {}
        self._sizes: dict[tuple[str, int], dict[Key, float]] = {}  # waiting and working files by source and size
        self._all: Counter[str] = Counter()  # by source, waiting and working
        self._unknown: Counter[str] = Counter()
        self._absent: Counter[str] = Counter()  # those that the index has and the folder has not
        self._aside: Counter[str] = Counter()  # those of `_kept_aside`
        self._kept_aside: set[Key] = set()
        self._order = 0
        self._lines: dict[str, _Line] = {}
        self.finished = 0
        """The number of paths whose work has ended and that do not wait again; it never shrinks."""

    def __len__(self) -> int:
        """Paths that wait or are worked on."""
        return len(self._waiting) + len(self._working)

    def count(self, source: str) -> tuple[int, int]:
        """Paths of a source that wait or are worked on, and those of them that the index does not have yet."""
        return self._all[source], self._unknown[source]

    def oldest(self, source: str) -> float | None:
        """Since when (monotonic) the path of a source that has waited longest waits or is worked on; None: none does.

        Any thread may ask: both dictionaries are copied in one step each. They are in the order in which paths came.
        """
        working = [entry.since for entry in list(self._working.values()) if entry.key.source == source]
        waiting = (entry.since for entry in list(self._waiting.values()) if entry.key.source == source)
        return min([*working, *islice(waiting, 1)], default=None)

    def ahead(self, source: str) -> int:
        """Paths of a source that wait or are worked on, without those that wait for others: see `set_aside`."""
        return self._all[source] - self._aside[source]

    def absent(self, source: str) -> int:
        """Paths of a source that the index has, and at which no file was seen, that wait or are worked on."""
        return self._absent[source]

    def set_aside(self, key: Key) -> None:
        """Note that a path which is worked on waits for what walks and comparisons still find, until `finish`.

        These must not pause because of it: each would wait for the other.
        """
        if key not in self._kept_aside:
            self._kept_aside.add(key)
            self._aside[key.source] += 1

    def oldest_of_size(self, size: int, sources: Iterable[str]) -> float:
        """Since when (monotonic) the oldest unfinished file of these sources with that many bytes waits.

        It may be where a file that has gone is now; infinity where there is none.
        """
        found = (self._sizes.get((source, size)) for source in sources)
        return min((next(iter(files.values())) for files in found if files), default=float("inf"))

    def observation(self, key: Key) -> Observation | None:
        """What was last seen of a waiting path."""
        entry = self._again.get(key) or self._waiting.get(key)
        return entry.observation if entry is not None else None

    def being_written(self, source: str) -> list[Key]:
        """The paths of a source that are being worked on and at which a file was seen: the index may yet get them."""
        working = ((key, entry) for key, entry in self._working.items() if key.source == source)
        return [key for key, entry in working if entry.observation.state is not None or key in self._kept_aside]

    def working_below(self, folders: Collection[Key]) -> list[Key]:
        """The paths below any of these folders that are being worked on."""
        return [
            key
            for key in self._working
            if any(Key(key.source, str(parent)) in folders for parent in PurePosixPath(key.path).parents)
        ]

    def put(self, entry: PendingPath) -> None:
        """Let a path wait, or update its entry if it waits already: see `PendingPath.after`."""
        if entry.key in self._working:
            self._again[entry.key] = entry.after(self._again.get(entry.key))
            return
        before = self._waiting.get(entry.key)
        entry = entry.after(before)
        if before is not None:
            if entry == before and not entry.fresh:  # unchanged, as after each reconcile: it keeps its place
                return
            self._count(before, -1, again=_sized(before) == _sized(entry))
        self._waiting[entry.key] = entry
        self._count(entry, +1)
        self._order += 1
        line = self._lines.setdefault(entry.key.source, _Line(self._is_current))
        line.put(entry, self._order)
        if len(line) > 2 * self._all[entry.key.source] + _REPLACED:
            line.sweep()

    def fresh_due(self, now: float, source: str | None = None) -> int:
        """About how many fresh entries are due: some of them may have been replaced since."""
        return sum(line.fresh_due(now) for line in self._of(source))

    def take(self, now: float, fresh: int, backlog: int, source: str | None = None) -> list[PendingPath]:
        """Up to `fresh` fresh entries that are due, then others up to `backlog` of both; `finish` ends the work.

        Of one source, or of all.
        """
        taken: list[PendingPath] = []
        lines = self._of(source)
        for line in lines:
            line.fresh_due(now)
        while len(taken) < fresh and (newest := max(_heads(line.next_fresh() for line in lines), default=None)):
            self._begin(newest[1], taken)
        while len(taken) < backlog:
            firsts = _heads(line.next_backlog() for line in lines)
            oldest = min((first for first in firsts if first[1].observation.due <= now), default=None)
            if oldest is None:
                break
            self._begin(oldest[1], taken)
        return taken

    def finish(self, key: Key) -> None:
        """End the work on a path; it waits again if something happened to it meanwhile."""
        self._count(self._working.pop(key), -1)
        if key in self._kept_aside:
            self._kept_aside.remove(key)
            self._aside[key.source] -= 1
        again = self._again.pop(key, None)
        if again is not None:
            self.put(again)
        else:
            self.finished += 1

    def written(self, key: Key) -> None:
        """Note that the index has a path that is still worked on: its bytes are not new any more.

        Its metadata may wait until a comparison has ended, which waits for all new files: this one must not count.
        """
        entry = self._working[key]
        self._count(entry, -1)
        self._working[key] = replace(entry, observation=replace(entry.observation, state=None), known=True)
        self._count(self._working[key], +1)

    def next_due(self, source: str | None = None, *, fresh: bool = True, backlog: bool = True) -> float | None:
        """When the next entry of these kinds is due; None when none waits. May be in the past."""
        dues = (line.next_due(fresh=fresh, backlog=backlog) for line in self._of(source))
        return min((due for due in dues if due is not None), default=None)

    def _of(self, source: str | None) -> list[_Line]:
        if source is None:
            return list(self._lines.values())
        return [self._lines[source]] if source in self._lines else []

    def _begin(self, entry: PendingPath, taken: list[PendingPath]) -> None:
        del self._waiting[entry.key]
        self._working[entry.key] = entry
        taken.append(entry)

    def _is_current(self, entry: PendingPath) -> bool:
        return self._waiting.get(entry.key) is entry

    def _count(self, entry: PendingPath, change: int, *, again: bool = False) -> None:
        """Count an entry in or out; `again`: one of the same size takes its place, among the files of that size too."""
        self._all[entry.key.source] += change
        self._unknown[entry.key.source] += 0 if entry.known else change
        self._absent[entry.key.source] += change if entry.known and entry.observation.state is None else 0
        sized = _sized(entry)
        if sized is not None:
            if change > 0:
                self._sizes.setdefault(sized, {})[entry.key] = entry.observation.since
            elif not again:
                del self._sizes[sized][entry.key]
                if not self._sizes[sized]:
                    del self._sizes[sized]


def _sized(entry: PendingPath) -> tuple[str, int] | None:
    state = entry.observation.state
    return None if state is None else (entry.key.source, state.size)


def _heads(firsts: Iterable[tuple[int, PendingPath] | None]) -> list[tuple[int, PendingPath]]:
    """The first entries of several lines, with their order, where there are any."""
    return [first for first in firsts if first is not None]
