"""When sources are compared with the index, and what follows from a comparison.

A source is compared at the start, `rescan` seconds after the last comparison, after lost events, when its table or root
has changed, and on request: in this process, or through a shared index from another host. For the loop's thread; each
comparison runs in a worker of its source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from ingest.context import Context
from ingest.events.queue import Queue, SourceDue
from ingest.events.watches import Watches
from ingest.index.predictions import Predictions, Refreshed
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Loop, Repeated, Worker, Workers
from ingest.reconcile.compare import Action, Difference, Reconciliation, is_as_known
from ingest.reconcile.survivors import Survivors
from ingest.reconcile.walks import Walks
from ingest.source.files import Key
from ingest.source.guard import emptied, too_many
from ingest.source.held import Held
from ingest.source.other_daemons import is_living_other, own_watcher, started
from ingest.source.watched_source import WatchedSource
from recq import paths
from recq.index.schema import Item
from recq.index.sources import Watcher

_ANOTHER = "another daemon watches this source, too: both make the same index, but the work is done twice"

_DOUBTED_AFTER = 1.0  # seconds until a comparison during which something happened is repeated
_DOUBTED_SHARE = 10  # or this many times as long as it took: a source that always changes is not always compared


@dataclass(frozen=True)
class _Asked:
    """Requests that were left in the index: failed items to be tried again, sources to be compared."""

    retry: Sequence[Key]
    compare: Sequence[str]


_Predicted = tuple[Mapping[str, str], Sequence[Refreshed]]
"""The fields without a predictor, with the reason, and what was done for the others."""


class _Refreshes:
    """Predictions that follow comparisons: of each source one run is under way and one more waits at most."""

    def __init__(self, work: Callable[[str], _Predicted], then: Callable[[str, _Predicted], None], loop: Loop) -> None:
        self._work = work
        self._then = then
        self._workers = Workers("predictions", loop)
        self._each: dict[str, Repeated[_Predicted]] = {}

    def __getitem__(self, source: str) -> Repeated[_Predicted]:
        if source not in self._each:
            worker = self._workers[source]
            self._each[source] = Repeated(worker, partial(self._work, source), partial(self._then, source))
        return self._each[source]

    @property
    def busy(self) -> bool:
        """Whether any runs."""
        return any(each.busy for each in self._each.values())


class Schedule:
    """Takes sources from the queue and compares them; what is found goes through `walks` into the queue.

    After each comparison the source's watch is renewed and its predictions are brought up to date. `verify`: every
    comparison reads the bytes of every file.
    """

    def __init__(
        self,
        context: Context,
        queue: Queue,
        index: RetryingIndex,
        walks: Walks,
        watches: Watches,
        predictions: Predictions,
        *,
        verify: bool,
    ) -> None:
        self._context = context
        self._queue = queue
        self._index = index
        self._walks = walks
        self._watches = watches
        self._predictions = predictions
        self._unpredicted: dict[str, str] = {}  # fields that have no predictor, with the reason that was reported
        self._verify_all = verify
        self._workers = Workers("reconcile", context.loop)
        self._refreshes = _Refreshes(self._refresh, self._refreshed, context.loop)
        self._requests = Repeated(Worker("requests", context.loop), self._asked, self._answer)
        self._due: dict[str, dict[SourceDue, float]] = {}  # by source: why it has to be compared, and when (monotonic)
        self._under_way = queue.comparing
        self._undecided: dict[str, tuple[Reconciliation, float]] = {}  # with the time to decide anyway
        self._confirmed: set[str] = set()  # sources whose comparison under way knows of a confirmation
        self._seen: set[str] = set()  # sources that have been compared; of the worker, as is
        self._met: set[tuple[str, str, int]] = set()  # other daemons
        self._passes: dict[str, float] = {}  # when the pass began in which deletions are counted
        self._took: dict[str, float] = {}  # seconds of the last comparison
        self._finished: dict[str, int] = {}  # paths that had been worked on when the comparison under way began
        shared = context.live and context.settings.url is not None  # others can leave requests in the index
        self._next_ask = time.monotonic() + context.settings.poll_interval if shared else float("inf")

    @property
    def idle(self) -> bool:
        """Whether nothing is being compared, or waits to be decided."""
        return not (self._workers.busy or self._under_way or self._requests.busy or self._refreshes.busy)

    @property
    def comparing(self) -> bool:
        """Whether folder and index are being compared."""
        return bool(self._under_way)

    def is_predicting(self, name: str) -> bool:
        """Whether the predictions of a source are being brought up to date."""
        return self._refreshes[name].busy

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        dues = (at for name, dues in self._due.items() if name not in self._under_way for at in dues.values())
        return min([self._next_ask, *dues, *(latest for _, latest in self._undecided.values())])

    def tick(self, now: float) -> None:
        """Begin comparisons that are due, and make decisions that can be made now."""
        for due in self._queue.take_sources():
            self._ask(due)
        for name in list(self._due):
            self._begin_due(name)
        for name, (reconciliation, latest) in list(self._undecided.items()):
            if now >= latest or not self._queue.paths.count(name)[1]:  # nothing new waits to be indexed
                del self._undecided[name]
                self._workers[name].submit(partial(self._decide, name, reconciliation), partial(self._compared, name))
        if now >= self._next_ask:
            self._next_ask = now + self._context.settings.poll_interval
            self.look_for_requests()

    def look_for_requests(self) -> None:
        """Look in the index for items that were marked to be tried again, and for deletions that were confirmed."""
        self._requests.ask()

    def _ask(self, due: SourceDue, after: float | None = None) -> None:
        """Compare a source `after` so many seconds, at once without any; when one is under way, not before it ends.

        A doubt waits for a while in any case: what has gone may have moved, and is still being found.
        """
        if after is None:
            took = self._took.get(due.name, 0.0)
            after = max(_DOUBTED_AFTER, _DOUBTED_SHARE * took) if due.doubted else 0.0
        dues, at = self._due.setdefault(due.name, {}), time.monotonic() + after
        dues[due] = min(dues.get(due, at), at)
        self._begin_due(due.name)

    def _begin_due(self, name: str) -> None:
        """Compare a source where that is due: one comparison for all the reasons that there are.

        Where they are doubts alone, no new pass begins: what was deleted stays counted among what may go. Nor does one
        while deletions that were confirmed still wait to be made, however long: a new pass would not know of the
        confirmation.
        """
        now = time.monotonic()
        ripe = [due for due, at in self._due.get(name, {}).items() if at <= now]
        if not ripe or name in self._under_way:
            return
        del self._due[name]
        self._under_way.add(name)
        verify = self._verify_all or any(due.verify for due in ripe)
        same_pass = now < self._passes.get(name, now) + self._context.settings.rescan
        confirmed = self._context.sources[name].guard.confirmed and self._queue.paths.absent(name) > 0
        resumed = confirmed or (same_pass and all(due.doubted for due in ripe))
        if not resumed:
            self._passes[name] = now
        self._finished[name] = self._queue.paths.finished
        self._queue.comparison_begins(name)
        self._workers[name].submit(partial(self._compare, name, verify, resumed), partial(self._compared, name))

    # -- in workers -----------------------------------------------------------------------------------------------

    def _compare(self, name: str, verify: bool, resumed: bool) -> tuple[Reconciliation, float]:
        """Hand over every difference between a source and the index."""
        began = time.monotonic()
        self._index.require_current()
        confirmed = self._index.confirmed().get(name)
        confirmed_metadata = self._index.confirmed_metadata().get(name)
        if confirmed is not None or confirmed_metadata is not None:
            self._confirmed.add(name)
        reconciliation = Reconciliation(
            self._context.sources[name],
            self._index,
            first=name not in self._seen,
            verify=verify,
            confirmed=confirmed,
            confirmed_metadata=confirmed_metadata,
            resumed=resumed,
            keep=self._index.keep_ctimes,
            others=partial(self._note_others, name),
            compared_ns=self._index.compared_ns(name),
        )
        self._walks.hand_over(name, reconciliation.differences())
        self._seen.add(name)
        if not reconciliation.undecided:
            self._record(name, reconciliation)
        return reconciliation, began

    def _note_others(self, name: str, found: Sequence[tuple[str, int]]) -> None:
        files = [(Key(name, path), size) for path, size in found]
        self._context.loop.post(lambda: self._queue.others.appeared(files, time.monotonic()))

    def _decide(self, name: str, reconciliation: Reconciliation) -> tuple[Reconciliation, float]:
        """Hand over deletions of items that have moved or may go."""
        began = time.monotonic()
        self._walks.hand_over(name, reconciliation.decided(Survivors(self._index, self._context.sources, name)))
        reconciliation.undecided = False
        self._record(name, reconciliation)
        return reconciliation, began

    def _record(self, name: str, reconciliation: Reconciliation) -> None:
        watched = self._context.sources[name]
        watched.held = reconciliation.held
        own = own_watcher()
        last = self._index.record_reconcile(
            watched,
            watcher=own if self._context.live else None,
            confirmed=reconciliation.confirmed,
            confirmed_metadata=reconciliation.confirmed_metadata,
        )
        if last and is_living_other(last, own, within=2 * self._context.settings.rescan, started=started):
            self._meet(name, last)

    def _meet(self, source: str, other: Watcher) -> None:
        """Report another daemon that works on a source, once each."""
        if (source, other.host, other.pid) not in self._met:
            self._met.add((source, other.host, other.pid))
            self._context.say("another", source=source, host=other.host, process=other.pid, detail=_ANOTHER)

    def _refresh(self, name: str) -> _Predicted:
        """Bring the predictions of a source up to date; pictures that have to be read for it are handed over."""
        return self._predictions.reload(), self._predictions.refresh(name, partial(self._read_again, name))

    def _read_again(self, name: str, items: Iterator[Item]) -> None:
        self._walks.hand_over(name, self._files_of(name, items))

    def _files_of(self, name: str, items: Iterator[Item]) -> Iterator[Difference]:
        """The files of items that are as they were when they were indexed; all others are found anyhow."""
        for item in items:
            path = paths.from_text(item.file.path, item.file.encoded)
            with suppress(OSError):
                seen = self._context.sources[name].look(path)
                if seen is not None and is_as_known(seen.state, item):
                    yield Difference(path, seen.state, item, Action.PREDICT)

    def _asked(self) -> _Asked:
        """The requests that are in the index."""
        self._index.require_current()  # else it would go on filling what a rebuild elsewhere has replaced
        marked = [item.file for name in self._context.sources for item in self._index.marked(name)]
        keys = [Key(file.source, paths.from_text(file.path, file.encoded)) for file in marked]
        confirmed = self._index.confirmed().keys() | self._index.confirmed_metadata().keys()
        return _Asked(keys, [name for name in self._context.sources if name in confirmed])

    # -- afterwards -----------------------------------------------------------------------------------------------

    def _answer(self, asked: _Asked) -> None:
        if asked.retry:
            self._queue.retry(asked.retry)
        for name in asked.compare:
            if name not in self._confirmed:
                self._ask(SourceDue(name))

    def _compared(self, name: str, outcome: tuple[Reconciliation, float]) -> None:
        reconciliation, began = outcome
        if reconciliation.undecided:
            self._undecided[name] = reconciliation, time.monotonic() + self._context.settings.rescan
            return
        watched = self._context.sources[name]
        for folder in reconciliation.unreadable:
            self._context.say(
                "unreadable", source=name, path=paths.to_text(folder.path)[0] or ".", detail=folder.reason
            )
        self._report_held(watched, reconciliation)
        self._context.say(
            "reconciled",
            source=name,
            items=reconciliation.items,
            ignored=len(watched.ignored),
            changes=reconciliation.differing,
            seconds=round(time.monotonic() - began, 3),
        )
        self._took[name] = time.monotonic() - began
        self._watches.renew(name)
        self._refreshes[name].ask()
        self._under_way.discard(name)
        knew = name in self._confirmed
        self._confirmed.discard(name)
        if self._context.live:
            if knew:  # another confirmation may have come meanwhile, which `_answer` left out
                self.look_for_requests()
            # What went on meanwhile may have been counted twice, here and where events are judged.
            held = reconciliation.held or reconciliation.held_metadata is not None
            doubt = SourceDue(name, doubted=True)
            noted = self._due.get(name, {}).pop(doubt, None) is not None  # it waits from now on
            if noted or (held and self._queue.paths.finished != self._finished[name]):
                self._ask(doubt)
            self._ask(SourceDue(name), after=self._context.settings.rescan)
        self._begin_due(name)

    def _refreshed(self, name: str, outcome: _Predicted) -> None:
        missing, done = outcome
        for each in done:
            self._context.say("predicted", source=name, **vars(each))
        for field, why in missing.items():
            if self._unpredicted.get(field) != why:
                self._context.say("unpredicted", field=field, detail=why)
        self._unpredicted = dict(missing)

    def _report_held(self, watched: WatchedSource, reconciliation: Reconciliation) -> None:
        """Report what a comparison holds, or that it holds nothing any more."""
        if reconciliation.held:
            rule = reconciliation.ignored_by
            everything = reconciliation.items == 0
            detail = emptied(watched.name, watched.root, rule) if everything else too_many(watched.name, rule)
            self._context.report_held(Held(watched.name, reconciliation.held, detail))
        else:
            watched.held_reports.clear(metadata=False)
        if reconciliation.held_metadata is not None:
            detail = reconciliation.held_metadata
            self._context.report_held(Held(watched.name, reconciliation.losing, detail, metadata=True))
        else:
            watched.held_reports.clear(metadata=True)
