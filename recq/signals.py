"""SIGTERM and Ctrl-C: finish what is under way, then end within five seconds, whatever hangs.

A handler runs between any two steps of the main thread, which may hold a lock, so it only puts the signal into a queue
that needs none. A thread does the rest. Neither runs while a library holds the interpreter, as the embedded engine does
during each call (the replay of a long journal, for example): then a small process, which gets the signal without the
interpreter, kills this one. This module imports nothing slow, since it is imported first.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

END_WITHIN = 4.5
"""Seconds from the first signal to the end of the process. Nothing that was acknowledged is lost: the engine keeps a
journal, and the decoding processes end with their parent."""

KILL_AFTER = 0.3
"""Seconds more until a process that cannot even run Python is killed: its exit code is then that of SIGKILL."""

INTERRUPTED = 130
"""The exit code of a rebuild that a signal ended. A `run` that a signal ended exits with 0."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once(code: int) -> None:
    """End the process with `code` on a signal, until `Signals` take over: nothing is open yet."""

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        os._exit(code)

    for signum in _SIGNALS:
        signal.signal(signum, end)


class Stopped(BaseException):
    """A signal came before the daemon began: nothing has to be finished."""


class Signals:
    """A context manager around the life of a daemon or a service.

    `stop` is set by the first signal; a second ends at once.

    `code` is the exit code of a process that could not end in time.
    """

    def __init__(self, code: int) -> None:
        self._code = code
        self.stop = threading.Event()
        self._others: list[threading.Event] = []
        self._wakes: list[Callable[[], None]] = []
        self._signals: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        _keep_watch(END_WITHIN + KILL_AFTER)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()
        for signum in _SIGNALS:
            signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Keep the handlers: a signal must not interrupt the closing of what is open."""
        self._wakes = self._wakes or [_nothing]

    def working(self, wake: Callable[[], None]) -> None:
        """From now on a signal calls `wake` in place of raising `Stopped`; of several, each."""
        self._wakes = [*self._wakes, wake]  # replaced whole: a signal may go through them

    def stop_of_one(self) -> threading.Event:
        """An event that the first signal sets as `stop`, and that may be set without one: one of several ends."""
        event = threading.Event()
        self._others = [*self._others, event]
        if self.stop.is_set():
            event.set()
        return event

    def ended(self, stop: threading.Event, wake: Callable[[], None] | None = None) -> None:
        """Forget one of several that has ended."""
        self._others = [each for each in self._others if each is not stop]
        self._wakes = [each for each in self._wakes if each != wake] or [_nothing]

    def _handle(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        self._signals.put(signum)
        if not self._wakes and not self.stop.is_set():
            raise Stopped

    def _watch(self) -> None:
        self._signals.get()
        self.stop.set()
        for event in self._others:
            event.set()
        for wake in self._wakes:
            wake()
        try:
            again = self._signals.get(timeout=END_WITHIN)
        except queue.Empty:
            again = None
        os._exit(self._code if again is None else 128 + again)


_WATCHDOG = """
import os, select, signal, sys, time
parent, seconds = int(sys.argv[1]), float(sys.argv[2])
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_IGN)  # signals go to a whole group
end = None
while True:
    ready, _, _ = select.select([0], [], [], None if end is None else max(0.0, end - time.monotonic()))
    if not ready:
        break
    signals = os.read(0, 64)
    if not signals:
        sys.exit()  # it has ended
    if end is None and {signal.SIGINT, signal.SIGTERM} & set(signals):
        end = time.monotonic() + seconds
if os.getppid() == parent:
    os.kill(parent, signal.SIGKILL)
"""
_watchdogs: list[subprocess.Popen[bytes]] = []  # one that is collected would be waited for


def _keep_watch(seconds: float) -> None:
    """Have this process killed so many seconds after its first signal. Only in the main thread, which handles signals.

    The interpreter's own C handler writes the number of each signal into a pipe, whatever Python is doing.
    """
    if not hasattr(signal, "SIGKILL"):  # Windows, which waits for no pipe either
        return
    with suppress(OSError, ValueError):  # no process left for it, or no main thread: it would only be the last resort
        watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCHDOG, str(os.getpid()), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _watchdogs.append(watchdog)
        assert watchdog.stdin is not None
        os.set_blocking(watchdog.stdin.fileno(), False)
        signal.set_wakeup_fd(watchdog.stdin.fileno(), warn_on_full_buffer=False)


def _nothing() -> None:
    """There is nothing to wake any more."""
