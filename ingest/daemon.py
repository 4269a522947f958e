"""The life of the daemon: reconcile, then live, then drain, then stop.

One thread decides (`ingest.loop`); this class holds its state: what waits, what is under way, when to reconcile next.
That thread touches no disk: each source has workers of its own for that, so that a mount that hangs holds up no other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ingest.events.hints import Mark
from ingest.events.pending import Pending, PendingPath
from ingest.index.missing_indexes import Indexing
from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.intake import Intake
from ingest.loop import Loop, Repeated, Worker, Workers
from ingest.pipeline.commit import Committer, Held, Losing, Removal
from ingest.pipeline.examine import Fate, Verdict, examine
from ingest.pipeline.losses import Losses, Outcome
from ingest.pipeline.stages import GROUP, Pipeline, Room
from ingest.pipeline.vectors import Embedding
from ingest.reconcile.retry import Retries
from ingest.reconcile.walks import MOST_WAITING
from ingest.report import Reporter
from ingest.source.files import Key
from ingest.source.scan import Rules
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from ingest.tally import Tally
from recq.errors import IndexUnreachable, RecqError
from recq.images.workers import DecodePool
from recq.index.catalog import Catalog
from recq.index.schema import FieldType, ItemError, Value
from recq.settings import Settings

T = TypeVar("T")

DRAIN_WITHIN = 3.0
"""Seconds for the batch in flight after a stop was asked for, of the 5 that the daemon has to end."""

_DECIDES_WITHIN = 10.0  # seconds for the loop's thread to answer another one
_EXAMINED_AT_ONCE = 32
_FLUSH_AFTER = 1.0  # seconds without a write until the embedded engine's journal is shortened
_MISFIT = (
    "stored, but filters on the field do not find it; a field's type is fixed while the catalog has sources: "
    "forget every source and index again to change it"
)
_PROGRESS = 0.1  # seconds between two looks of the bar
_FOREVER = 3600.0  # seconds; the loop wakes now and then even when nothing is to be done


class Daemon:
    """Keeps one catalog equal to its sources. `run` returns when `once` is done or a stop was asked for."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        sources: Sources,
        pool: DecodePool,
        embedder: Embedding,
        retrier: Retrier,
        reporter: Reporter,
        *,
        stop: threading.Event,
        once: bool,
        flush: Callable[[], None] | None,
        old: Catalog | None = None,
        verify: bool = False,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._sources = sources
        self._retrier = retrier
        self._reporter = reporter
        self.tally = Tally(reporter)
        self._stop = stop
        self._once = once
        self._rules = Rules(settings.ignore)
        self._loop = Loop()
        self._index = RetryingIndex(catalog, retrier, old=old)
        self._committer = Committer(
            catalog, retrier, sources, self._rules, flush, self._index, rebuilding=old is not None
        )
        self._pending = Pending()
        self._pipeline = Pipeline(
            loop=self._loop,
            pool=pool,
            embedder=embedder,
            spec=catalog.space.input,
            vectors=self._index.vectors,
            committer=self._committer,
            batch=settings.batch,
            settle=settings.settle,
            ends=self,
        )
        self._intake = Intake(
            settings=settings,
            sources=sources,
            loop=self._loop,
            pending=self._pending,
            index=self._index,
            rules=self._rules,
            stop=stop,
            say=self.said,
            declare=self._declare,
            crowded=lambda source: self._pipeline.removing(source) >= MOST_WAITING,
            live=not once,
            verify=verify,
        )
        self._examiners = Workers("examine", self._loop)
        self._examining = 0  # paths, of all sources
        self._declarer = Worker("declare", self._loop)
        self._flusher = Repeated(Worker("flush", self._loop), self._committer.flush, _ended)
        self._measurer = Repeated(Worker("background", self._loop), self._look_at_all, _ended)
        self._indexing = Indexing(
            self._loop, catalog.fields, catalog.writes.probe, retrier, self.said, look_every=settings.rescan
        )
        self._losses = Losses(
            loop=self._loop,
            sources=sources,
            settle=settings.settle,
            pending=lambda name: self._pending.count(name)[0],
            reduce=self._committer.reduce,
            judged=self._losses_judged,
        )
        for watched in sources.values():
            self._pipeline.add(watched.name, str(watched.root))
        self._retries = Retries()
        self._flush_at = float("inf")
        self._next_progress = 0.0
        self._draining = False
        self.stopped = False

    # -- for other threads ----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What the daemon does now."""
        if self._draining:
            return "draining"
        if self._retrier.reason is not None:
            return "waiting"
        if self._intake.reconciling:
            return "reconciling"
        return "indexing" if self._pending else "idle"

    def pending(self, source: str) -> tuple[int, int]:
        """How many paths of a source wait or are under way, and how many of them the index does not have yet."""
        return self._pending.count(source)

    @property
    def indexes_waiting(self) -> int:
        """How many payload indexes of new fields are still to be made."""
        return self._indexing.left

    def look_for_requests(self) -> None:
        """Look in the index for what somebody asked for, soon."""
        self._loop.post(self._intake.look_for_requests)

    def compare(self, sources: Sequence[str], *, verify: bool = False) -> None:
        """Compare sources with the index, soon; `verify` reads the bytes of every file."""

        def compare() -> None:
            for name in sources:
                self._intake.compare(name, verify=verify)

        self._loop.post(compare)

    @property
    def live(self) -> bool:
        """Whether it watches; else it ends when all is done."""
        return not self._once

    def is_settled(self, source: str) -> bool:
        """Whether nothing is left to be done for a source. Raises IndexUnreachable where the daemon ends."""
        return self._decided(
            lambda: not (self._intake.is_comparing(source) or self.pending(source)[0] or self._indexing.left)
        )

    def begin(self, new: Sequence[WatchedSource], known: Sequence[str]) -> None:
        """Begin with other sources, whose names are new, and compare known ones.

        Raises IndexUnreachable where the daemon ends.
        """

        def begin() -> None:
            for watched in new:
                self._sources.add(watched)
                self._pipeline.add(watched.name, str(watched.root))
                self._intake.add(watched)
            for name in known:
                self._intake.compare(name)

        self._decided(begin)

    def _decided(self, decide: Callable[[], T]) -> T:
        """What the loop's thread says; asked from another one."""
        results: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._loop.post(lambda: None if self._draining else results.put(decide()))
        try:
            return results.get(timeout=_DECIDES_WITHIN)
        except queue.Empty:
            raise IndexUnreachable("the daemon is ending: try again in a moment") from None

    def wake(self) -> None:
        """Let the loop look at `stop`. Safe in a signal handler."""
        self._loop.post(_nothing)

    # -- life -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `once` is done or a stop was asked for. Raises whatever a worker died of."""
        self._catalog.writes.on_misfit = self._misfit
        try:
            self._intake.start()
            while not self._stop.is_set() and not (self._once and self._settled()):
                self._step()
            self.stopped = self._stop.is_set()
            if self._once and not self.stopped:
                self._look_at_all()
            self._drain()
            self._show()
        finally:
            self._stop.set()  # whatever still waits for the index gives up
            self._intake.stop()

    def _step(self) -> None:
        now = time.monotonic()
        self._intake.tick(now)
        if due := self._retries.take(now):
            self._intake.retry(due)
        self._begin(now)
        self._pipeline.tick(now)
        self._losses.tick(now)
        self._indexing.tick(now, hurry=self._once and self._all_written())
        if now >= self._flush_at and self._pipeline.idle:
            self._flush_at = float("inf")
            self._flusher.ask()
            self._measurer.ask()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS
            self._show()
        self._loop.turn(self._deadline())

    def _begin(self, now: float) -> None:
        """Let what is due be examined, while there is room."""
        for name in self._sources:
            room = self._room(name, now)
            fresh, backlog = min(_EXAMINED_AT_ONCE, room.fresh), min(_EXAMINED_AT_ONCE, room.backlog)
            if any(room) and (entries := self._pending.take(now, fresh, backlog, name)):
                self._examining += len(entries)
                self._examiners[name].submit(partial(self._examine, entries), self._examined)

    def _room(self, name: str, now: float) -> Room:
        """How many paths of a source may be examined now: few fresh ones at once, many in groups."""
        if self._examiners[name].busy:
            return Room(0, 0)
        room = self._pipeline.room(name, self._examining)
        return room if room.fresh >= min(GROUP, self._pending.fresh_due(now, name)) else Room(0, room.backlog)

    def _deadline(self) -> float:
        now = time.monotonic()
        deadlines = [
            now + _FOREVER,
            self._pipeline.next_deadline(),
            self._intake.next_deadline(),
            self._retries.next_deadline(),
            self._indexing.next_deadline(),
            self._losses.next_deadline(),
        ]
        if self._pipeline.idle:
            deadlines.append(self._flush_at)
        for name in self._sources:
            room = self._room(name, now)
            due = self._pending.next_due(name, fresh=room.fresh > 0, backlog=room.backlog > 0)
            if due is not None:
                deadlines.append(due)
        return min(deadlines)

    def _settled(self) -> bool:
        """Whether nothing is left to be done."""
        return self._all_written() and self._indexing.idle

    def _all_written(self) -> bool:
        deciding = self._examiners.busy or self._declarer.busy or not self._losses.idle
        return self._intake.idle and not deciding and not self._pending and self._pipeline.idle

    def _drain(self) -> None:
        """Finish what is under way, begin nothing; an index that is away is not waited for: the folder has it all."""
        self._draining = True
        deadline = time.monotonic() + DRAIN_WITHIN
        while (
            not (self._pipeline.drained and not self._losses.busy)
            and not self._retrier.away
            and time.monotonic() < deadline
        ):
            self._pipeline.tick(time.monotonic())
            self._loop.turn(min(deadline, self._pipeline.next_deadline()))

    def _show(self) -> None:
        done = self._pending.finished
        self._reporter.progress(
            self.state,
            done,
            done + len(self._pending),
            self.tally.counts.failed,
            known=not self._intake.reconciling,
        )
        if self._indexing.left and self._all_written():
            made, left = self._indexing.made, self._indexing.left
            self._reporter.stage("making indexes", made, made + left)

    def _look_at_all(self) -> None:
        """What is to be told of all that has been written, when no more comes.

        The scale of scores, so that no query has to measure it; and whether a source is another one's double.
        """
        with suppress(RecqError):
            self._catalog.background()
        for name, watched in self._sources.items():
            if self._index.look_for_double(watched):
                self._index.record_problems(name, watched.own_problems())

    # -- verdicts -------------------------------------------------------------------------------------------------

    def _examine(self, entries: Sequence[PendingPath]) -> Sequence[Verdict]:
        return examine(entries, self._sources, self._index, self._rules, time.monotonic())

    def _examined(self, verdicts: Sequence[Verdict]) -> None:
        self._examining -= len(verdicts)
        if self._draining:
            return
        now = time.monotonic()
        for verdict in verdicts:
            key = verdict.entry.key
            match verdict.fate:
                case Fate.EMBED:
                    self._pipeline.start(verdict)
                    continue
                case Fate.COMPARE:
                    self._pipeline.compare(verdict)
                    continue
                case Fate.METADATA:
                    self._pipeline.describe(verdict)
                    continue
                case Fate.DELETE:
                    self._pipeline.remove(verdict, now)
                    continue
                case Fate.SETTLING:
                    quiet = max(verdict.entry.observation.quiet, self._settings.settle)
                    self._intake.wait(verdict.entry, verdict.state, quiet)
                case Fate.SIDECAR:
                    self._intake.look({Key(key.source, verdict.picture or key.path): Mark.CLOSED})
                case Fate.TABLE:
                    self._intake.reload_table(key.source)
            self._pending.finish(key)

    def _declare(self, name: str, then: Callable[[], None]) -> None:
        types = self._sources[name].table.types
        self._declarer.submit(partial(self._committer.declare, types), lambda _: then())

    # -- what the pipeline tells ----------------------------------------------------------------------------------

    def finished(self, key: Key) -> None:
        """Nothing more is to be done for a path."""
        self._pending.finish(key)
        self._flush_at = time.monotonic() + _FLUSH_AFTER

    def attempted(self, key: Key, error: ItemError | None) -> None:
        """An item was embedded, or failed: for a passing cause it is tried again later."""
        if not self._once:
            self._retries.failed(key, error, time.monotonic())

    def held(self, held: Held) -> None:
        """Items have gone and stay in the index: whether they are really lost, a comparison finds, and says so.

        Where events told of it, the files may have moved on while it was asked where their bytes are.
        """
        if held.hinted and not self._once:
            self._intake.doubt(held.source)
        else:
            self._sources[held.source].held += held.items
            self.said("held", source=held.source, items=held.items, detail=held.detail)

    def losing(self, losing: Losing) -> None:
        """An item would lose metadata: that is judged when no more come, and its old place has gone."""
        self._pending.written(losing[0])
        self._losses.put(losing)

    def _losses_judged(self, keys: Sequence[Key], outcome: Outcome) -> None:
        written, held = outcome
        for item in written.done:
            self.said("metadata", source=item.file.source, path=item.file.path)
        for item, detail in written.refused:
            self.said("refused", source=item.file.source, path=item.file.path, detail=detail)
        for each in held:
            self.said("held", source=each.source, items=each.items, what="metadata", detail=each.detail)
            self._intake.record_problems(each.source)
        for key in keys:
            self.finished(key)

    def again(self, entry: PendingPath, quiet: float) -> None:
        """A path has to be looked at again."""
        self._intake.look_again(entry, quiet)

    def removable(self, removal: Removal) -> bool:
        """Whether no unfinished file may be the new place of one that has gone."""
        return not self._intake.may_appear(removal.size)

    def said(self, event: str, /, **fields: object) -> None:
        """Say that something happened, and count it."""
        self.tally.said(event, **fields)

    def _misfit(self, field: str, value: Value, field_type: FieldType) -> None:
        self._reporter.event("misfit", field=field, value=str(value), type=str(field_type), detail=_MISFIT)


def _nothing() -> None:
    """Wake the loop."""


def _ended(_: None) -> None:
    """Nothing follows."""
