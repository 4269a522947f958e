"""When sources are compared: each reason counts as what it is, and what is held is reported once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from ingest.context import Context
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.events.stability import Observation
from ingest.index.predictions import Refreshed
from ingest.loop import Loop
from ingest.reconcile import schedule as schedule_module
from ingest.reconcile.schedule import Schedule
from ingest.reconcile.walks import Walks
from ingest.source.files import FileState, Key
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.index.schema import FileFacts, Item
from recq.settings import Settings
from tests.ingest.pictures import put


class Compared:
    """A comparison that finds what the test says: `held` items, and metadata that is held for a reason."""

    held = 0
    held_metadata: str | None = None
    during: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, watched: WatchedSource, index: object, **how: Any) -> None:
        self.how = how
        self.items, self.losing, self.differing = 1, 3, 0
        self.undecided, self.ignored_by = False, None
        self.confirmed, self.confirmed_metadata = how["confirmed"], how["confirmed_metadata"]
        self.unreadable: list[Any] = []

    def differences(self) -> Iterator[Any]:
        type(self).during()
        return iter(())


class Nothing:
    """Whatever is asked of it, nothing comes of it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: {} if name.startswith(("confirmed", "reload", "refresh")) else None


class Confirmed(Nothing):
    """An index with confirmations, which keeps what a comparison has used of them."""

    def __init__(self) -> None:
        self.given: dict[str, int] = {}
        self.used: list[bool] = []

    def confirmed(self) -> dict[str, int]:
        return dict(self.given)

    def record_reconcile(self, watched: WatchedSource, *, confirmed: int | None, **_: object) -> None:
        self.used.append(confirmed is not None)
        if confirmed is not None and self.given.get(watched.name) == confirmed:
            del self.given[watched.name]

    def marked(self, source: str) -> list[Any]:
        return []


class Case:
    """A schedule of one source, with all comparisons and events."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[dict[str, Any]] = []
        self.events: list[tuple[str, object]] = []
        case = self

        class Recorded(Compared):
            def __init__(self, watched: WatchedSource, index: object, **how: Any) -> None:
                super().__init__(watched, index, **how)
                case.begun.append(how)

        self.finds = Recorded
        monkeypatch.setattr(schedule_module, "Reconciliation", Recorded)
        monkeypatch.setattr(schedule_module, "_DOUBTED_AFTER", 0.01)
        monkeypatch.setattr(schedule_module, "_DOUBTED_SHARE", 0)
        self.loop = Loop()
        self.watched = WatchedSource("s", folder, table_path=None, types=dict, say=lambda *_: None)
        context = Context(Settings(rescan=60), Sources([self.watched]), self.loop, self._say, threading.Event(), True)
        self.queue = Queue(context)
        nothing = cast("Any", Nothing())
        self.index = Confirmed()
        self.schedule = Schedule(context, self.queue, cast("Any", self.index), nothing, nothing, nothing, verify=False)

    def _say(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields.get("what", fields.get("items"))))

    def until(self, number: int) -> None:
        """Until so many comparisons have ended."""
        deadline = time.monotonic() + 30
        while [event for event, _ in self.events].count("reconciled") < number:
            assert time.monotonic() < deadline
            self.schedule.tick(time.monotonic())
            self.loop.turn(time.monotonic() + 0.05)

    def until_idle(self) -> None:
        """Until predictions have followed the comparisons, too."""
        deadline = time.monotonic() + 30
        while not self.schedule.idle:
            assert time.monotonic() < deadline
            self.loop.turn(time.monotonic() + 0.05)

    @property
    def resumed(self) -> list[bool]:
        return [how["resumed"] for how in self.begun]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(tmp_path, monkeypatch)


def test_a_doubt_belongs_to_the_pass_of_the_comparison_before_and_any_other_reason_begins_one(case: Case) -> None:
    case.queue.compare("s")
    case.until(1)
    case.queue.doubt("s")
    case.until(2)
    case.queue.doubt("s")
    case.queue.compare("s", verify=True)
    case.until(3)
    assert case.resumed == [False, True, False]
    assert [how["verify"] for how in case.begun] == [False, False, True]


def test_confirmed_deletions_that_still_wait_keep_their_pass(case: Case) -> None:
    """A comparison for another reason must not hold again what was confirmed a moment ago."""
    gone = Key("s", "gone.jpg")
    case.queue.compare("s")
    case.until(1)
    case.watched.guard.begin(40, confirmed=40)
    case.queue.paths.put(PendingPath(gone, Observation(None, 0.0, 0.0), fresh=False, known=True))
    assert [each.key for each in case.queue.paths.take(1.0, 9, 9)] == [gone]  # it is being removed
    case.queue.compare("s")
    case.until(2)
    case.queue.finish(gone)
    case.queue.compare("s")
    case.until(3)
    assert case.resumed == [False, True, False]


def test_what_is_asked_for_while_one_is_under_way_is_done_by_one_more(case: Case) -> None:
    def ask() -> None:
        case.finds.during = staticmethod(lambda: None)
        for verify in (False, True):
            case.loop.post(partial(case.queue.compare, "s", verify=verify))
        case.loop.post(lambda: case.schedule.tick(time.monotonic()))

    case.finds.during = staticmethod(ask)
    case.queue.compare("s")
    case.until(2)
    assert len(case.begun) == 2
    assert case.begun[1]["verify"]
    case.until_idle()
    assert len(case.begun) == 2


def test_what_is_held_is_reported_once_until_it_changes_or_is_held_no_more(case: Case) -> None:
    def held() -> list[object]:
        return [what for event, what in case.events if event == "held"]

    found = [(40, None), (40, "why"), (40, "why"), (41, "why"), (0, None), (41, None)]
    for number, (items, metadata) in enumerate(found):
        case.finds.held, case.finds.held_metadata = items, metadata
        case.queue.compare("s")
        case.until(number + 1)
    assert held() == [40, "metadata", 41, 41]


def test_a_confirmation_that_comes_during_a_comparison_stays_for_the_next_one(case: Case) -> None:
    """Also in a pass for which deletions had been confirmed before: the guard remembers that until the next one."""
    case.index.given = {"s": 40}
    case.queue.compare("s")
    case.until(1)

    def confirm() -> None:
        case.index.given = {"s": 60}

    case.index.given = {}
    case.finds.during = staticmethod(confirm)
    case.queue.doubt("s")
    case.until(2)
    case.queue.doubt("s")
    case.until(3)
    assert case.index.used == [True, False, True]


def test_confirmed_deletions_behind_a_long_backlog_keep_their_pass(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backlog may take longer than `rescan`; what waits behind it must not be held again."""
    gone, new = Key("s", "gone.jpg"), Key("s", "new.jpg")
    case.queue.compare("s")
    case.until(1)
    case.watched.guard.begin(40, confirmed=40)
    for key in (gone, new):
        case.queue.paths.put(PendingPath(key, Observation(None, 0.0, 0.0), fresh=False, known=key == gone))
    case.queue.paths.take(1.0, 9, 9)
    case.schedule._passes["s"] -= 3_600
    case.queue.compare("s")
    case.until(2)
    case.queue.finish(gone)  # new pictures alone keep no pass
    case.queue.compare("s")
    case.until(3)
    assert case.resumed == [False, True, False]


