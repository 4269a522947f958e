"""Watches: each rule reads the changes of its catalog, notes what matches, and delivers it, beside all others.

A rule has two threads of its own. One reads, holds new pictures against the rule, and writes what is to be delivered
and how far it has read into one file, in one step (`recq.watch.state`). The other delivers. So a receiver that is slow
or gone holds up its own rule's deliveries and nothing else, and a kill at any moment is made good at the next start:
what was written down is delivered, and what was not is read again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recq.errors import CursorGone, IndexError_, RecqError, TargetError
from recq.index.changes import Change, ChangeKind, Cursor
from recq.index.kept_connection import KeptConnection
from recq.search.session import Session
from recq.settings import Settings
from recq.watch.matching import Matcher
from recq.watch.rules import Rule
from recq.watch.sending import Undelivered, backoff, deliver
from recq.watch.state import WAITING, Delivery, Place, State

LOOK_EVERY = 0.5
"""Seconds between two looks at a catalog's changes."""

_AGAIN_AFTER = 5.0  # seconds after an error of the index, or of a rule that cannot be answered now
_AT_ONCE = 100  # changes that are held against a rule at a time
_DAY = 86_400_000_000  # microseconds
_PRESENT = (ChangeKind.INDEXED, ChangeKind.CHANGED)  # a picture may have been changed before its coming was read

Report = Callable[[str, Rule, dict[str, Any]], None]
"""Takes what happened (`matched`, `delivered`, `undelivered`, `error`), the rule, and what there is to tell of it."""


@dataclass(frozen=True)
class Wanted:
    """How to watch. `once`: until all that there is was read and each delivery tried; `dry`: deliver and keep nothing;
    `all_`: a rule that is new begins with what is indexed already."""

    once: bool = False
    dry: bool = False
    all_: bool = False


