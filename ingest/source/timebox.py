"""Work that may hang (a disk that does not answer, a plug-in), waited for no longer than a time.

Nothing can end a thread that hangs: it is left behind, and does not keep the process alive.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotAnswered(TimeoutError):
    """The work takes longer than it may. Work itself may raise TimeoutError, too, but not this."""


def within(seconds: float, work: Callable[[], T], name: str = "timebox") -> T:
    """The result of `work`, or what it raises. Raises NotAnswered (a TimeoutError, an OSError) when it takes longer."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise NotAnswered(f"no answer within {seconds:g} s")
    return results[0]


class Timebox:
    """The same for many short calls: threads that have answered are used again. Safe to use from several threads."""

    def __init__(self, seconds: float, name: str) -> None:
        self.seconds = seconds
        self._name = name
        self._idle: queue.SimpleQueue[_Caller] = queue.SimpleQueue()

    def __call__(self, work: Callable[[], T]) -> T:
        """The result of `work`, or what it raises. Raises NotAnswered when it takes longer than `seconds`."""
        try:
            caller = self._idle.get_nowait()
        except queue.Empty:
            caller = _Caller(self._name)
        results: list[T] = []
        error = caller.call(lambda: results.append(work()), self.seconds)
        self._idle.put(caller)  # one that has not answered is not put back
        if error is not None:
            raise error
        return results[0]


class _Caller:
    """A thread that makes one call after another."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def call(self, call: Callable[[], None], seconds: float) -> BaseException | None:
        """What the call raises, None where it returns. Raises NotAnswered."""
        self._calls.put(call)
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            raise NotAnswered(f"no answer within {seconds:g} s") from None

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            try:
                call()
            except BaseException as error:
                self._answers.put(error)
            else:
                self._answers.put(None)
