"""What walks find comes to wait, a piece at a time: new folders, folders that have gone, comparisons.

A walk runs in a worker and pauses while too many paths wait already, so that the memory of a first run over millions
of files is bounded; what it finds is put into `pending` in the loop's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from ingest.files import Key
from ingest.loop import Loop, Stopping, Worker
from ingest.patient_index import PatientIndex
from ingest.pending import Entry, Pending
from ingest.reconcile import Action, Difference
from ingest.scan import Kind, Rules, Unreadable, walk
from ingest.stability import observe
from ingest.watched import Watched
from recq import paths

MOST_WAITING = 100_000
"""Paths that may wait before walks pause."""

CHUNK = 500
"""Paths that are handed over at a time."""


class Walks:
    """Fills `pending` from walks; a file has to be unchanged for `settle` seconds.

    `crowded` tells whether so much is under way that walks have to pause, `stop` ends them.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Watched],
        loop: Loop,
        pending: Pending,
        index: PatientIndex,
        rules: Rules,
        settle: float,
        stop: threading.Event,
        crowded: Callable[[], bool],
    ) -> None:
        self._sources = sources
        self._loop = loop
        self._pending = pending
        self._index = index
        self._rules = rules
        self._settle = settle
        self._stop = stop
        self._crowded = crowded
        self._folders = Worker("folders", loop)
        self._may_walk = threading.Event()
        self._may_walk.set()

    # -- in the loop's thread -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether folders that appeared or went are still being walked."""
        return self._folders.busy > 0

    def tick(self) -> None:
        """Let walks go on, where there is room again."""
        if not self._full():
            self._may_walk.set()

    def end(self) -> None:
        """Wake a walk that pauses; `stop` is set."""
        self._may_walk.set()

    def appeared(self, folder: Key) -> None:
        """Everything below a folder that appeared has to be looked at."""
        self._folders.submit(partial(self._walk_folder, folder), _done)

    def went(self, folders: Collection[Key]) -> None:
        """Everything that the index has below folders that have gone has to be looked at."""
        self._folders.submit(partial(self._find_lost, folders), _done)

    def _found(self, source: str, differences: Sequence[Difference], fresh: bool) -> None:
        now = time.monotonic()
        for difference in differences:
            key = Key(source, difference.path)
            quiet = 0.0 if difference.state is None else self._settle
            observation = observe(self._pending.observation(key), difference.state, now, quiet)
            entry = Entry(
                key,
                observation,
                fresh=fresh,
                known=difference.known is not None,
                retry=difference.retry,
                altered=difference.altered,
            )
            self._pending.put(entry)
        if self._full():
            self._may_walk.clear()

    def _full(self) -> bool:
        """Whether so much waits that walks pause."""
        return self._pending.waiting >= MOST_WAITING or self._crowded()

    # -- in workers -----------------------------------------------------------------------------------------------

    def hand_over(self, source: str, differences: Iterator[Difference], *, fresh: bool = False) -> None:
        """Post differences in pieces; wait while too many paths wait already. Raises Stopping."""
        while chunk := list(islice(differences, CHUNK)):
            self._may_walk.wait()
            if self._stop.is_set():
                raise Stopping
            self._loop.post(partial(self._found, source, chunk, fresh))

    def _walk_folder(self, key: Key) -> None:
        found = walk(self._sources[key.source].root, self._rules, key.path)
        differences = (
            Difference(seen.path, seen.state, None, Action.EMBED)
            for seen in found
            if not isinstance(seen, Unreadable) and seen.kind is not Kind.IGNORED
        )
        self.hand_over(key.source, differences, fresh=True)

    def _find_lost(self, lost: Collection[Key]) -> None:
        for source in sorted({key.source for key in lost}):
            folders = [Unreadable(key.path, "gone") for key in lost if key.source == source]
            self.hand_over(source, self._below(source, folders), fresh=True)

    def _below(self, source: str, folders: Sequence[Unreadable]) -> Iterator[Difference]:
        for item in self._index.scan(source):
            path = paths.from_text(item.file.path, item.file.encoded)
            if any(folder.covers(path) for folder in folders):
                yield Difference(path, None, item, Action.DELETE)


def _done(_: None) -> None:
    """Nothing follows."""
