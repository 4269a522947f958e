"""What waits for a look at the disk is bounded by the paths, whatever happens while the disk does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.events import looks as looks_module
from ingest.events.hints import Mark
from ingest.events.looks import Looks
from ingest.events.pending import Pending, PendingPath
from ingest.events.stability import completed
from ingest.loop import Loop, Repeated, Worker, Workers
from ingest.source.files import FileState, Key
from ingest.source.scan import Seen
from ingest.source.timebox import within
from ingest.source.watched_source import WatchedSource
from tests.ingest.pictures import put


def turn_until(loop: Loop, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        loop.turn(deadline)


class Hanging:
    """Looks at a source whose disk answers when it is let."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.stats = 0
        self.loop = Loop()
        self.pending = Pending()
        self.overflowed: list[str] = []
        self.worker = Worker("look", self.loop)
        watched = WatchedSource("s", root, table_path=None, types=dict, say=lambda path, message: None)
        self.looks = Looks(watched, self.worker, self.pending, settle=0.0, overflow=lambda: self.overflowed.append("s"))
        look = WatchedSource.look

        def hanging(this: WatchedSource, path: str) -> Seen | None:
            self.stats += 1
            self.answers.wait(60)
            return look(this, path)

        monkeypatch.setattr(WatchedSource, "look", hanging)

    def turn(self) -> None:
        """Let the loop run until nothing is looked at any more."""
        self.answers.set()
        turn_until(self.loop, lambda: not self.looks.busy)


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    put(tmp_path / "a.jpg", 1)
    put(tmp_path / "b.jpg", 2)
    hanging = Hanging(tmp_path, monkeypatch)
    yield hanging
    hanging.answers.set()


def test_thousands_of_events_on_one_path_are_one_job_and_one_look_more(hanging: Hanging) -> None:
    key = Key("s", "a.jpg")
    for number in range(5_000):
        hanging.looks.noticed({key: Mark.WRITING if number % 2 else Mark.CLOSED})
        hanging.looks.retry([key])
        assert hanging.worker.busy == 1
        assert len(hanging.looks) <= 2
    hanging.turn()
    assert hanging.stats == 2  # the one under way, and one for all that came after
    (entry,) = hanging.pending.take(time.monotonic(), 9, 9)
    assert entry.retry
    assert entry.fresh


def test_a_change_of_attributes_takes_no_news_back_while_it_waits(hanging: Hanging) -> None:
    first, second = Key("s", "a.jpg"), Key("s", "gone.jpg")
    hanging.looks.noticed({first: Mark.CLOSED})
    for mark in (Mark.GONE, Mark.TOUCHED):
        hanging.looks.noticed({second: mark})
    hanging.turn()
    entries = {entry.key: entry for entry in hanging.pending.take(time.monotonic(), 9, 9)}
    assert entries[second].witnessed
    assert entries[second].observation.state is None


def test_a_path_that_is_worked_on_is_finished_and_waits_again_with_what_it_was_asked_for(hanging: Hanging) -> None:
    key = Key("s", "a.jpg")
    hanging.pending.put(PendingPath(key, completed(FileState(1, 1), 0.0), fresh=True, altered=True))
    (entry,) = hanging.pending.take(1.0, 9, 9)
    hanging.looks.noticed({Key("s", "b.jpg"): Mark.CLOSED})
    hanging.looks.again(entry, 0.0)
    hanging.looks.noticed({key: Mark.CLOSED})
    hanging.turn()
    again = {each.key: each for each in hanging.pending.take(time.monotonic(), 9, 9)}
    assert again.keys() == {key, Key("s", "b.jpg")}
    assert again[key].altered


def test_more_paths_than_can_be_remembered_are_answered_with_a_comparison(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_module, "MOST", 50)
    for number in range(52):  # the first one is under way
        hanging.looks.noticed({Key("s", f"{number}.jpg"): Mark.CLOSED})
        hanging.looks.retry([Key("s", f"{number}.jpg")])
    assert hanging.overflowed == ["s"]
    assert len(hanging.looks) <= 50
    hanging.turn()


def test_what_is_asked_for_again_and_again_runs_once_more() -> None:
    loop, may_go = Loop(), threading.Event()
    runs: list[int] = []
    results: list[int] = []

    def work() -> int:
        runs.append(1)
        may_go.wait(60)
        return len(runs)

    repeated = Repeated(Worker("test", loop), work, results.append)
    for _ in range(1_000):
        repeated.ask()
    may_go.set()
    turn_until(loop, lambda: not repeated.busy)
    assert results == [1, 2]
    repeated.ask()
    turn_until(loop, lambda: not repeated.busy)
    assert results == [1, 2, 3]


def test_a_worker_that_hangs_holds_up_no_other_sources() -> None:
    loop, may_go = Loop(), threading.Event()
    workers = Workers("test", loop)
    done: list[str] = []
    workers["hung"].submit(lambda: may_go.wait(60), lambda _: done.append("hung"))
    workers["well"].submit(lambda: None, lambda _: done.append("well"))
    turn_until(loop, lambda: bool(done))
    assert done == ["well"]
    assert workers.busy == 1
    may_go.set()
    turn_until(loop, lambda: not workers.busy)


def test_what_takes_too_long_is_left_behind() -> None:
    never = threading.Event()
    assert within(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)
    with pytest.raises(TimeoutError):
        within(0.01, lambda: never.wait(60))
    never.set()
