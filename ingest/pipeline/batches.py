"""Batches: what is ready is collected for a short time and written together. Pure, but for the clock."""

from __future__ import annotations

import time
from typing import Generic, TypeVar

from ingest.pipeline.commit import Touched, Work
from ingest.source.files import Key
from recq.index.schema import Item

T = TypeVar("T")

LONGEST_WAIT = 0.2
"""Seconds that a finished item waits until its batch is written, however small."""

_TOUCHED_AT_ONCE = 200  # ctimes in one request


class Batch(Generic[T]):
    """Things that are written together: when enough are ready, or the first has waited long enough."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: list[T] = []
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, thing: T) -> None:
        """Add to the batch."""
        if not self._ready:
            self._since = time.monotonic()
        self._ready.append(thing)

    @property
    def full(self) -> bool:
        """Whether two batches wait already."""
        return len(self._ready) >= 2 * self._size

    @property
    def deadline(self) -> float:
        """When the batch is due, however small it is (monotonic)."""
        return self._since + LONGEST_WAIT if self._ready else float("inf")

    def take(self, now: float, *, alone: bool) -> list[T]:
        """A batch that is due, or nothing; `alone`: nothing else of the source is under way."""
        if not (len(self._ready) >= self._size or now >= self.deadline or (alone and self._ready)):
            return []
        taken, self._ready = self._ready[: self._size], self._ready[self._size :]
        self._since = now
        return taken


class Outgoing:
    """The finished work of one source, in batches of `size`."""

    def __init__(self, size: int) -> None:
        self.works: Batch[Work] = Batch(size)
        self.touched: Batch[Touched] = Batch(_TOUCHED_AT_ONCE)
        self.describing: Batch[tuple[Key, Item]] = Batch(size)

    def __len__(self) -> int:
        return len(self.works) + len(self.touched) + len(self.describing)

    @property
    def full(self) -> bool:
        """Whether the index is slower than the stages before it: they have to wait."""
        return self.works.full or self.touched.full or self.describing.full
