"""When a failed item is tried again although its file has not changed.

Some causes lie outside the file and leave no trace in it: a disk that did not answer, a permission, a lock, a network
that failed, an index that refused it. Such items are tried again, each time after twice as long. All other items wait
until their file changes, or until `recq-ingest retry`, which marks the item in the index.
"""

from __future__ import annotations

import heapq
from datetime import datetime

from ingest.source.files import Key
from recq.errors import Reason
from recq.index.schema import ItemError

PASSING = frozenset({Reason.IO_ERROR, Reason.PERMISSION, Reason.INFERENCE, Reason.REFUSED})
"""Failures whose cause lies outside the file and leaves no trace in it."""

FIRST = 5.0
"""Seconds after the first failure; doubled with each attempt, up to"""
LONGEST = 3600.0

_MOST = 10_000  # items whose next attempt is kept; a reconcile finds the others


def delay(attempts: int) -> float:
    """Seconds from the last of so many attempts to the next."""
    return min(LONGEST, FIRST * 2.0 ** min(attempts - 1, 20))


def is_due(error: ItemError, now: datetime) -> bool:
    """Whether an item is tried again now, although its file has not changed."""
    if error.retry:
        return True
    if error.reason not in PASSING:
        return False
    age = (now - datetime.fromisoformat(error.at)).total_seconds()
    return age < 0 or age >= delay(error.attempts)  # a failure in the future: the clock was set back


class Retries:
    """The next attempts that are known, by time. For the loop's thread."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}

    def failed(self, key: Key, error: ItemError | None, now: float) -> None:
        """Note the end of an attempt, with or without an error; `now` is monotonic."""
        self._due.pop(key, None)
        if error is not None and error.reason in PASSING and len(self._due) < _MOST:
            due = now + delay(error.attempts)
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))

    def next_deadline(self) -> float:
        """When the next attempt is due."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # another attempt was made meanwhile
        return self._heap[0][0] if self._heap else float("inf")

    def take(self, now: float) -> list[Key]:
        """The items that are due."""
        keys = []
        while self.next_deadline() <= now:
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            keys.append(key)
        return keys
