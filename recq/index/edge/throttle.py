"""A repeated line is logged once a minute: an error that repeats thousands of times a second must not fill the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds between two records of one kind."""


class Throttle(logging.Filter):
    """Lets the first record of a kind through, and then one every `every` seconds, with the number of skipped records.

    A kind is a logger, a message before its values are put in, and the type of an exception. Thread-safe.
    """

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is logged; its message then has the number of similar ones that were not."""
        raised = record.exc_info[0] if record.exc_info else None
        kind = (record.name, str(record.msg).strip(), raised.__name__ if raised else "")
        now = self._clock()
        with self._lock:
            since, left_out = self._kinds.get(kind, (None, 0))
            if since is not None and now - since < self._every:
                self._kinds[kind] = (since, left_out + 1)
                return False
            self._kinds[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage().strip()} (and {left_out:,} times more since the last)", ()
        return True


_SHARED = Throttle()


def throttled(name: str) -> logging.Logger:
    """The logger `name`, whose repeated records are left out from now on."""
    logger = logging.getLogger(name)
    logger.addFilter(_SHARED)  # once, however often this is called
    return logger
