"""Makes the payload indexes of many new fields after the pictures were written, one after another, in a worker.

The index itself stores which of them wait (`recq.index.pending_fields`), so a daemon makes those that another daemon or
an import has left, and two daemons may do so at the same time. The embedded engine holds the whole process while it
makes an index, so each is followed by a pause of the same length, in which pictures and queries go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ingest.index.isolation import FIRST_TRIES, Isolation
from ingest.index.retrying import Retrier
from ingest.loop import Loop, Worker
from ingest.report import Say
from recq.index.pending_fields import Missing, Waiting
from recq.paths import shortened

_LONGEST_REASON = 500  # characters of an engine's refusal that are kept


class Fields(Protocol):
    """What is asked of the catalog's fields (`recq.index.fields.Fields`)."""

    @property
    def known_waiting(self) -> Waiting:
        """The indexes that are still to be made, without asking the index."""

    def waiting(self, *, refresh: bool) -> Waiting:
        """The same, read now."""

    def make(self, missing: Missing, /) -> None:
        """Make one of them."""

    def note_refused(self, missing: Missing, why: str, /) -> None:
        """Keep why one of them could not be made."""

    def note_made(self) -> None:
        """Remove the records of fields whose indexes are all there."""


@dataclass(frozen=True)
class _Step:
    """The result of one step: the index that was made or refused, None where none waits."""

    missing: Missing | None
    refused: str | None
    seconds: float


class Indexing:
    """Makes the indexes that wait. For the loop's thread, except `left`.

    The index is asked which wait at the start and every `look_every` seconds; those that this process declares are
    known.
    """

    def __init__(
        self,
        loop: Loop,
        fields: Fields,
        probe: Callable[[], object],
        retrier: Retrier,
        say: Say,
        *,
        look_every: float,
    ) -> None:
        self._fields = fields
        self._retrier = retrier
        self._isolation = Isolation(retrier, probe)
        self._say = say
        self._look_every = look_every
        self._worker = Worker("indexes", loop)
        self._refused: frozenset[Missing] = frozenset()
        self._look_at = 0.0
        self._next = 0.0
        self._began: float | None = None
        self._done: set[Missing] = set()

    @property
    def made(self) -> int:
        """How many were made since something waited. One may be made twice: a look at what waits that began before it
        was made shows it once more."""
        return len(self._done)

    @property
    def left(self) -> int:
        """How many indexes wait, as far as is known here; those that the index refused are not counted."""
        return sum(each not in self._refused for each in self._fields.known_waiting.indexes)

    @property
    def idle(self) -> bool:
        """Whether nothing waits; not before the first look."""
        return self._look_at > 0 and self._began is None and not self._worker.busy and not self.left

    def tick(self, now: float, *, hurry: bool) -> None:
        """Begin the next index; unless in a `hurry`, not before the pause after the last one is over."""
        if self._worker.busy or (now < self._next and not hurry):
            return
        left = self.left
        if left and self._began is None:
            self._began = now
            self._say("indexes", made=0, waiting=left, seconds=0.0)
        if self._began is not None or now >= self._look_at:
            self._look_at = now + self._look_every
            self._worker.submit(self._make, self._made)

    def next_deadline(self) -> float:
        """When `tick` has something to do although nothing was posted."""
        if self._worker.busy:
            return float("inf")
        return self._next if self._began is not None else self._look_at

    def _make(self) -> _Step:
        """In the worker."""
        started = time.monotonic()
        waiting = self._fields.known_waiting
        if (missing := waiting.next(self._refused)) is None:  # other processes may have declared more
            waiting = self._retrier(self._fields.waiting, refresh=True)
            missing = waiting.next(self._refused)
        refused = None
        if missing is None:
            if waiting.types:
                self._retrier(self._fields.note_made)
        else:
            error = self._isolation.refusal(lambda each: self._fields.make(each[0]), [missing], FIRST_TRIES)
            if error is not None:  # the engine refuses this index alone
                refused = shortened(str(error), _LONGEST_REASON)
                self._retrier(self._fields.note_refused, missing, refused)
        return _Step(missing, refused, time.monotonic() - started)

    def _made(self, step: _Step) -> None:
        now = time.monotonic()
        self._next = now + step.seconds
        if step.missing is None:
            if self._began is not None:
                self._say("indexes", made=self.made, waiting=self.left, seconds=round(now - self._began, 1))
            self._began, self._done = None, set()
        elif step.refused is not None:
            self._refused |= {step.missing}
            self._say("unindexed", field=step.missing.field, detail=step.refused)
        else:
            self._done.add(step.missing)