class Watch:
    """Watches with some rules until `stop` is set, or, `once`, to the end."""

    def __init__(
        self, settings: Settings, rules: Sequence[Rule], wanted: Wanted, report: Report, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._wanted = wanted
        self._report = report
        self._stop = stop
        self._failures: list[BaseException] = []

    def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Watch. Returns how many deliveries wait at the end. Raises what is wrong with a rule at the start."""
        with (
            State(self._settings.data_dir, dry=self._wanted.dry) as state,
            _Connected(self._settings) as connection,
        ):
            watched = [self._watched(rule, state, connection) for rule in self._rules]
            for each in watched:
                each.begin()
            ready()
            threads = [
                threading.Thread(target=self._in_thread, args=(work,), name=f"{name}-{each.rule.name}", daemon=True)
                for each in watched
                for name, work in (("read", each.read), ("deliver", each.deliver))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if self._failures:
                raise self._failures[0]
            return sum(state.waiting(rule.name) for rule in self._rules)

    def _watched(self, rule: Rule, state: State, connection: KeptConnection) -> _Watched:
        session = Session(self._settings.of_catalog(rule.catalog), connection=connection)
        return _Watched(rule, session, state, self._wanted, self._report, self._stop)

    def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # it ends the whole: a rule must not stop in silence
            self._failures.append(error)
            self._stop.set()


class _Connected:
    """A connection for all rules, closed at the end."""

    def __init__(self, settings: Settings) -> None:
        self._connection = KeptConnection(settings)

    def __enter__(self) -> KeptConnection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class _Watched:
    """One rule at work."""

    def __init__(
        self,
        rule: Rule,
        session: Session,
        state: State,
        wanted: Wanted,
        report: Report,
        stop: threading.Event,
    ) -> None:
        self.rule = rule
        self._session = session
        self._matcher = Matcher(session, rule)
        self._state = state
        self._wanted = wanted
        self._report = report
        self._stop = stop
        self._news = threading.Event()
        self._read_all = threading.Event()
        self._error: str | None = None

    def begin(self) -> None:
        """Check the rule, and note where a new one begins. Raises what is wrong with it."""
        try:
            self._matcher.require_sane()
            if self._state.place(self.rule.name) is None:
                with self._session.opened() as catalog:
                    start = catalog.changes.start() if self._wanted.all_ else catalog.changes.now()
                place = Place(str(start), 0 if self._wanted.all_ else max(start.newest, start.began))
                self._state.record(self.rule.name, place)
        except TargetError as error:
            raise type(error)(f"rule {self.rule.name!r}: {error}") from error

    # -- reads --------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read changes and note what is to be delivered, until it is to stop; once, until there are no more."""
        try:
            while not self._stop.is_set():
                pause = self._look()
                if pause is None:
                    return
                self._stop.wait(pause)
        finally:
            self._read_all.set()
            self._news.set()

    def _look(self) -> float | None:
        """Read some changes. Returns the seconds until the next look; None at the end."""
        if self._state.waiting(self.rule.name) >= WAITING and not self._wanted.dry:
            return None if self._wanted.once else LOOK_EVERY
        place = self._state.place(self.rule.name)
        assert place is not None, "it was noted at the start"
        try:
            cursor = Cursor.parse(place.cursor)
            with self._session.opened() as catalog:
                try:
                    found = catalog.changes.since(cursor, _AT_ONCE)
                except CursorGone:
                    # The catalog was rebuilt: read all of it, of which only what came lately is new. What was delivered
                    # before is remembered.
                    start = catalog.changes.start()
                    self._state.record(self.rule.name, Place(str(start), max(place.since, cursor.newest - _DAY)))
                    return 0.0
            self._note(found.changes, Place(str(found.cursor), place.since))
        except RecqError as error:
            if self._wanted.once:
                raise
            self._complain(error)
            return _AGAIN_AFTER if not isinstance(error, IndexError_) else 2 * LOOK_EVERY
        self._error = None
        if found.more:
            return 0.0
        return None if self._wanted.once else LOOK_EVERY

    def _note(self, changes: Sequence[Change], place: Place) -> None:
        fresh = [each for each in changes if each.kind in _PRESENT and each.born > place.since]
        events = list(self._matcher.events(fresh))
        deliveries = [
            Delivery(event["delivery"], self.rule.name, json.dumps(event, ensure_ascii=True)) for event in events
        ]
        new = {each.id for each in self._state.record(self.rule.name, place, deliveries)}
        for event in events:
            if event["delivery"] in new:
                new.remove(event["delivery"])
                self._report("matched", self.rule, event)
        if events:
            self._news.set()

    def _complain(self, error: RecqError) -> None:
        if self._error != str(error):
            self._error = str(error)
            self._report("error", self.rule, {"detail": str(error)})

    # -- delivers -----------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Make deliveries as they are due, until it is to stop; once, until each was tried."""
        if self._wanted.dry:
            return
        if self._wanted.once:
            self._state.hurry(self.rule.name)
        began = time.time()
        while not self._stop.is_set():
            self._news.clear()
            now = began if self._wanted.once else time.time()  # once: what has failed since is due later
            delivery = self._state.due(self.rule.name, now)
            if delivery is not None:
                self._attempt(delivery)
                continue
            due = self._state.next_due(self.rule.name)
            if self._wanted.once and self._read_all.is_set() and not self._news.is_set():
                return
            pause = LOOK_EVERY if due is None else min(LOOK_EVERY, max(0.0, due - now))
            self._news.wait(pause)

    def _attempt(self, delivery: Delivery) -> None:
        event: dict[str, Any] = {"delivery": delivery.id, "attempt": delivery.attempts + 1}
        try:
            deliver(self.rule, delivery, self._stop)
        except Undelivered as error:
            if self._stop.is_set():  # it may have been cut short
                return
            due = time.time() + backoff(delivery.attempts)
            self._state.failed(delivery, due)
            self._report("undelivered", self.rule, {**event, "detail": str(error)})
        else:
            self._state.done(delivery, time.time())
            self._report("delivered", self.rule, event)
