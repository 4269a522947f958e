"""What a program waits for, said when it lasts: one warning of the logger `recq.waiting`, within a second.

Both command lines print it as a line of their own on standard error; `recq-ingest` at work makes it an event. Whatever
waits may hang in the kernel, so a timer says it, not the one who waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("recq.waiting")

SAID_AFTER = 0.9
"""Seconds of silence that nobody minds."""


class Wait:
    """A wait under way. Both attributes may be changed until it is said, from any thread.

    `what` is waited for, `limit` is for how many seconds at most; None: for as long as it takes.
    """

    def __init__(self, what: str, limit: float | None) -> None:
        self.what = what
        self.limit = limit

    def __str__(self) -> str:
        limit = "as long as it takes (Ctrl-C ends it)" if self.limit is None else f"up to {self.limit:g} s"
        return f"waiting for {self.what}: {limit}"


def warn(message: str) -> None:
    """Say that something is waited for."""
    LOGGER.warning("%s", message)


@contextmanager
def waiting(what: str, limit: float | None, say: Callable[[str], None] = warn) -> Iterator[Wait]:
    """A block that may wait for `what`, up to `limit` seconds: `say` is told once, from another thread, if it lasts."""
    wait = Wait(what, limit)
    timer = threading.Timer(SAID_AFTER, lambda: say(str(wait)))
    timer.daemon = True
    timer.start()
    try:
        yield wait
    finally:
        timer.cancel()
