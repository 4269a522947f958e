"""Paths whose state on disk is asked before they wait: one request per path, however many hints it has.

Runs in the loop's thread; the disk is asked in a worker of the source, some paths at a time. While a disk does not
answer, requests are kept here, one per path at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from ingest.events.hints import MOST, Mark, later, observation_of
from ingest.events.pending import Pending, PendingPath
from ingest.events.stability import observe
from ingest.loop import Worker
from ingest.source.files import FileState, Key
from ingest.source.watched_source import WatchedSource

CHUNK = 500
"""Paths that are looked at together."""


class Looks:
    """Fills `pending` with paths of one source and their states; `overflow` is called when there are too many."""

    def __init__(
        self,
        watched: WatchedSource,
        worker: Worker,
        pending: Pending,
        *,
        settle: float,
        overflow: Callable[[], None],
    ) -> None:
        self._watched = watched
        self._worker = worker
        self._pending = pending
        self._settle = settle
        self._overflow = overflow
        self._marks: dict[Key, Mark] = {}
        self._retries: dict[Key, None] = {}
        self._again: dict[Key, tuple[PendingPath, float]] = {}  # paths that are being worked on

    @property
    def busy(self) -> bool:
        """Whether any path is being looked at, or waits for it."""
        return self._worker.busy > 0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._marks) + len(self._retries) + len(self._again)

    def noticed(self, marks: Mapping[Key, Mark]) -> None:
        """Look at paths to which something happened."""
        for key, mark in marks.items():
            before = self._marks.get(key)
            if before is None and len(self._marks) >= MOST:
                self._marks.clear()
                self._overflow()  # a comparison finds them all
                return
            self._marks[key] = later(before, mark)
        self._next()

    def retry(self, keys: Iterable[Key]) -> None:
        """Look at failed items that are to be tried again."""
        self._retries.update(dict.fromkeys(islice(keys, max(0, MOST - len(self._retries)))))
        self._next()

    def again(self, entry: PendingPath, quiet: float) -> None:
        """Look again at a path that is being worked on; it then waits until it is unchanged for `quiet` seconds."""
        self._again[entry.key] = entry, quiet
        self._next()

    def wait(self, entry: PendingPath, state: FileState | None, quiet: float) -> None:
        """Let a path that was looked at wait until it is unchanged for `quiet` seconds."""
        observation = observe(entry.observation, state, time.monotonic(), quiet if state is not None else 0.0)
        self._pending.put(replace(entry, observation=observation, fresh=True, witnessed=False))

    def _next(self) -> None:
        """Have the next piece looked at, unless one is."""
        if self._worker.busy or not len(self):
            return
        again, self._again = self._again, {}
        marks = dict(islice(self._marks.items(), CHUNK))
        retries = list(islice(self._retries, CHUNK))
        for key in marks:
            del self._marks[key]
        for key in retries:
            del self._retries[key]
        keys = dict.fromkeys([*again, *marks, *retries])
        self._worker.submit(partial(self._states, list(keys)), partial(self._looked, again, marks, retries))

    def _states(self, keys: Sequence[Key]) -> Mapping[Key, FileState | None]:
        """In the worker: the states of the files. A file whose state cannot be known is left to the reconcile."""
        states: dict[Key, FileState | None] = {}
        for key in keys:
            try:
                seen = self._watched.look(key.path)
            except OSError:
                continue
            states[key] = seen.state if seen is not None else None
        return states

    def _looked(
        self,
        again: Mapping[Key, tuple[PendingPath, float]],
        marks: Mapping[Key, Mark],
        retries: Sequence[Key],
        states: Mapping[Key, FileState | None],
    ) -> None:
        now = time.monotonic()
        for key, (entry, quiet) in again.items():
            if key in states:
                self.wait(entry, states[key], quiet)
            self._pending.finish(key)
        for key, mark in marks.items():
            if key in states:
                before = self._pending.observation(key)
                observation = observation_of(before, states[key], now, mark, self._settle)
                self._pending.put(PendingPath(key, observation, fresh=True, witnessed=mark is Mark.GONE))
        for key in retries:
            if key in states:
                observation = observe(self._pending.observation(key), states[key], now, self._settle)
                self._pending.put(PendingPath(key, observation, fresh=True, known=True, retry=True))
        self._next()
