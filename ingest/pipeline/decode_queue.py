"""Hands files to the decoding processes: a few at a time, fresh ones first, and no source holds up another.

A process waits for the daemon's threads between two files, and whenever it asks whether it need decode one. Where the
network waits for pictures meanwhile, there are some processes more than cores as long as many files wait.

A file on a disk that hangs holds its process until the deadline, and the kernel may hold it for longer. When the files
of a source take so long that its disk seems to hang, and another source waits, then files that no process has begun
are taken back, the source gets no further process, and the pool starts a process for each that is held. For the loop's
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from ingest.loop import Loop
from ingest.pipeline.fresh_first import FreshFirst
from recq.images.process import Known
from recq.images.workers import DecodePool, Hashed
from recq.space import InputSpec

_AT_HAND = 4  # files handed to the decoding processes, for each core: the loop may look at results every 20 ms only
_MANY = 200  # paths that wait from which on it is worth to start processes more: each takes 0.2 s of a core
_MORE = 2  # of them
_LOOKS = 10  # by which the looks that found the network waiting are more than the others: a quarter of a second
_STUCK_AFTER = 3.0  # seconds that a source's file may take while another one waits: most take a tenth of one

Then = Callable[[Future[Hashed]], None]


@dataclass(eq=False)
class _Job:
    source: str
    path: str
    known: Known | None
    then: Then
    fresh: bool
    future: Future[Hashed] | None = None
    handed: float = 0.0  # when it was given to the pool (monotonic)
    withdrawn: bool = False  # taken back before a process began
    replaced: bool = False  # a process more was started for the one that it holds


class DecodeQueue:
    """The files that wait for the decoding processes, one queue for each source."""

    def __init__(self, loop: Loop, pool: DecodePool, spec: InputSpec) -> None:
        self._loop = loop
        self._pool = pool
        self._spec = spec
        self._wide = False
        self._starved = 0
        self._waiting: dict[str, FreshFirst[_Job]] = {}
        self._handed: dict[str, list[_Job]] = {}
        self._stuck: set[str] = set()

    def add(self, source: str) -> None:
        """Decode files of this source, too."""
        self._waiting[source] = FreshFirst()
        self._handed[source] = []

    def submit(self, source: str, path: str, known: Known | None, then: Then, *, fresh: bool) -> None:
        """Decode a file of a source; `then` is called in the loop's thread with the outcome, as of `submit_unknown`."""
        self._waiting[source].put(_Job(source, path, known, then, fresh), fresh=fresh)
        self._feed()

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        if len(self._waiting) == 1:
            return float("inf")
        due = (jobs[0].handed + _STUCK_AFTER for name, jobs in self._handed.items() if jobs and self._in_the_way(name))
        return min(due, default=float("inf"))

    def tick(self, now: float, waiting: int, *, starving: bool) -> None:
        """Have processes enough for so many paths that wait, where the network is `starving`, and keep a slow source
        from holding up the others."""
        self._suit(many=waiting >= _MANY, starving=starving)
        if len(self._waiting) > 1:
            for name, jobs in self._handed.items():
                if jobs and now >= jobs[0].handed + _STUCK_AFTER and self._in_the_way(name):
                    self._make_way(name)
            self._feed()

    def _suit(self, *, many: bool, starving: bool) -> None:
        """Have some processes more while `many` paths wait for them, and not for a disk or the index."""
        queued = any(self._waiting.values())
        if not (many or queued):
            self._starved = 0
            if self._wide:
                self._wide = False
                for _ in range(_MORE):
                    self._pool.narrow()
        elif many and not self._wide:
            self._starved = max(0, self._starved + (1 if starving and queued else -1))
            if self._starved >= _LOOKS:
                self._wide = True
                for _ in range(_MORE):
                    self._pool.widen()
                self._feed()

    def _in_the_way(self, source: str) -> bool:
        """Whether another source waits, and this one is not known to be stuck."""
        return source not in self._stuck and any(
            queue or any(job.future is not None and not job.future.running() for job in self._handed[name])
            for name, queue in self._waiting.items()
            if name != source and name not in self._stuck
        )

    def _make_way(self, source: str) -> None:
        self._stuck.add(source)
        for job in self._handed[source]:
            assert job.future is not None
            job.withdrawn = job.future.cancel()
            if not job.withdrawn and not job.future.done():
                job.replaced = True
                self._pool.widen()

    def _feed(self) -> None:
        while (job := self._next()) is not None:
            job.handed, job.withdrawn = time.monotonic(), False
            job.future = self._pool.submit_unknown(job.path, self._spec, job.known)
            self._handed[job.source].append(job)
            job.future.add_done_callback(partial(self._post, job))

    def _next(self) -> _Job | None:
        """The next job, where there is a place: a fresh one of any source, else one of the source with the fewest."""
        busy = sum(len(jobs) for name, jobs in self._handed.items() if name not in self._stuck)
        ready = [name for name, queue in self._waiting.items() if queue and name not in self._stuck]
        if busy >= _AT_HAND * self._pool.workers + _MORE * self._wide or not ready:
            return None
        chosen = min(ready, key=lambda name: (not self._waiting[name].has_fresh, len(self._handed[name])))
        return self._waiting[chosen].take()

    def _post(self, job: _Job, future: Future[Hashed]) -> None:
        self._loop.post(partial(self._ended, job, future))

    def _ended(self, job: _Job, future: Future[Hashed]) -> None:
        self._handed[job.source].remove(job)
        job.future = None  # whose callback has the job: the pixels would stay until garbage is looked for
        if job.replaced:
            job.replaced = False
            self._pool.narrow()
        if not self._handed[job.source]:
            self._stuck.discard(job.source)
        if job.withdrawn and future.cancelled():
            self._waiting[job.source].put(job, fresh=job.fresh)
            self._feed()
            return
        self._feed()
        job.then(future)
