"""Puts what walks find into the queue, some paths at a time: new folders, folders that have gone, comparisons.

A walk runs in a worker of its source and pauses while too many paths wait, so that memory is bounded also in a first
run over millions of files. What it finds is put into the queue in the loop's thread. Folders that appear while a walk
is under way are walked together by the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from ingest.context import Context
from ingest.events.hints import MOST, outermost
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.events.stability import observe, quiet_when_found
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Stopping, Workers
from ingest.reconcile.compare import Action, Difference, in_pieces
from ingest.source.files import Key
from ingest.source.metadata import SIDECAR_SUFFIX
from ingest.source.scan import Kind, Unreadable
from recq import paths

MOST_WAITING = 100_000
"""Paths that may wait, of all sources together, before walks pause."""

CHUNK = 500
"""Paths that are handed over at a time."""

_AT_HAND = 4  # chunks that were handed over and that the loop has not taken yet

_CEASED = 0.15
"""Seconds without another folder that has gone, after which the index is scanned for all of them at once."""

_LONGEST_WAVE = 1.0  # seconds that a scan waits for more


@dataclass
class _Gone:
    """Folders of a source that have gone, with the times of the first and the last one (monotonic)."""

    first: float
    last: float = 0.0
    folders: set[str] = field(default_factory=set)

    @property
    def due(self) -> float:
        """When the index is scanned for them."""
        return min(self.last + _CEASED, self.first + _LONGEST_WAVE)


class Walks:
    """Takes folders from the queue, and puts the files in them into it; each has to be unchanged for `settle` seconds.

    `hand_over` does the same with what a comparison finds.
    """

    def __init__(self, context: Context, queue: Queue, index: RetryingIndex) -> None:
        self._context = context
        self._queue = queue
        self._index = index
        self._walkers = Workers("folders", context.loop)
        self._scanners = Workers("gone", context.loop)
        self._new: dict[str, set[str]] = {}
        self._gone: dict[str, _Gone] = {}
        self._may_walk: dict[str, threading.Event] = {}
        self._at_hand = threading.Semaphore(_AT_HAND)

    # -- in the loop's thread -------------------------------------------------------------------------------------

    def add(self, name: str) -> None:
        """Walk this source, too."""
        self._new[name] = set()
        self._may_walk[name] = threading.Event()

    @property
    def idle(self) -> bool:
        """Whether no folder that appeared or has gone is being walked or looked up, or waits for it."""
        return not (self._walkers.busy or self._gone or self._scanners.busy)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(
            (gone.due for name, gone in self._gone.items() if not self._scanners[name].busy), default=float("inf")
        )

    def tick(self, now: float) -> None:
        """Continue walks where there is room again; scan for folders that have gone where no more follow."""
        self._appeared(self._queue.take_appeared())
        self._went(self._queue.take_gone(), now)
        for name, may_walk in self._may_walk.items():
            if not may_walk.is_set() and not self._full(name):
                may_walk.set()
        for name, gone in list(self._gone.items()):
            if now >= gone.due and not self._scanners[name].busy:
                del self._gone[name]
                self._scanners[name].submit(partial(self._find_gone, name, gone.folders), _done)

    def end(self) -> None:
        """Wake all walks that pause; `stop` is set."""
        for may_walk in self._may_walk.values():
            may_walk.set()
        self._at_hand.release(4 * len(self._may_walk) + 1)  # three kinds of walk, and predictions

    def _appeared(self, folders: Sequence[Key]) -> None:
        """Walk folders that appeared: those of a source together, since the queue knows one time for all of them."""
        for folder in folders:
            if not _add(self._new[folder.source], folder.path):
                self._queue.overflowed(folder.source)
        for source in {folder.source: None for folder in folders}:
            self._walk(source)

    def _went(self, folders: Iterable[Key], now: float) -> None:
        """Look at all that the index has below folders that have gone."""
        for folder in folders:
            gone = self._gone.setdefault(folder.source, _Gone(now))
            gone.last = now
            if not _add(gone.folders, folder.path):
                del self._gone[folder.source]
                self._queue.overflowed(folder.source)

    def _walk(self, source: str) -> None:
        """Walk the new folders of a source; when a walk is under way, after it."""
        if not self._walkers[source].busy and self._new[source]:
            folders, self._new[source] = outermost(self._new[source]), set()
            self._queue.walk_began(source)
            self._walkers[source].submit(partial(self._walk_folders, source, folders), lambda _: self._walked(source))

    def _walked(self, source: str) -> None:
        self._queue.walk_ended(source)
        self._walk(source)

    def _found(self, source: str, differences: Sequence[Difference], fresh: bool) -> None:
        self._at_hand.release()
        now, clock, queued = time.monotonic(), time.time(), self._queue.paths
        for difference in differences:
            key = Key(source, difference.path)
            quiet = quiet_when_found(difference.state, self._context.settings.settle, clock)
            observation = observe(queued.observation(key), difference.state, now, quiet)
            entry = PendingPath(
                key,
                observation,
                fresh=fresh,
                known=difference.known is not None,
                retry=difference.retry,
                altered=difference.altered,
                unpredicted=difference.action is Action.PREDICT,
            )
            queued.put(entry)
        if self._full(source):
            self._may_walk[source].clear()

    def _full(self, source: str) -> bool:
        """Whether so many paths of a source wait that its walks pause; what waits for walks itself does not count."""
        return self._queue.paths.ahead(source) >= MOST_WAITING // len(self._may_walk)

    # -- in workers -----------------------------------------------------------------------------------------------

    def hand_over(self, source: str, differences: Iterator[Difference], *, fresh: bool = False) -> None:
        """Post differences in chunks; pause while too many paths wait. Raises Stopping."""
        met = self._context.sources[source].met
        for chunk in in_pieces(differences, CHUNK):
            self._may_walk[source].wait()
            self._at_hand.acquire()
            if self._context.stop.is_set():
                raise Stopping
            for difference in chunk:
                if difference.state is not None:
                    met.note(difference.path)
            self._context.loop.post(partial(self._found, source, chunk, fresh))

    def _walk_folders(self, source: str, folders: Sequence[str]) -> None:
        watched = self._context.sources[source]
        found = (each for folder in folders for each in watched.walk(folder))
        differences = (
            Difference(seen.path, seen.state, None, Action.EMBED)
            for seen in found
            if not isinstance(seen, Unreadable)
            and seen.kind is not Kind.IGNORED
            and (watched.has(seen.path) or seen.path.endswith(SIDECAR_SUFFIX))
        )
        self.hand_over(source, differences, fresh=True)

    def _find_gone(self, source: str, folders: Collection[str]) -> None:
        """One scan of the index for all of them."""
        self.hand_over(source, self._below(source, folders), fresh=True)

    def _below(self, source: str, folders: Collection[str]) -> Iterator[Difference]:
        for item in self._index.scan(source):
            path = paths.from_text(item.file.path, item.file.encoded)
            if any(str(parent) in folders for parent in PurePosixPath(path).parents):
                yield Difference(path, None, item, Action.DELETE)


def _add(folders: set[str], path: str) -> bool:
    """Add a folder; False, with all removed, when there are too many."""
    folders.add(path)
    if len(folders) > MOST:
        folders.clear()
        return False
    return True


def _done(_: None) -> None:
    """Nothing follows."""
