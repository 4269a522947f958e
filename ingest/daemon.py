"""The daemon: wires its parts, starts them, and runs them until all is done or a stop is requested.

One thread decides (`ingest.loop`). It touches no disk: each source has workers of its own for that, so that a mount
that hangs holds up no other. To follow a path, read in this order: `ingest.events.watches` (hints) and
`ingest.reconcile.schedule` (the truth) fill `ingest.events.queue`; `ingest.pipeline.examine` takes from it, and
`decode`, `embed`, `write` and `commit`, or `removal`, follow.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ingest.context import Context
from ingest.events.hints import Mark
from ingest.events.queue import Queue
from ingest.events.watches import Watches
from ingest.index.missing_indexes import Indexing
from ingest.index.predictions import Predictions
from ingest.index.retrying import Retrier
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Loop, Quiet
from ingest.pipeline.afterwards import Afterwards
from ingest.pipeline.commit import Committer
from ingest.pipeline.decode import Decode
from ingest.pipeline.embed import Embed, Embedding
from ingest.pipeline.examine import Examine, Exits
from ingest.pipeline.losses import Losses
from ingest.pipeline.places import GROUP, Places
from ingest.pipeline.removal import Deleter, Removals
from ingest.pipeline.write import Write
from ingest.reconcile.claims import Claims
from ingest.reconcile.disks import Disks
from ingest.reconcile.schedule import Schedule
from ingest.reconcile.walks import Walks
from ingest.report import Reports
from ingest.source.files import Key
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from ingest.tally import Tally
from recq.errors import IndexUnreachable
from recq.heartbeat import SILENT, Heartbeat
from recq.images.workers import DecodePool
from recq.index.catalog import Catalog
from recq.index.schema import FieldType, Value
from recq.settings import Settings

T = TypeVar("T")

DRAIN_WITHIN = 3.0
"""Seconds for the batch in flight after a stop was requested, of the 5 in which the daemon has to end."""

_DECIDES_WITHIN = 10.0  # seconds for the loop's thread to answer another one
_MISFIT = (
    "stored, but filters on the field do not find it; a field's type is fixed while the catalog has sources: "
    "forget every source and index again to change it"
)
_QUIET_AFTER = 1.0  # seconds without anything to do, after which it counts as resting
_PROGRESS = 0.1  # seconds between two looks of the bar
_GATHER = 0.02
"""Seconds for which results are gathered before the stages are looked through again, while many paths are under way.

