"""How paths come to wait: events, walks, tables, comparisons. Nothing is decided here; everything is a hint.

Runs in the loop's thread; what touches disk or index runs in workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ingest.files import FileState, Key
from ingest.hints import Hints, Mark, observation_of
from ingest.loop import Loop, Worker
from ingest.patient_index import PatientIndex
from ingest.pending import Entry, Pending
from ingest.report import Say
from ingest.rounds import Rounds
from ingest.scan import Rules, look
from ingest.stability import observe
from ingest.walks import CHUNK, Walks
from ingest.watch import Watch
from ingest.watched import Watched
from recq.settings import Settings


class Intake:
    """Fills `pending`. `declare(name, then)` is asked to fix the types of a source's new table, and then to call.

    With `live`, the sources are watched and looked at again every `rescan` seconds. `crowded` tells whether so much is
    under way that walks have to pause, `verify` asks to read and compare every file's bytes.
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
        crowded: Callable[[], bool],
        live: bool,
        verify: bool,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._loop = loop
        self._pending = pending
        self._index = index
        self._rules = rules
        self._say = say
        self._declare = declare
        self._live = live
        self._hints = Hints(lambda: loop.post(self._drain_hints))
        self._watches = {name: self._watch(watched) for name, watched in sources.items()} if live else {}
        self._looker = Worker("look", loop)
        self._walks = Walks(
            sources=sources,
            loop=loop,
            pending=pending,
            index=index,
            rules=rules,
            settle=settings.settle,
            stop=stop,
            crowded=crowded,
        )
        self._rounds = Rounds(
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

    # -- for the daemon -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is being looked for."""
        return not (self._looker.busy or self._walks.busy) and self._rounds.idle

    @property
    def reconciling(self) -> bool:
        """Whether folder and index are being compared."""
        return self._rounds.comparing

    @property
    def walking_folders(self) -> bool:
        """Whether folders that appeared or went are still being walked."""
        return self._walks.busy

    def start(self) -> None:
        """Watch first, then compare: what happens in between is noticed."""
        for watch in self._watches.values():
            watch.start()
        if self._live:
            self._next_check = time.monotonic() + self._settings.poll_interval
        self._rounds.start()

    def stop(self) -> None:
        """End the watches and wake a walk that pauses."""
        self._walks.end()
        for watch in self._watches.values():
            watch.stop()

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._rounds.next_deadline(), self._next_check)

    def tick(self, now: float) -> None:
        """What the clock asks for."""
        self._walks.tick()
        self._rounds.tick(now)
        if now >= self._next_check:
            self._next_check = now + self._settings.poll_interval
            self._looker.submit(self._changed, self._check)

    def look(self, marks: Mapping[Key, Mark]) -> None:
        """Let paths wait after a look at how they stand."""
        keys = list(marks)
        for start in range(0, len(keys), CHUNK):
            chunk = {key: marks[key] for key in keys[start : start + CHUNK]}
            self._looker.submit(partial(self._states, list(chunk)), partial(self._looked, chunk))

    def wait(self, entry: Entry, state: FileState | None, quiet: float) -> None:
        """Let a path that was looked at wait until it has been as it is for `quiet` seconds."""
        observation = observe(entry.observation, state, time.monotonic(), quiet if state is not None else 0.0)
        self._pending.put(replace(entry, observation=observation, fresh=True, witnessed=False))

    def look_again(self, entry: Entry, quiet: float) -> None:
        """Look at a path that was being worked on, and let it wait."""

        def looked(states: Mapping[Key, FileState | None]) -> None:
            for state in states.values():
                self.wait(entry, state, quiet)
            self._pending.finish(entry.key)

        self._looker.submit(partial(self._states, [entry.key]), looked)

    def compare(self, name: str, *, verify: bool = False) -> None:
        """Compare a source with the index now; `verify` reads the bytes of every file."""
        self._rounds.compare(name, verify=verify)

    def look_for_requests(self) -> None:
        """Look in the index for what somebody asked for."""
        self._rounds.look_for_requests()

    def retry(self, keys: Sequence[Key]) -> None:
        """Try failed items again."""

        def looked(states: Mapping[Key, FileState | None]) -> None:
            now = time.monotonic()
            for key, state in states.items():
                observation = observe(self._pending.observation(key), state, now, self._settings.settle)
                self._pending.put(Entry(key, observation, fresh=True, known=True, retry=True))

        for start in range(0, len(keys), CHUNK):
            self._looker.submit(partial(self._states, keys[start : start + CHUNK]), looked)

    def reload_table(self, name: str) -> None:
        """Read a source's table again, and compare the source when that could be done."""

        def loaded(changed: bool) -> None:
            if changed:
                self._declare(name, lambda: self.compare(name))
            else:
                self.record_problems(name)

        self._looker.submit(self._sources[name].load_table, loaded)

    def record_problems(self, name: str) -> None:
        """Keep what is wrong with a source now."""
        self._rounds.record_problems(name)

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
            self._walks.appeared(key)
        if noticed.lost:
            # What is on its way into the index from there may arrive after the index was asked what it has.
            self.look(dict.fromkeys(self._pending.working_below(noticed.lost), Mark.MISSING))
            self._walks.went(noticed.lost)
        for name in sorted(noticed.overflowed):
            self._say("overflow", source=name)
            self.compare(name)

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

    # -- tables and roots -----------------------------------------------------------------------------------------

    def _renew(self, name: str) -> None:
        """After a comparison: watch what stands at the root's path now."""
        if name in self._watches:
            self._watches[name].renew()
        if self._live:  # a single pass that began in one folder does not end in another
            self._sources[name].renew()

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
            self.compare(name)
