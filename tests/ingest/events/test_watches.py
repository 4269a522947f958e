"""The watches of all sources: one that begins anew behind a comparison asks for another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.context import Context
from ingest.events.queue import Queue, SourceDue
from ingest.events.watches import Watches
from ingest.loop import Loop
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.settings import Settings, WatchMode
from tests.eventually import eventually


class Case:
    """A source that is watched, and what the queue has of it."""

    def __init__(self, root: Path, mode: WatchMode) -> None:
        self.loop = Loop()
        watched = WatchedSource("s", root, table_path=None, types=dict, say=lambda *_: None)
        settings = Settings(watch=mode, poll_interval=0.05)
        context = Context(settings, Sources([watched]), self.loop, lambda *_, **__: None, threading.Event(), live=True)
        self.queue = Queue(context)
        self.queue.add(watched)
        self.watches = Watches(context, self.queue)
        self.watches.add(watched)
        self.turn_until(lambda: self.watches.idle)
        assert self.queue.take_sources() == [SourceDue("s")]

    def turn_until(self, done: Callable[[], bool]) -> None:
        def turned() -> bool:
            self.loop.turn(0.0)
            return done()

        eventually(turned)

    def renewed(self) -> list[SourceDue]:
        """Why the source has to be compared once its watch was renewed."""
        self.watches.renew("s")
        self.turn_until(lambda: not self.watches._renewals["s"].busy)
        return self.queue.take_sources()


@pytest.fixture(params=["native", "poll"])
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    (tmp_path / "root").mkdir()
    case = Case(tmp_path / "root", request.param)
    yield case
    case.watches.stop()


def test_a_root_that_was_replaced_is_compared_again_once_it_is_watched(case: Case, tmp_path: Path) -> None:
    """What came into it between the comparison and the watch is noticed by nobody."""
    assert case.renewed() == []
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    assert case.renewed() == []  # there is nothing to watch, and nothing to find
    (tmp_path / "root").mkdir()
    assert case.renewed() == [SourceDue("s", doubted=True)]
    assert case.renewed() == []


def test_a_root_that_is_another_one_each_time_is_not_compared_for_ever(case: Case, tmp_path: Path) -> None:
    """Some file systems in user space number a folder anew whenever they are asked for it."""

    def replaced(name: str) -> list[SourceDue]:
        (tmp_path / "root").rename(tmp_path / name)
        (tmp_path / "root").mkdir()
        return case.renewed()

    assert [len(replaced(f"before {number}")) for number in range(3)] == [1, 0, 0]
    assert case.renewed() == []
    assert len(replaced("the last")) == 1
