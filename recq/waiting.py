"""Reports what a program waits for when a wait lasts: one warning of the logger `recq.waiting`, within a second.

Both command lines print it as a line of its own on standard error; a running `recq-ingest` makes it an event. The
waiting thread may hang in the kernel, so a timer reports it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("recq.waiting")

REPORTED_AFTER = 0.9
"""Seconds after which a wait is reported."""


class Wait:
    """A wait under way. Both attributes may be changed until it is reported, from any thread.

    `what` names what is waited for; None while nothing needs to be reported. `limit` is in seconds; None: no limit.
    """

    def __init__(self, what: str | None, limit: float | None) -> None:
        self.what = what
        self.limit = limit

    @property
    def message(self) -> str | None:
        """The report; None while nothing needs to be reported."""
        what, limit = self.what, self.limit
        how_long = "as long as it takes (Ctrl-C ends it)" if limit is None else f"up to {limit:g} s"
        return None if what is None else f"waiting for {what}: {how_long}"


def warn(message: str) -> None:
    """Report a wait to the log."""
    LOGGER.warning("%s", message)


@contextmanager
def waiting(what: str, limit: float | None, report: Callable[[str], None] = warn) -> Iterator[Wait]:
    """A block that may wait for `what`, up to `limit` seconds.

    If the wait lasts, `report` is called once, from another thread.
    """
    wait = Wait(what, limit)
    over = threading.Event()
    threading.Thread(target=_watch, args=(wait, over, report), daemon=True).start()
    try:
        yield wait
    finally:
        over.set()


def _watch(wait: Wait, over: threading.Event, report: Callable[[str], None]) -> None:
    """Report the wait once, as soon as it has lasted and there is something to report."""
    while not over.wait(REPORTED_AFTER):
        message = wait.message
        if message is not None:
            report(message)
            return
