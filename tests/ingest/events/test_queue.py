"""What has to be looked at goes in by one door and is taken by whoever asks: paths, folders, whole sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.context import Context
from ingest.events import looks as looks_module
from ingest.events import queue as queue_module
from ingest.events.hints import Mark
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue, SourceDue
from ingest.events.stability import completed
from ingest.loop import Loop
from ingest.source.files import FileState, Key
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.errors import Reason
from recq.index.schema import ItemError
from recq.settings import Settings
from tests.ingest.pictures import put


class Case:
    """A queue of two sources, and what was reported."""

    def __init__(self, folder: Path, *, live: bool = True) -> None:
        self.folder, self.loop = folder, Loop()
        self.events: list[tuple[str, object]] = []
        sources = Sources(
            WatchedSource(name, folder / name, table_path=None, types=dict, say=lambda *_: None) for name in "st"
        )
        self.context = Context(Settings(settle=0.0), sources, self.loop, self._say, threading.Event(), live)
        self.queue = Queue(self.context)
        for watched in sources.values():
            self.queue.add(watched)

    def _say(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields["source"]))

    def turn_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            self.loop.turn(deadline)

    def work_on(self, key: Key, *, size: int = 9) -> PendingPath:
        """A path that has been taken and not finished."""
        self.queue.paths.put(PendingPath(key, completed(FileState(size, 1), 0.0), fresh=True))
        (entry,) = self.queue.paths.take(time.monotonic(), 9, 9, key.source)
        return entry


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_sources_are_taken_once_in_the_order_in_which_they_were_asked_for(case: Case) -> None:
    case.queue.compare("t")
    case.queue.doubt("s")
    case.queue.compare("s", verify=True)
    case.queue.compare("t")
    assert case.queue.is_compared("s")
    assert not case.queue.idle
    assert case.queue.next_deadline() <= time.monotonic()
    taken = case.queue.take_sources()
    assert taken == [SourceDue("t"), SourceDue("s", doubted=True), SourceDue("s", verify=True)]
    assert not case.queue.is_compared("s")
    assert case.queue.next_deadline() == float("inf")
    assert case.queue.take_sources() == []


def test_a_path_comes_back_by_the_door_with_what_was_known_of_it(case: Case) -> None:
    key = Key("s", "a.jpg")
    put(case.folder / "s/a.jpg", 1)
    entry = case.work_on(key)
    case.queue.again(entry, 0.0)
    case.turn_until(lambda: case.queue.idle)
    (again,) = case.queue.paths.take(time.monotonic(), 9, 9)
    assert again.key == key
    assert again.observation.state == FileState.of((case.folder / "s/a.jpg").stat())


def test_more_than_can_be_remembered_is_a_comparison_and_reported(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks_module, "MOST", 5)
    monkeypatch.setattr(queue_module, "MOST", 5)
    case.queue.look({Key("s", f"{number}.jpg"): Mark.CLOSED for number in range(7)})
    assert case.events == [("overflow", "s")]
    assert case.queue.take_sources() == [SourceDue("s")]
    for number in range(6):
        case.queue.appeared(Key("t", f"folder{number}"))
    assert case.queue.take_appeared() == []
    assert {due.name for due in case.queue.take_sources()} == {"s", "t"}
    case.turn_until(lambda: case.queue.idle)


def test_a_folder_that_goes_has_paths_looked_at_that_are_on_their_way_from_it(case: Case) -> None:
    inside, outside = Key("s", "old/a.jpg"), Key("s", "older/a.jpg")
    put(case.folder / "s/older/a.jpg", 1)
    for key in (inside, outside):
        case.work_on(key)
    case.queue.gone({Key("s", "old")})
    assert case.queue.take_gone() == [Key("s", "old")]
    case.turn_until(lambda: case.queue.idle)
    for key in (inside, outside):
        case.queue.finish(key)
    (again,) = case.queue.paths.take(time.monotonic(), 9, 9)
    assert again.key == inside
    assert again.observation.state is None


def test_what_is_written_while_a_comparison_begins_is_looked_at_once_more(case: Case) -> None:
    during, other, later = Key("s", "during.jpg"), Key("t", "other.jpg"), Key("s", "later.jpg")
    put(case.folder / "s/during.jpg", 1)
    for key in (during, other):
        case.work_on(key)
    case.queue.comparison_begins("s")
    case.work_on(later)
    for key in (during, other, later):
        case.queue.finish(key)
    case.turn_until(lambda: case.queue.idle)
    (again,) = case.queue.paths.take(time.monotonic(), 9, 9)
    assert again.key == during
    case.queue.finish(during)
    case.turn_until(lambda: case.queue.idle)
    assert case.queue.paths.take(time.monotonic(), 9, 9) == []


def test_other_rules_below_a_folder_are_a_walk_a_look_and_a_count_those_of_a_root_a_comparison(case: Case) -> None:
    case.queue.rules_changed({Key("s", "old"), Key("t", "")})
    assert case.queue.take_appeared() == [Key("s", "old")]
    assert case.queue.take_gone() == [Key("s", "old")]
    assert case.queue.take_sources() == [SourceDue("s", doubted=True), SourceDue("t")]


def test_a_file_may_appear_while_it_waits_or_is_walked_to_on_a_disk_that_answers(case: Case) -> None:
    queue, never = case.queue, float("inf")
    assert queue.may_appear_since(7) == never
    case.work_on(Key("s", "a.jpg"), size=7)
    assert queue.may_appear_since(7) < never
    assert queue.may_appear_since(8) == never
    queue.silent.add("s")
    assert queue.may_appear_since(7) == never
    before = time.monotonic()
    queue.appeared(Key("t", "folder"))
    since = queue.may_appear_since(8)
    assert before <= since <= time.monotonic()
    queue.take_appeared()
    assert queue.may_appear_since(8) == since
    queue.walk_began("t")
    assert queue.may_appear_since(8) == since
    queue.appeared(Key("t", "another"))
    queue.take_appeared()
    assert queue.may_appear_since(8) == since
    queue.walk_ended("t")
    assert since < queue.may_appear_since(8) < never, "the next walk takes what appeared meanwhile"
    queue.walk_began("t")
    queue.walk_ended("t")
    assert queue.may_appear_since(8) == never


def test_of_files_of_one_size_the_one_that_waits_longest_counts(case: Case) -> None:
    first, *others = (Key("s", f"{number}.jpg") for number in range(3))
    for number, key in enumerate([first, *others]):
        case.queue.paths.put(PendingPath(key, completed(FileState(7, 1), float(number)), fresh=True))
    assert case.queue.may_appear_since(7) == 0.0
    case.queue.paths.take(time.monotonic(), 9, 9, "s")
    case.queue.finish(first)
    assert case.queue.may_appear_since(7) == 1.0


@pytest.mark.parametrize("live", [True, False])
def test_a_passing_failure_is_looked_at_again_by_a_daemon_that_stays(tmp_path: Path, live: bool) -> None:
    case, key, now = Case(tmp_path, live=live), Key("s", "a.jpg"), time.monotonic()
    case.queue.attempted(key, ItemError(Reason.IO_ERROR, "", "2026-06-01T00:00:00+00:00", 1), now)
    case.queue.tick(now + 3600)
    case.turn_until(lambda: case.queue.idle)
    taken = case.queue.paths.take(time.monotonic() + 60, 9, 9)
    assert [(entry.key, entry.retry) for entry in taken] == ([(key, True)] if live else [])