def test_what_is_being_written_when_a_comparison_begins_is_looked_at_once_more(case: Case, tmp_path: Path) -> None:
    """It was described by a table that is another now, perhaps, and is written when the comparison has passed it."""
    key, absent = Key("s", "a.jpg"), Key("s", "gone.jpg")
    state = FileState.of(put(tmp_path / "a.jpg", 1).stat())
    case.queue.add(case.watched)
    for each, seen in ((key, state), (absent, None)):
        case.queue.paths.put(PendingPath(each, Observation(seen, 0.0, 0.0), fresh=False, known=True))
    case.queue.paths.take(1.0, 9, 9)
    case.queue.compare("s")
    case.until(1)
    for each in (key, absent):
        case.queue.finish(each)
    while not case.queue.idle:
        case.loop.turn(time.monotonic() + 30)
    (again,) = case.queue.paths.take(time.monotonic(), 9, 9)
    assert (again.key, again.observation.state) == (key, state)


class Predicting:
    """Predictions that are made once, and a field that has no predictor."""

    def __init__(self) -> None:
        self.due = [Refreshed("category", items=2)]
        self.unread: list[Item] = []

    def reload(self) -> dict[str, str]:
        return {"genre": "train it"}

    def refresh(self, source: str, again: Callable[[Iterator[Item]], None]) -> list[Refreshed]:
        again(iter(self.unread))
        due, self.due = self.due, []
        return due


def test_predictions_follow_each_comparison_and_what_is_missing_is_reported_once(case: Case) -> None:
    case.schedule._predictions = cast("Any", Predicting())
    case.schedule._walks = Walks(case.schedule._context, case.queue, cast("Any", case.index))
    for number in (1, 2):
        case.queue.compare("s")
        case.until(number)
        case.until_idle()
    told = [event for event in case.events if event[0] in ("predicted", "unpredicted")]
    assert told == [("predicted", 2), ("unpredicted", None)]


def test_pictures_that_are_read_again_for_predictions_wait_in_the_backlog(case: Case, tmp_path: Path) -> None:
    """Behind each new drop; what has changed since it was indexed is found in other ways."""
    state = FileState.of(put(tmp_path / "a.jpg", 1).stat())
    changed = FileState.of(put(tmp_path / "b.jpg", 2).stat())
    predictions = Predicting()
    predictions.unread = [
        Item(FileFacts("s", "a.jpg", state.size, state.mtime_ns, sha256="0" * 64)),
        Item(FileFacts("s", "b.jpg", changed.size + 1, changed.mtime_ns, sha256="1" * 64)),
        Item(FileFacts("s", "gone.jpg", 1, 1, sha256="2" * 64)),
    ]
    case.schedule._predictions = cast("Any", predictions)
    case.schedule._walks = walks = Walks(case.schedule._context, case.queue, cast("Any", case.index))
    walks.add("s")
    walks.tick(time.monotonic())
    case.queue.compare("s")
    case.until(1)
    case.until_idle()
    (entry,) = case.queue.paths.take(time.monotonic() + 60, 9, 9)
    assert (entry.key.path, entry.fresh, entry.known, entry.unpredicted) == ("a.jpg", False, True, True)
    assert entry.observation.state == state
