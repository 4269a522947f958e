"""Decodes in separate processes: a file that hangs, crashes or uses too much memory fails alone.

`DecodePool` has one thread per process; the thread gives its process one file at a time over their own socket and waits
until the deadline at most. Nothing is shared between processes, so there is nothing that a dying one could leave
locked, and the file that a process died of is known for certain. A process that dies idle, or before it reported that
it started on a file, is replaced, and the file is given to the new one; the same once for one that was killed from
outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from recq.errors import ImageError, Reason, RecqError
from recq.images.buffers import Buffers
from recq.images.decode import Limits
from recq.images.process import Decoded, DecodeProcess, Hashed, Header, Known, ProcessDied, Task
from recq.images.reading import FileChanged
from recq.region import Region
from recq.space import InputSpec

__all__ = ["DecodePool", "Decoded", "FileChanged", "Hashed", "Header"]

_STARTS = 3
"""How often a process may die before it starts on a file until the pool, not the file, is at fault."""

_START_PATIENCE = 60.0
"""Seconds for a system that starts no more processes (no memory, no process ids, no descriptors) to recover."""

_START_INTERVAL = 0.5  # seconds between two attempts meanwhile


@dataclass(frozen=True)
class _Job:
    future: Future[Any]  # what `submit`, `submit_unknown` and `submit_header` promise
    task: Task


class DecodePool:
    """`workers` decoding processes; use it as a context manager.

    `timeout`: seconds for one file, counted from when a process starts on it. `memory`: bytes that decoding one file
    may take beyond what an idle process has mapped. If `headers` is given, the headers of each file that is hashed
    or decoded are read as well, and given to `headers(path, header)` in a thread of the pool, before the future has its
    result. `program` is the module that the processes run. Raises RecqError on a system that cannot hand a process its
    socket.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout: float,
        memory: int,
        limits: Limits,
        headers: Callable[[str, Header], None] | None = None,
        program: str = "recq.images.child",
    ) -> None:
        if workers < 1:
            raise ValueError("a pool needs at least one worker")
        if os.name != "posix":
            raise RecqError("pictures are decoded on Linux and macOS only: on Windows run recq in WSL 2")
        self._timeout = timeout
        self._headers = headers
        self._program = program
        self._options = json.dumps({"max_bytes": limits.max_bytes, "max_pixels": limits.max_pixels, "memory": memory})
        self._buffers = Buffers()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._processes: set[DecodeProcess] = set()
        self._closed = False
        self._workers = workers
        self._cancelled = threading.Event()
        self._threads: list[threading.Thread] = []
        for _ in range(workers):
            self._add()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(cancel=error is not None)

    @property
    def workers(self) -> int:
        """The processes that the pool began with: files that are decoded at the same time, while none hangs."""
        return self._workers

    def widen(self) -> None:
        """Start one process more than the pool began with, as beside one that hangs on a file; `narrow` ends one."""
        with self._lock:
            if not self._closed:
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._add()

    def narrow(self) -> None:
        """End one process, after what was submitted until now."""
        self._jobs.put(None)

    def _add(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"decode-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def submit(self, path: str, spec: InputSpec, region: Region | None = None) -> Future[Decoded]:
        """Decode the file at `path` (surrogate-escaped, as the operating system gives it) for a network, or a region.

        The future raises ImageError, Beside, FileChanged (read it again later), FileNotFoundError (it vanished),
        CancelledError (the pool was closed), or RecqError when decoding processes cannot be started at all. The queue
        is unbounded: the caller must limit it.
        """
        future: Future[Decoded] = Future()
        self._put(_Job(future, Task(path, spec, exif=self._headers is not None, region=region)))
        return future

    def submit_unknown(self, path: str, spec: InputSpec, known: Known | None) -> Future[Hashed]:
        """The same, but a file is only hashed where `known`, called in a pool thread with its SHA-256, is true; never
        where it is None."""
        future: Future[Hashed] = Future()
        self._put(_Job(future, Task(path, spec, known, exif=self._headers is not None)))
        return future

    def submit_header(self, path: str) -> Future[Header]:
        """The same, but only its headers are read, and no more of the file than they take."""
        future: Future[Header] = Future()
        self._put(_Job(future, Task(path)))
        return future

    def _put(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._jobs.put(job)

    def close(self, *, cancel: bool = False) -> None:
        """Finish the submitted files, or with `cancel` drop them at once, and end the processes."""
        with self._lock:
            self._closed = True
            if cancel:
                self._cancelled.set()
            running = tuple(self._processes) if cancel else ()
        if cancel:
            with contextlib.suppress(queue.Empty):
                while True:
                    if (job := self._jobs.get_nowait()) and job.future.cancel():
                        job.future.set_running_or_notify_cancel()
        for process in running:
            process.kill()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """The loop of a thread: keep one process ready, and give it one job after the other."""
        process = self._start()
        while job := self._jobs.get():
            if not job.future.set_running_or_notify_cancel():
                continue
            process, outcome = self._decode(job, process)
            if isinstance(outcome, Hashed | Header):
                if self._headers is not None and isinstance(outcome, Hashed) and outcome.exif is not None:
                    self._headers(job.task.path, Header(outcome.size, outcome.mtime_ns, outcome.exif))
                job.future.set_result(outcome)
            else:
                job.future.set_exception(outcome)
            process = process or self._start()  # now, so that the next file need not wait for it
        if process is not None:
            self._end(process)

    def _decode(
        self, job: _Job, process: DecodeProcess | None
    ) -> tuple[DecodeProcess | None, Hashed | Header | BaseException]:
        """The job's outcome, and the process that is alive after it."""
        process, outcome, killed = self._attempt(job, process)
        if killed:  # perhaps it was the others' memory that the kernel was short of
            process, outcome, _ = self._attempt(job, process)
        return process, outcome

    def _attempt(
        self, job: _Job, process: DecodeProcess | None
    ) -> tuple[DecodeProcess | None, Hashed | Header | BaseException, bool]:
        """The same of one attempt, and whether its process was killed from outside."""
        process, failure = self._begin(job, process)
        if process is None:
            return None, failure, False
        killed = False
        outcome: Hashed | Header | BaseException
        try:
            outcome = process.finish(job.task, self._timeout)
        except TimeoutError:
            outcome = ImageError(Reason.TIMEOUT, f"decoding took longer than decode_timeout = {self._timeout:g} s")
        except ProcessDied as death:
            outcome, killed = ImageError(Reason.CRASHED, f"the decoding process died of it: {death}"), death.killed
        else:
            # Out of memory, a decoder leaves things half done, and what they hold is missing for the next file.
            if not (isinstance(outcome, ImageError) and outcome.reason is Reason.OUT_OF_MEMORY):
                return process, outcome, False
        self._end(process)
        return None, CancelledError() if self._cancelled.is_set() else outcome, killed

    def _begin(self, job: _Job, process: DecodeProcess | None) -> tuple[DecodeProcess | None, BaseException]:
        """A process that has started on the job; or None, and what keeps processes from starting."""
        cause, deaths = "the system starts no more processes", 0
        patience = time.monotonic() + _START_PATIENCE
        while deaths <= _STARTS and not self._cancelled.is_set():
            process = process or self._start()
            if process is None:
                if time.monotonic() > patience:
                    break
                self._cancelled.wait(_START_INTERVAL)
                continue
            try:
                process.begin(job.task)
            except ProcessDied as death:
                cause, deaths = str(death), deaths + 1
                self._end(process)
                process = None
            else:
                return process, CancelledError()
        if process is not None:
            self._end(process)
        if self._cancelled.is_set():
            return None, CancelledError()
        return None, RecqError(f"decoding processes do not start ({cause}): their own message is on standard error")

    def _start(self) -> DecodeProcess | None:
        """A new process, perhaps not ready yet; None when the system has no more, or the pool was cancelled."""
        with self._lock:
            if self._cancelled.is_set():
                return None
            try:
                process = DecodeProcess(self._program, self._options, self._buffers)
            except OSError:
                return None
            self._processes.add(process)
            return process

    def _end(self, process: DecodeProcess) -> None:
        with self._lock:
            self._processes.discard(process)
        process.end()
