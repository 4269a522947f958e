"""Numbers for writes: each writer's are in the order in which its writes become visible (`recq.index.changes`).

A writer is one `Writes` of one process. It writes one batch at a time, from the numbers to the acknowledgement. A
write that was not acknowledged may still become visible, at any time: the writer then goes on as another one, so that
nobody takes what it writes next for a sign that this one is complete.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recq.errors import IndexUnreachable
from recq.index.changes import SETTLES, Numbers

_LOOK_EVERY = 30.0
"""Seconds after which the newest number is asked for again, so that one whose clock is late keeps up with others."""

_LATE = SETTLES / 2e6  # seconds


class Stamps:
    """The numbers of one writer. `newest` asks for the newest number that is visible; `clock` gives nanoseconds."""

    def __init__(self, newest: Callable[[], int], clock: Callable[[], int] = time.time_ns) -> None:
        self._newest = newest
        self._clock = clock
        self._lock = threading.Lock()
        self._by = _writer()
        self._last = 0
        self._looked = float("-inf")

    @contextmanager
    def batch(self, count: int) -> Iterator[Numbers]:
        """Numbers for a batch, which has to be acknowledged when the block ends; others wait until then.

        Raises IndexUnreachable after the block where it took so long that readers may have gone on without it: the
        batch has to be written once more.
        """
        with self._lock:
            began = time.monotonic()
            if began - self._looked >= _LOOK_EVERY:
                self._last = max(self._last, self._newest())
                self._looked = began
            first = max(self._clock() // 1000, self._last + 1)
            self._last = first + count - 1
            try:
                yield Numbers(self._by, first, count)
            except BaseException:
                self._by = _writer()
                raise
            took = time.monotonic() - began
        if took >= _LATE:
            raise IndexUnreachable(f"a write took {took:.0f} s: it is repeated")


def _writer() -> int:
    """A number that no other writer has."""
    return secrets.randbits(40)
