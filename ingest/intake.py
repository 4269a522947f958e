"""How paths come to wait: events, walks, tables, comparisons. Nothing is decided here; everything is a hint.

Runs in the loop's thread; what touches disk or index runs in workers, what touches a source's disk in workers of its
own. Whatever waits for a disk that does not answer is bounded: looks and walks by the set of paths, all else by one run
under way and one after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from ingest.events.hints import Hints, Mark
from ingest.events.looks import Looks
from ingest.events.pending import Pending, PendingPath
from ingest.events.watch import Watch
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Loop, Repeated, Workers
from ingest.reconcile.schedule import Schedule
from ingest.reconcile.walks import Walks
from ingest.report import Say
from ingest.source.files import FileState, Key
from ingest.source.scan import Rules
from ingest.source.watched_source import WatchedSource
from recq.settings import Settings

_SILENT_AFTER = 10.0  # seconds without an answer after which a source's disk counts as one that hangs
_END_WITHIN = 1.0  # seconds for all watches to end
_HANGS = "the disk has not answered for {:.0f} s: this source waits for it, the others go on"


class Intake:
    """Fills `pending`. `declare(name, then)` is asked to fix the types of a source's new table, and then to call.

    With `live`, the sources are watched and looked at again every `rescan` seconds. `crowded(source)` tells whether so
    much of it is under way that walks have to pause, `verify` asks to read and compare every file's bytes.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        sources: Mapping[str, WatchedSource],
        loop: Loop,
        pending: Pending,
        index: RetryingIndex,
        rules: Rules,
        stop: threading.Event,
        say: Say,
        declare: Callable[[str, Callable[[], None]], None],
        crowded: Callable[[str], bool],
        live: bool,
        verify: bool,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._loop = loop
        self._pending = pending
        self._rules = rules
        self._say = say
        self._declare = declare
        self._live = live
        self._hints = Hints(lambda: loop.post(self._drain_hints))
        self._watches: dict[str, Watch] = {}
        self._watchers = Workers("watch", loop)
        self._renewals: dict[str, Repeated[None]] = {}
        self._beginning: set[str] = set()  # sources that are not watched and compared yet
        self._lookers, self._checkers = Workers("look", loop), Workers("check", loop)
        self._looks: dict[str, Looks] = {}
        self._checks: dict[str, Repeated[tuple[bool, bool]]] = {}
        self._tables: dict[str, Repeated[bool]] = {}
        self._walks = Walks(
            sources=sources,
            loop=loop,
            pending=pending,
            index=index,
            rules=rules,
            settle=settings.settle,
            stop=stop,
            crowded=crowded,
            overflow=self._overflowed,
        )
        self._schedule = Schedule(
            settings=settings,
            sources=sources,
            loop=loop,
            pending=pending,
            index=index,
            rules=rules,
            say=say,
            hand_over=self._walks.hand_over,
            compared=self._renew,
            retry=self.retry,
            live=live,
            verify=verify,
        )
        self._next_check = float("inf")
        self._asked: dict[str, float] = {}  # when a disk was asked that has not answered since (monotonic)
        self._silent: set[str] = set()

    # -- for the daemon -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is being looked for."""
        looking = any(looks.busy for looks in self._looks.values()) or any(
            table.busy for table in self._tables.values()
        )
        return not (looking or self._beginning or self._walks.busy) and self._schedule.idle

    @property
    def reconciling(self) -> bool:
        """Whether folder and index are being compared."""
        return bool(self._beginning) or self._schedule.comparing

    def may_appear(self, size: int) -> bool:
        """Whether a file of that many bytes may be found that is not indexed yet: it waits, or is still walked to.

        Of a disk that does not answer nothing is expected.
        """
        answering = self._sources.keys() - self._silent
        return self._walks.walking(answering) or self._pending.has_size(size, answering)

    def start(self) -> None:
        """Begin with all sources."""
        self._schedule.start()
        for watched in self._sources.values():
            self.add(watched)
        if self._live:
            self._next_check = time.monotonic() + self._settings.poll_interval

    def add(self, watched: WatchedSource) -> None:
        """Begin with a source: watch first, then compare, so that what happens in between is noticed."""
        name = watched.name
        self._looks[name] = Looks(
            watched,
            self._rules,
            self._lookers[name],
            self._pending,
            settle=self._settings.settle,
            overflow=partial(self._overflowed, name),
        )
        checker = self._checkers[name]
        self._checks[name] = Repeated(checker, partial(_changed, watched), partial(self._check, name))
        self._tables[name] = Repeated(checker, watched.load_table, partial(self._loaded, name))
        self._walks.add(name)
        if not self._live:
            self._schedule.compare(name)
            return
        self._beginning.add(name)
        watch = self._watches[name] = self._watch(watched)
        self._renewals[name] = Repeated(self._watchers[name], partial(_renewed, watch, watched), _done)
        self._watchers[name].submit(watch.start, partial(self._begun, name))

    def is_comparing(self, name: str) -> bool:
        """Whether a source is being compared with the index, or waits for that."""
        return name in self._beginning or self._schedule.is_comparing(name)

    def stop(self) -> None:
        """End the watches and wake walks that pause. A disk that does not answer is not waited for."""
        self._walks.end()
        ends: list[threading.Event] = []
        for name, watch in self._watches.items():
            ends.append(threading.Event())
            self._watchers[name].submit(partial(_end, watch, ends[-1]), _done)
        deadline = time.monotonic() + _END_WITHIN
        for ended in ends:
            ended.wait(max(0.0, deadline - time.monotonic()))

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._schedule.next_deadline(), self._walks.next_deadline(), self._next_check)

    def tick(self, now: float) -> None:
        """What the clock asks for."""
        self._walks.tick(now)
        self._schedule.tick(now)
        if now >= self._next_check:
            self._next_check = now + self._settings.poll_interval
            self._check_all(now)

    def look(self, marks: Mapping[Key, Mark]) -> None:
        """Let paths wait after a look at how they stand."""
        for name, of_source in _by_source(marks).items():
            self._looks[name].noticed({key: marks[key] for key in of_source})

    def wait(self, entry: PendingPath, state: FileState | None, quiet: float) -> None:
        """Let a path that was looked at wait until it has been as it is for `quiet` seconds."""
        self._looks[entry.key.source].wait(entry, state, quiet)

    def look_again(self, entry: PendingPath, quiet: float) -> None:
        """Look at a path that was being worked on, and let it wait."""
        self._looks[entry.key.source].again(entry, quiet)

    def compare(self, name: str, *, verify: bool = False) -> None:
        """Compare a source with the index now; `verify` reads the bytes of every file."""
        self._schedule.compare(name, verify=verify)

    def doubt(self, name: str) -> None:
        """What has gone from a source may have moved after all: compare it again soon, in the same pass."""
        self._schedule.doubt(name)

    def look_for_requests(self) -> None:
        """Look in the index for what somebody asked for."""
        self._schedule.look_for_requests()

    def retry(self, keys: Sequence[Key]) -> None:
        """Try failed items again."""
        for name, of_source in _by_source(keys).items():
            self._looks[name].retry(of_source)

    def reload_table(self, name: str) -> None:
        """Read a source's table again, and compare the source when that could be done."""
        self._tables[name].ask()

    def record_problems(self, name: str) -> None:
        """Keep what is wrong with a source now."""
        self._schedule.record_problems(name)

    # -- events ---------------------------------------------------------------------------------------------------

    def _watch(self, watched: WatchedSource) -> Watch:
        def say(mode: str, reason: str) -> None:
            root = str(watched.root)
            self._loop.post(lambda: self._say("watching", source=watched.name, root=root, mode=mode, reason=reason))

        return Watch(
            watched,
            self._hints,
            self._rules,
            mode=self._settings.watch,
            poll_interval=self._settings.poll_interval,
            say=say,
        )

    def _begun(self, name: str, _: None) -> None:
        """A source is watched from here on."""
        self._beginning.discard(name)
        self._schedule.compare(name)

    def _drain_hints(self) -> None:
        noticed = self._hints.drain()
        self.look(noticed.marks)
        ruled = {key for key in noticed.ruled if key.path}  # of a root the comparison finds it all
        for key in noticed.folders | ruled:
            self._walks.appeared(key)
        if gone := noticed.lost | ruled:
            # What is on its way into the index from there may arrive after the index was asked what it has.
            self.look(dict.fromkeys(self._pending.working_below(gone), Mark.MISSING))
            self._walks.went(gone)
        for name in {key.source for key in ruled}:
            self._schedule.doubt(name)  # it counts what is ignored, and by which rule
        for name in {key.source for key in noticed.ruled - ruled}:
            self.compare(name)
        for name in sorted(noticed.overflowed):
            self._overflowed(name)

    def _overflowed(self, name: str) -> None:
        """More happened than can be remembered: compare everything."""
        self._say("overflow", source=name)
        self.compare(name)

    # -- tables, roots and disks ----------------------------------------------------------------------------------

    def _renew(self, name: str) -> None:
        """After a comparison: watch what stands at the root's path now. A single pass ends where it began."""
        if name in self._renewals:
            self._renewals[name].ask()

    def _check_all(self, now: float) -> None:
        """Ask every disk whether table or root are others now; one that does not answer is not asked again."""
        for name, check in self._checks.items():
            if not check.busy:
                self._asked[name] = now
                check.ask()
            elif now - self._asked[name] >= _SILENT_AFTER and name not in self._silent:
                self._silent.add(name)
                self._say("unreadable", source=name, path=".", detail=_HANGS.format(now - self._asked[name]))

    def _check(self, name: str, changed: tuple[bool, bool]) -> None:
        self._silent.discard(name)
        table, root = changed
        if table:
            self.reload_table(name)
        if root:
            self.compare(name)

    def _loaded(self, name: str, changed: bool) -> None:
        if changed:
            self._declare(name, lambda: self.compare(name))
        else:
            self.record_problems(name)


def _by_source(keys: Collection[Key]) -> Mapping[str, list[Key]]:
    """The keys of each source."""
    sources: dict[str, list[Key]] = {}
    for key in keys:
        sources.setdefault(key.source, []).append(key)
    return sources


# -- in workers --------------------------------------------------------------------------------------------------------


def _changed(watched: WatchedSource) -> tuple[bool, bool]:
    """Whether a source has another table, and whether its root is another folder now."""
    return watched.table_changed(), watched.root_replaced()


def _renewed(watch: Watch, watched: WatchedSource) -> None:
    """Watch what stands at the root's path now, and take it for the root."""
    watch.renew()
    watched.renew()


def _end(watch: Watch, ended: threading.Event) -> None:
    """End a watch; `ended` is set then."""
    watch.stop()
    ended.set()


def _done(_: None) -> None:
    """Nothing follows."""