A backlog posts four calls a picture, and each look through all stages takes as long as five of them."""

_FOREVER = 3600.0  # seconds; the loop wakes now and then even when there is nothing to do


class Daemon:
    """Keeps one catalog equal to its sources. `run` returns when `once` is done or a stop was asked for.

    A daemon that is `fed` sees to the paths that it is given (`see_to`) and to no others, until a stop.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        sources: Sources,
        pool: DecodePool,
        embedder: Embedding,
        retrier: Retrier,
        reporter: Reports,
        *,
        stop: threading.Event,
        once: bool,
        flush: Callable[[], None] | None,
        old: Catalog | None = None,
        verify: bool = False,
        fed: bool = False,
    ) -> None:
        self._catalog = catalog
        self._fed = fed
        self._waiting: list[threading.Event] = []
        self._retrier = retrier
        self._reporter = reporter
        self.tally = Tally(reporter)
        self._loop = Loop()
        self._context = context = Context(settings, sources, self._loop, self.tally.report, stop, live=not once)
        self._index = index = RetryingIndex(catalog, retrier, old=old, part=settings.part)
        self._predictions = predictions = Predictions(catalog, settings, retrier, stop)
        self._committer = committer = Committer(
            catalog, retrier, sources, index, rebuilding=old is not None, predictions=predictions
        )
        deleter = Deleter(catalog, retrier, sources, index)
        # Each part knows only parts that were made before it; the queue knows none.
        self._queue = Queue(context)
        self._afterwards = Afterwards(context, catalog, index, flush)
        self._losses = Losses(context, self._queue, committer, index, self._afterwards)
        self._removals = Removals(context, self._queue, deleter, self._afterwards)
        self._places = Places(embedder.capacity)
        self._write = Write(context, self._queue, self._places, committer, self._losses, self._afterwards)
        embed = Embed(
            self._loop,
            embedder,
            lambda digests: predictions.carried(index.vectors(digests)),
            self._write,
            more=lambda: predictions.reads_pictures,
        )
        self._decode = Decode(
            context, self._queue, self._places, pool, catalog.space.input, embed=embed, write=self._write
        )
        self._disks = Disks(context, self._queue, index, committer.declare)
        exits = Exits(self._decode, self._write, self._removals, self._disks)
        self._examine = Examine(context, self._queue, index, self._places, exits, fed=fed)
        self._walks = Walks(context, self._queue, index)
        self._watches = Watches(context, self._queue)
        self._schedule = Schedule(context, self._queue, index, self._walks, self._watches, predictions, verify=verify)
        self._claims = Claims(context, catalog, retrier, lambda name: self._queue.paths.count(name)[0])
        self._indexing = Indexing(
            self._loop, catalog.fields, catalog.writes.probe, retrier, self.tally.report, look_every=settings.rescan
        )
        self._next_progress = 0.0
        self._draining = False
        self.stopped = False
        self.heartbeat: Heartbeat = SILENT
        """Beats at the steps of this daemon; of two that run while the catalog moves, one has it."""
        self._quiet, self._rested = Quiet(_QUIET_AFTER), _nothing

    # -- for other threads ----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The daemon's state, as `recq-ingest status` shows it."""
        if self._draining:
            return "draining"
        if self._retrier.reason is not None:
            return "waiting"
        if self._reconciling:
            return "reconciling"
        return "indexing" if self._queue.paths else "idle"

    def pending(self, source: str) -> tuple[int, int]:
        """How many paths of a source wait or are under way, and how many of them the index does not have yet."""
        return self._queue.paths.count(source)

    def oldest_pending(self, source: str) -> float | None:
        """For how many seconds the path of a source that came first has waited or been under way; None: none does."""
        since = self._queue.paths.oldest(source)
        return None if since is None else time.monotonic() - since

    @property
    def indexes_waiting(self) -> int:
        """How many payload indexes of new fields are still to be made."""
        return self._indexing.left

    @property
    def reason(self) -> str | None:
        """Why the index is waited for; None: it answers."""
        return self._retrier.reason

    def tell_of_rest(self, rested: Callable[[], None]) -> None:
        """Have `rested` called in the loop's thread when all is compared and written and nothing has come for a moment:
        once now, and again each time that there was something to do."""

        def begin() -> None:
            self._quiet, self._rested = Quiet(_QUIET_AFTER), rested

        self._loop.post(begin)

    def adopt(self) -> None:
        """The collection that is filled is the catalog's from now on."""
        self._index.adopt()
        self._committer.adopt()

    def retire(self) -> None:
        """The catalog moves away from the collection: what is under way is finished, and the daemon is stopped then."""
        self._index.retire()

    def look_for_requests(self) -> None:
        """Look in the index for requests, soon."""
        self._loop.post(self._schedule.look_for_requests)

    def compare(self, sources: Sequence[str], *, verify: bool = False) -> None:
        """Compare sources with the index, soon; `verify` reads the bytes of every file."""

        def compare() -> None:
            for name in sources:
                self._queue.compare(name, verify=verify)

        self._loop.post(compare)

    @property
    def live(self) -> bool:
        """Whether it watches; else it ends when all is done."""
        return self._context.live

    def is_settled(self, source: str) -> bool:
        """Whether nothing is left to be done for a source. Raises IndexUnreachable where the daemon ends."""
        return self._decided(lambda: self._is_settled(source) and not self._indexing.left)

    def begin(self, new: Sequence[WatchedSource], known: Sequence[str]) -> None:
        """Begin with other sources, whose names are new, and compare known ones.

        Raises IndexUnreachable where the daemon ends.
        """

        def begin() -> None:
            for watched in new:
                self._context.sources.add(watched)
                self._add(watched)
            for name in known:
                self._queue.compare(name)

        self._decided(begin)

    def see_to(self, marks: Mapping[Key, Mark]) -> threading.Event:
        """Have these paths looked at, of a daemon that is `fed`. The event is set when nothing is left to be done."""
        done = threading.Event()

        def look() -> None:
            self._queue.look(marks)
            self._waiting.append(done)

        self._loop.post(look)
        return done

    def _decided(self, decide: Callable[[], T]) -> T:
        """The result of `decide` in the loop's thread, called from another one."""
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
        """Work until `once` is done or a stop is requested. Raises what a worker raised."""
        stop, once = self._context.stop, not self._context.live
        self._catalog.writes.on_misfit = self._misfit
        self._predictions.reload()  # before the first write
        try:
            for watched in self._context.sources.values():
                self._add(watched)
            while not stop.is_set() and not (once and not self._fed and self._settled()):
                self._step()
            self.stopped = stop.is_set()
            if once and not self.stopped:
                self._afterwards.finish()
            self._drain()
            self._show()
        finally:
            stop.set()  # calls that still wait for the index end
            self._walks.end()
            self._watches.stop()
            self._loop.end()

    def _add(self, watched: WatchedSource) -> None:
        """Begin with a source: first the parts that keep a state for each source, then those that fill the queue."""
        name = watched.name
        for stage in (self._places, self._write, self._decode, self._afterwards, self._walks):
            stage.add(name)
        for part in (self._queue, self._disks):
            part.add(watched)
        if not self._fed:
            self._watches.add(watched)

    def _step(self) -> None:
        now = time.monotonic()
        self.heartbeat.tick(now)
        for part in (self._queue, self._walks, self._schedule, self._disks):
            part.tick(now)
        for stage in (self._examine, self._decode, self._write, self._removals, self._losses):
            stage.tick(now)
        self._claims.tick(now)
        self._indexing.tick(now, hurry=not self._context.live and self._all_written())
        if self._idle:
            self._afterwards.tick(now, self._is_settled)
        if self._context.live and self._quiet.tick(now, nothing_left=self._settled()):
            self._rested()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS
            self._show()
        if self._waiting and self._settled():
            for waiting in self._waiting:
                waiting.set()
            self._waiting.clear()
        self._loop.turn(self._deadline(), gather=_GATHER if self._places.taken >= GROUP else 0.0)

    def _deadline(self) -> float:
        now = time.monotonic()
        filling = (self._queue, self._walks, self._schedule, self._disks)
        stages = (self._decode, self._write, self._removals, self._losses)
        deadlines = [
            now + _FOREVER,
            self.heartbeat.next_deadline(),
            self._examine.next_deadline(now),
            self._indexing.next_deadline(),
            self._quiet.next_deadline(),
            self._claims.next_deadline(),
            *(part.next_deadline() for part in filling),
            *(stage.next_deadline() for stage in stages),
        ]
        if self._idle:
            deadlines.append(self._afterwards.next_deadline())
        return min(deadlines)

    @property
    def _reconciling(self) -> bool:
        """Whether folder and index are being compared, or soon will be."""
        return bool(self._watches.beginning) or self._schedule.comparing or self._queue.sources_due

    def _is_settled(self, source: str) -> bool:
        """Whether a source is compared, and all of it written."""
        beginning = source in self._watches.beginning
        deciding = self._queue.is_compared(source) or self._schedule.is_predicting(source)
        return not (beginning or deciding or self.pending(source)[0])

    def _settled(self) -> bool:
        """Whether nothing is left to be done."""
        return self._all_written() and self._indexing.idle

    def _all_written(self) -> bool:
        if self._places.taken or self._queue.paths or not self._idle:  # asked at every step, and mostly so
            return False
        filling = (self._queue, self._watches, self._walks, self._schedule, self._disks)
        return all(each.idle for each in (*filling, self._examine, self._losses))

    @property
    def _idle(self) -> bool:
        """Whether nothing is under way, and no removal waits."""
        return self._drained and self._removals.idle

    @property
    def _drained(self) -> bool:
        """Whether nothing is under way."""
        return not self._places.taken and self._write.idle and not self._removals.busy

    def _drain(self) -> None:
        """Finish what is under way and begin nothing. An index that is away is not waited for: no file is lost."""
        self._draining = True
        deadline = time.monotonic() + DRAIN_WITHIN
        while not (self._drained and not self._losses.busy) and not self._retrier.away and time.monotonic() < deadline:
            stages = (self._decode, self._write, self._removals)
            for stage in stages:
                stage.tick(time.monotonic())
            self._loop.turn(min(deadline, *(stage.next_deadline() for stage in stages)))

    def _show(self) -> None:
        done = self._queue.paths.finished
        self._reporter.progress(
            self.state,
            done,
            done + len(self._queue.paths),
            self.tally.counts.failed,
            known=not self._reconciling,
        )
        if self._indexing.left and self._all_written():
            made, left = self._indexing.made, self._indexing.left
            self._reporter.stage("making indexes", made, made + left)

    def _misfit(self, field: str, value: Value, field_type: FieldType) -> None:
        self._reporter.event("misfit", field=field, value=str(value), type=str(field_type), detail=_MISFIT)


def _nothing() -> None:
    """Wake the loop."""
