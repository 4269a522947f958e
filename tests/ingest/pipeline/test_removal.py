"""How long an item whose file has gone waits for the file at a new path."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ingest.context import Context
from ingest.events.pending import PendingPath
from ingest.events.queue import Queue
from ingest.events.stability import Observation, completed
from ingest.loop import Loop
from ingest.pipeline.afterwards import Afterwards
from ingest.pipeline.removal import Deleter, Removal, Removals
from ingest.pipeline.verdict import Fate, Verdict, facts
from ingest.source.files import FileState, Key
from ingest.source.held import Held
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.index.schema import Item
from recq.settings import Settings

GONE = Key("s", "gone.jpg")
SIZE = 7


class Deleting:
    """Keeps what is handed to it. `holds`: the items stay in the index."""

    def __init__(self) -> None:
        self.asked: list[Key] = []
        self.holds = False

    def delete(self, removals: Sequence[Removal]) -> tuple[Sequence[Removal], Sequence[Held]]:
        self.asked += [removal.key for removal in removals]
        return ([], []) if self.holds else (removals, [])


class Noting:
    """The calls of `Afterwards`, by name."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def written(self) -> None:
        self.calls.append("written")

    def removed(self) -> None:
        self.calls.append("removed")


class Case:
    """Removals of one source, with one item whose file has gone."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        watched = WatchedSource("s", folder, table_path=None, types=dict, say=lambda *_: None)
        settings, stop = Settings(settle=0.0), threading.Event()
        context = Context(settings, Sources([watched]), self.loop, lambda *_, **__: None, stop, live=True)
        self.queue, self.deleter = Queue(context), Deleting()
        self.queue.add(watched)
        self.afterwards = Noting()
        self.removals = Removals(
            context, self.queue, cast("Deleter", self.deleter), cast("Afterwards", cast("Any", self.afterwards))
        )
        entry = PendingPath(GONE, completed(None, 0.0), fresh=True, known=True)
        self.queue.paths.put(entry)
        self.queue.paths.take(time.monotonic(), 9, 9)
        self.queued = time.monotonic()
        item = Item(replace(facts(GONE, FileState(SIZE, 1)), sha256="0" * 64))
        self.removals.put(Verdict(entry, Fate.DELETE, None, item))

    def arrives(self, name: str, after: float, size: int = SIZE) -> Key:
        """A file that is noticed so many seconds after the removal, and is not indexed yet."""
        key = Key("s", name)
        self.queue.paths.put(PendingPath(key, Observation(FileState(size, 1), self.queued + after, 0.0), fresh=True))
        self.queue.paths.take(float("inf"), 9, 9)
        return key

    def is_deleted(self) -> bool:
        """Whether the next look at the removals that wait hands the item to the deleter."""
        self.removals.tick(time.monotonic() + 60)
        while self.removals.busy:
            self.loop.turn(time.monotonic() + 30)
        return self.deleter.asked == [GONE]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("holds", [False, True])
def test_what_left_a_tombstone_is_noted(case: Case, holds: bool) -> None:
    case.deleter.holds = holds
    assert case.is_deleted()
    assert case.afterwards.calls == (["written"] if holds else ["removed", "written"])


def test_an_item_waits_while_a_file_of_its_size_may_be_its_new_path(case: Case) -> None:
    moved = case.arrives("moved.jpg", 0.1)
    assert not case.is_deleted()
    assert case.queue.paths.ahead("s") == 1, "the removal itself keeps no walk from finding the file"
    case.queue.finish(moved)
    case.removals._next = 0.0
    assert case.is_deleted()


def test_a_steady_stream_of_files_of_its_size_keeps_no_item_for_ever(case: Case) -> None:
    """A camera that writes bitmaps: one of them always waits, and none that came later is the file that has gone."""
    moved = case.arrives("moved.jpg", 0.1)
    for number in range(5):
        case.arrives(f"{number}.bmp", 30.0 + number)
    assert not case.is_deleted()
    case.queue.finish(moved)
    case.removals._next = 0.0
    assert case.is_deleted()


def test_a_folder_that_appears_later_keeps_no_item(case: Case) -> None:
    case.queue.appeared(Key("s", "folder"))
    assert not case.is_deleted(), "what is in the folder is not known yet"
    case.queue.take_appeared()
    case.queue.walk_began("s")
    case.queue.walk_ended("s")
    case.queue._walking["s"] = case.queued + 60
    case.removals._next = 0.0
    assert case.is_deleted()


def test_what_a_rule_takes_waits_for_the_comparison_that_counts_all_of_it(case: Case) -> None:
    """Events bring some of the files that a new rule ignores, and where they come in waves each would be few."""
    key = Key("s", "ignored.jpg")
    state = FileState(SIZE, 1)
    entry = PendingPath(key, completed(state, 0.0), fresh=True)
    case.queue.compare("s")
    case.queue.paths.put(entry)
    case.queue.paths.take(time.monotonic(), 9, 9)
    case.removals.put(Verdict(entry, Fate.DELETE, state, Item(replace(facts(key, state), sha256="1" * 64))))
    assert case.is_deleted(), "the other one, whose file has gone, goes"
    assert case.queue.paths.count("s") == (1, 0), "it is not new, so the comparison does not wait for it"
    case.removals._next = 0.0
    assert case.is_deleted()
    case.queue.comparing.update(due.name for due in case.queue.take_sources())
    case.removals._next = 0.0
    assert case.is_deleted()
    case.queue.comparing.clear()
    case.removals._next = 0.0
    assert not case.is_deleted()
    assert case.deleter.asked == [GONE, key]


def test_a_look_asks_once_for_each_size_however_many_wait(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def may_appear_since(size: int) -> float:
        asked.append(size)
        return 0.0

    monkeypatch.setattr(case.queue, "may_appear_since", may_appear_since)
    for number in range(300):
        key = Key("s", f"{number}.jpg")
        item = Item(replace(facts(key, FileState(number % 3, 1)), sha256="0" * 64))
        entry = PendingPath(key, completed(None, 0.0), fresh=True, known=True)
        case.queue.paths.put(entry)
        case.queue.paths.take(time.monotonic(), 9, 9)
        case.removals.put(Verdict(entry, Fate.DELETE, None, item))
    assert not case.is_deleted()
    assert sorted(asked) == [0, 1, 2, SIZE]
