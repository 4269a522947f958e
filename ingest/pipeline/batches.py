"""Batches: what is ready is collected for a short time and written together. Pure, but for the clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

from ingest.index.predictions import Refreshed
from ingest.pipeline.commit import Reread, Touched, Work
from ingest.source.files import Key
from recq.index.schema import Item

T = TypeVar("T")

LONGEST_WAIT = 0.2
"""Seconds that a finished item waits until its batch is written, however small."""

REPORT_AFTER = 10.0
"""Seconds after which it is reported what was predicted of a source, although more is under way."""

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
        self.predicting: Batch[Reread] = Batch(size)
        self._predicted: dict[str, Refreshed] = {}  # by field: what was done and is not reported yet
        self._report_at = float("inf")

    def __len__(self) -> int:
        return len(self.works) + len(self.touched) + len(self.describing) + len(self.predicting)

    @property
    def full(self) -> bool:
        """Whether the index is slower than the stages before it: they have to wait."""
        return any(each.full for each in (self.works, self.touched, self.describing, self.predicting))

    @property
    def report_at(self) -> float:
        """When predictions are to be reported (monotonic)."""
        return self._report_at

    def predicted(self, done: Sequence[Refreshed], now: float) -> None:
        """Note predictions that were written."""
        for each in done:
            self._predicted[each.field] = self._predicted.get(each.field, Refreshed(each.field)) + each
        if self._predicted:
            self._report_at = min(self._report_at, now + REPORT_AFTER)

    def take_predicted(self, now: float, *, alone: bool) -> list[Refreshed]:
        """What is to be reported now; `alone`: nothing of the source is under way."""
        if not self._predicted or not (alone or now >= self._report_at):
            return []
        taken, self._predicted, self._report_at = list(self._predicted.values()), {}, float("inf")
        return [each for each in taken if each.items]
