"""SIGTERM and Ctrl-C: finish what is under way, then end within five seconds, whatever hangs.

A handler runs between any two steps of the main thread, which may hold a lock: it only puts the signal into a queue
that needs none. A thread of its own does the rest. This module is light: it is imported before anything slow.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

END_WITHIN = 4.5
"""Seconds from the first signal to the end of the process. Nothing acknowledged is lost by it: the engine keeps a
journal, the decoding processes die with their parent."""

INTERRUPTED = 130
"""The exit code of a rebuild that a signal ended; a `run` that was told to stop has done its work: 0."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once(code: int) -> None:
    """From here until `Signals` take over, a signal ends the process with `code`: nothing is open yet."""

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        os._exit(code)

    for signum in _SIGNALS:
        signal.signal(signum, end)


class Stopped(BaseException):
    """A signal came before the daemon was at work: nothing has to be finished."""


class Signals:
    """A context manager around the life of the daemon. `stop` is set by the first signal; a second ends at once.

    `code` is the exit code of a process that could not end in time.
    """

    def __init__(self, code: int) -> None:
        self._code = code
        self.stop = threading.Event()
        self._wake: Callable[[], None] | None = None
        self._signals: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        for signum in _SIGNALS:
            signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Handlers stay: a signal that comes while everything is being closed must not break that off."""
        self._wake = self._wake or _nothing

    def working(self, wake: Callable[[], None]) -> None:
        """From here on a signal is told to `wake`, instead of being raised as `Stopped`."""
        self._wake = wake

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._signals.put(signum)
        if self._wake is None and not self.stop.is_set():
            raise Stopped

    def _watch(self) -> None:
        self._signals.get()
        self.stop.set()
        if self._wake is not None:
            self._wake()
        try:
            again = self._signals.get(timeout=END_WITHIN)
        except queue.Empty:
            again = None
        os._exit(self._code if again is None else 128 + again)


def _nothing() -> None:
    """Nobody has to be woken any more."""
