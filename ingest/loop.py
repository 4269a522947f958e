"""The daemon's loop, a single thread that decides everything, and the workers that post their results to it.

All decisions run in the loop's thread, one call after the other, so that no state needs a lock. Whatever waits for a
disk, the index or the network runs in a worker, and its result comes back as a call. Each source has workers of its
own, since a mount may hang for ever. Nothing polls: the loop sleeps until a call is posted or the next deadline is
reached.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Call = Callable[[], None]

_AT_ONCE = 500  # calls that are run before the loop looks at its deadlines again


class Stopping(Exception):
    """Raised by whatever waits when the daemon stops; its result is not needed any more."""


class Loop:
    """The calls that wait for the loop's thread. `post` may be called from any thread and from signal handlers.

    `end` ends it with its workers: in a process that goes on with another loop neither threads nor results may stay.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._ended = False

    def post(self, call: Call) -> None:
        """Let the loop's thread run `call` soon; after the end nothing."""
        if not self._ended:
            self._calls.put(call)

    def employ(self, worker: Worker) -> None:
        """End this one with the others. For the loop's thread."""
        self._workers.append(worker)

    def end(self) -> None:
        """Run nothing any more, and end the workers, each with the job that it has. For the loop's thread."""
        self._ended = True
        for worker in self._workers:
            worker.end()
        _empty(self._calls)

    def turn(self, until: float, *, gather: float = 0.0) -> None:
        """Run what was posted; wait for something until `until` (monotonic seconds) when nothing was.

        What is posted within `gather` seconds from now is run as well, so that what follows is done for all of it.
        """
        gathered = time.monotonic() + gather
        try:
            self._calls.get(timeout=max(0.0, until - time.monotonic()))()
            for _ in range(_AT_ONCE):
                left = gathered - time.monotonic() if gather else 0.0
                (self._calls.get(timeout=left) if left > 0 else self._calls.get_nowait())()
        except queue.Empty:
            pass


def _empty(calls: queue.SimpleQueue[Any]) -> None:
    with suppress(queue.Empty):
        while True:
            calls.get_nowait()


class Worker:
    """A thread that runs one job after the other and posts the results to the loop.

    An exception in a job is raised in the loop's thread: the daemon ends with it. `Stopping` only drops the job.
    The thread begins with the first job, ends with the loop, and does not keep the process alive.
    """

    def __init__(self, name: str, loop: Loop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._count = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        loop.employ(self)

    @property
    def busy(self) -> int:
        """Jobs whose result the loop has not seen yet. For the loop's thread."""
        return self._count

    def submit(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in the worker, then `then` with its result in the loop's thread. For the loop's thread."""

        def job() -> None:
            try:
                result = work()
            except BaseException as error:
                self._loop.post(lambda error=error: self._failed(error))  # type: ignore[misc]
            else:
                self._loop.post(lambda: self._done(then, result))

        self._count += 1
        self._jobs.put(job)
        if self._thread.ident is None:
            self._thread.start()

    def _done(self, then: Callable[[T], None], result: T) -> None:
        self._count -= 1
        then(result)

    def _failed(self, error: BaseException) -> None:
        self._count -= 1
        if not isinstance(error, Stopping):
            raise error

    def end(self) -> None:
        """Begin no further job, and end the thread after the present one."""
        _empty(self._jobs)
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it has the result


class Workers:
    """One worker for each source, so that a disk that does not answer holds up no other source.

    A worker is made on first use, since sources may be added. For the loop's thread.
    """

    def __init__(self, name: str, loop: Loop) -> None:
        self._name = name
        self._loop = loop
        self._workers: dict[str, Worker] = {}

    def __getitem__(self, source: str) -> Worker:
        if source not in self._workers:
            self._workers[source] = Worker(f"{self._name} {source}", self._loop)
        return self._workers[source]

    @property
    def busy(self) -> int:
        """Jobs of all whose result the loop has not seen yet."""
        return sum(worker.busy for worker in self._workers.values())


class Repeated(Generic[T]):
    """Repeated work: one run is under way and one more waits at most, however often it is asked for.

    For the loop's thread.
    """

    def __init__(self, worker: Worker, work: Callable[[], T], then: Callable[[T], None]) -> None:
        self._worker = worker
        self._work = work
        self._then = then
        self._under_way = False
        self._again = False

    @property
    def busy(self) -> bool:
        """Whether it runs, or waits to."""
        return self._under_way

    def ask(self) -> None:
        """Run the work; once more afterwards where it is under way, since it may miss what is new."""
        if self._under_way:
            self._again = True
            return
        self._under_way = True
        self._worker.submit(self._work, self._done)

    def _done(self, result: T) -> None:
        self._under_way = False
        if self._again:
            self._again = False
            self.ask()
        self._then(result)


class Quiet:
    """Tells when nothing has been left to do for `after` seconds: once, until there was something again."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._due: float | None = None

    def tick(self, now: float, *, nothing_left: bool) -> bool:
        """Whether that is so now, for the first time since there was something."""
        if not nothing_left:
            self._due = None
        elif self._due is None:
            self._due = now + self._after
        elif now >= self._due:
            self._due = float("inf")
            return True
        return False

    def next_deadline(self) -> float:
        """When `tick` may have something to tell, if nothing happens until then."""
        return float("inf") if self._due is None else self._due
