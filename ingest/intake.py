"""How paths come to wait: events, walks, reconciles, tables. Nothing is decided here; everything is a hint.

Runs in the loop's thread; what touches disk or index runs in workers. A walk pauses while too many paths wait already,
so that the memory of a first run over millions of files is bounded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from ingest.company import is_living_other, own_watcher, started
from ingest.files import FileState, Key
from ingest.hints import Hints, Mark, Noticed, observation_of
from ingest.loop import Loop, Stopping, Worker
from ingest.patient_index import PatientIndex
from ingest.pending import Entry, Pending
from ingest.reconcile import Difference, Reconciliation
from ingest.report import Say
from ingest.scan import Kind, Rules, Unreadable, look, walk
from ingest.stability import observe
from ingest.table import TABLE_NAME
from ingest.watch import Watch
from ingest.watched import Watched
from recq import paths
from recq.errors import UsageError
from recq.index.sources import Watcher
from recq.settings import Settings

MOST_WAITING = 100_000
"""Paths that may wait before walks pause."""

_CHUNK = 500  # paths that a walk hands over at a time
_ANOTHER = "another daemon watches this source, too: the two agree, but do the work twice"


class Intake:
    """Fills `pending`. `declared(name, then)` is asked to fix the types of a source's new table, and then to call.

    With `live`, the sources are watched and looked at again every `rescan` seconds.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        sources: Mapping[str, Watched],
        loop: Loop,
        pending: Pending,
        index: PatientIndex,
        rules: Rules,
        stop: threading.Event,
        say: Say,
        declare: Callable[[str, Callable[[], None]], None],
        live: bool,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._loop = loop
        self._pending = pending
        self._index = index
        self._rules = rules
        self._stop = stop
        self._say = say
        self._declare = declare
        self._live = live
        self._hints = Hints(lambda: loop.post(self._drain_hints))
        self._watches = {name: self._watch(watched) for name, watched in sources.items()} if live else {}
        self._looker = Worker("look", loop)
        self._folders = Worker("folders", loop)
        self._reconciler = Worker("reconcile", loop)
        self._may_walk = threading.Event()
        self._may_walk.set()
        self._reconciling: set[str] = set()
        self._once_more: set[str] = set()
        self._met: set[tuple[str, str, int]] = set()  # other daemons; of the reconciler's thread
        self._next_reconcile = float("inf")
        self._next_check = float("inf")

    # -- for the daemon -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is being looked for."""
        return not (self._looker.busy or self._folders.busy or self._reconciler.busy)

    @property
    def reconciling(self) -> bool:
        """Whether folder and index are being compared."""
        return bool(self._reconciling)

    @property
    def walking_folders(self) -> bool:
        """Whether folders that appeared or went are still being walked."""
        return self._folders.busy > 0

    def start(self) -> None:
        """Watch first, then compare: what happens in between is noticed."""
        for watch in self._watches.values():
            watch.start()
        if self._live:
            self._next_check = time.monotonic() + self._settings.poll_interval
        self._reconcile_all()

    def stop(self) -> None:
        """End the watches and wake a walk that pauses."""
        self._may_walk.set()
        for watch in self._watches.values():
            watch.stop()

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._next_reconcile, self._next_check)

    def tick(self, now: float) -> None:
        """What the clock asks for."""
        if self._pending.waiting < MOST_WAITING:
            self._may_walk.set()
        if now >= self._next_reconcile:
            self._reconcile_all()
        if now >= self._next_check:
            self._next_check = now + self._settings.poll_interval
            self._looker.submit(self._changed, self._check)

    def look(self, marks: Mapping[Key, Mark]) -> None:
        """Let paths wait after a look at how they stand."""
        keys = list(marks)
        for start in range(0, len(keys), _CHUNK):
            chunk = {key: marks[key] for key in keys[start : start + _CHUNK]}
            self._looker.submit(partial(self._states, list(chunk)), partial(self._looked, chunk))

    def wait(self, entry: Entry, state: FileState | None, quiet: float) -> None:
        """Let a path that was looked at wait until it has been as it is for `quiet` seconds."""
        observation = observe(entry.observation, state, time.monotonic(), quiet if state is not None else 0.0)
        self._pending.put(Entry(entry.key, observation, fresh=True, known=entry.known, retry=entry.retry))

    def look_again(self, entry: Entry, quiet: float) -> None:
        """Look at a path that was being worked on, and let it wait."""

        def looked(states: Mapping[Key, FileState | None]) -> None:
            for state in states.values():
                self.wait(entry, state, quiet)
            self._pending.finish(entry.key)

        self._looker.submit(partial(self._states, [entry.key]), looked)

    def reload_table(self, name: str) -> None:
        """Read a source's table again, and compare the source when that could be done."""

        def loaded(changed: bool) -> None:
            if changed:
                self._declare(name, lambda: self._reconcile(name))

        self._looker.submit(partial(self._load_table, self._sources[name]), loaded)

    # -- events ---------------------------------------------------------------------------------------------------

    def _watch(self, watched: Watched) -> Watch:
        def say(mode: str, reason: str) -> None:
            self._say("watching", source=watched.name, root=str(watched.root), mode=mode, reason=reason)

        return Watch(
            watched,
            self._hints,
            self._rules,
            mode=self._settings.watch,
            poll_interval=self._settings.poll_interval,
            say=say,
        )

    def _drain_hints(self) -> None:
        noticed = self._hints.drain()
        self.look(noticed.marks)
        for key in noticed.outermost_folders():
            self._folders.submit(partial(self._walk_folder, key), _done)
        if noticed.lost:
            # What is on its way into the index from there may arrive after the index was asked what it has.
            self.look(dict.fromkeys(self._pending.working_below(noticed.lost), Mark.MISSING))
            self._folders.submit(partial(self._find_lost, noticed), _done)
        for name in sorted(noticed.overflowed):
            self._say("overflow", source=name)
            self._reconcile(name)

    def _states(self, keys: Sequence[Key]) -> Mapping[Key, FileState | None]:
        """In the worker: how the files stand. What cannot be told is left to the reconcile."""
        states: dict[Key, FileState | None] = {}
        for key in keys:
            try:
                seen = look(self._sources[key.source].root, key.path, self._rules)
            except OSError:
                continue
            states[key] = seen.state if seen is not None else None
        return states

    def _looked(self, marks: Mapping[Key, Mark], states: Mapping[Key, FileState | None]) -> None:
        now = time.monotonic()
        for key, state in states.items():
            mark = marks[key]
            observation = observation_of(self._pending.observation(key), state, now, mark, self._settings.settle)
            self._pending.put(Entry(key, observation, fresh=True, witnessed=mark is Mark.GONE))

    # -- walks ----------------------------------------------------------------------------------------------------

    def _walk_folder(self, key: Key) -> None:
        """In the worker: everything below a folder that appeared."""
        found = walk(self._sources[key.source].root, self._rules, key.path)
        differences = (
            Difference(seen.path, seen.state, known=False)
            for seen in found
            if not isinstance(seen, Unreadable) and seen.kind is not Kind.IGNORED
        )
        self._hand_over(key.source, differences, fresh=True)

    def _find_lost(self, noticed: Noticed) -> None:
        """In the worker: everything that the index has below folders that have gone."""
        for source in sorted({key.source for key in noticed.lost}):
            folders = [Unreadable(key.path, "gone") for key in noticed.lost if key.source == source]
            self._hand_over(source, self._below(source, folders), fresh=True)

    def _below(self, source: str, folders: Sequence[Unreadable]) -> Iterator[Difference]:
        for item in self._index.scan(source):
            path = paths.from_text(item.file.path, item.file.encoded)
            if any(folder.covers(path) for folder in folders):
                yield Difference(path, None, known=True)

    def _hand_over(self, source: str, differences: Iterator[Difference], *, fresh: bool) -> None:
        """In the worker: post differences in pieces; wait while too many paths wait already."""
        while chunk := list(islice(differences, _CHUNK)):
            self._may_walk.wait()
            if self._stop.is_set():
                raise Stopping
            self._loop.post(partial(self._found, source, chunk, fresh))

    def _found(self, source: str, differences: Sequence[Difference], fresh: bool) -> None:
        now = time.monotonic()
        for difference in differences:
            key = Key(source, difference.path)
            quiet = 0.0 if difference.state is None else self._settings.settle
            observation = observe(self._pending.observation(key), difference.state, now, quiet)
            self._pending.put(Entry(key, observation, fresh=fresh, known=difference.known, retry=difference.retry))
        if self._pending.waiting >= MOST_WAITING:
            self._may_walk.clear()

    # -- reconcile ------------------------------------------------------------------------------------------------

    def _reconcile_all(self) -> None:
        self._next_reconcile = float("inf")
        for name in self._sources:
            self._reconcile(name)

    def _reconcile(self, name: str) -> None:
        """Compare a source with the index; once more afterwards when that is under way."""
        if name in self._reconciling:
            self._once_more.add(name)
            return
        self._reconciling.add(name)
        self._reconciler.submit(partial(self._compare, self._sources[name]), partial(self._compared, name))

    def _compare(self, watched: Watched) -> tuple[Reconciliation, float]:
        """In the worker: hand over every difference between a source and the index."""
        began = time.monotonic()
        self._index.require_current()
        reconciliation = Reconciliation(watched, self._index, self._rules)
        self._hand_over(watched.name, reconciliation.differences(), fresh=False)
        own = own_watcher()
        last = self._index.record_reconcile(watched.name, len(watched.ignored), own if self._live else None)
        if last and is_living_other(last, own, within=2 * self._settings.rescan, started=started):
            self._meet(watched.name, last)
        return reconciliation, time.monotonic() - began

    def _meet(self, source: str, other: Watcher) -> None:
        """In the worker: another daemon works on a source, too; said once of each."""
        if (source, other.host, other.pid) not in self._met:
            self._met.add((source, other.host, other.pid))
            self._say("another", source=source, host=other.host, process=other.pid, detail=_ANOTHER)

    def _compared(self, name: str, outcome: tuple[Reconciliation, float]) -> None:
        reconciliation, seconds = outcome
        watched = self._sources[name]
        for folder in reconciliation.unreadable:
            self._say("unreadable", source=name, path=paths.to_text(folder.path)[0] or ".", detail=folder.reason)
        if reconciliation.held:
            self._say("held", source=name, items=reconciliation.held, detail=_held(watched))
        self._say(
            "reconciled",
            source=name,
            items=reconciliation.items,
            ignored=len(watched.ignored),
            changes=reconciliation.differing,
            seconds=round(seconds, 3),
        )
        if name in self._watches:
            self._watches[name].renew()
        if self._live:  # a single pass that began in one folder does not end in another
            watched.renew()
        self._reconciling.discard(name)
        if name in self._once_more:
            self._once_more.discard(name)
            self._reconcile(name)
        elif not self._reconciling and self._live:
            self._next_reconcile = time.monotonic() + self._settings.rescan

    # -- tables and roots -----------------------------------------------------------------------------------------

    def _changed(self) -> tuple[list[str], list[str]]:
        """In the worker: sources with another table, sources whose root is another folder now."""
        sources = self._sources.items()
        return (
            [name for name, watched in sources if watched.table_changed()],
            [name for name, watched in sources if watched.root_replaced()],
        )

    def _check(self, changed: tuple[list[str], list[str]]) -> None:
        tables, roots = changed
        for name in tables:
            self.reload_table(name)
        for name in roots:
            self._reconcile(name)

    @staticmethod
    def _load_table(watched: Watched) -> bool:
        """In the worker: read a table. A bad one is noted and the old one stays."""
        try:
            watched.load_table()
        except UsageError as error:
            watched.problems.note(TABLE_NAME, str(error))
            return False
        return True


def _done(_: None) -> None:
    """Nothing follows."""


def _held(watched: Watched) -> str:
    """Why a reconcile deleted nothing, and what to do."""
    return (
        f"{watched.root} holds no picture any more, or has gone: nothing is deleted, since it may be unmounted. "
        f"If that was meant, run 'recq-ingest forget {watched.name}'"
    )
