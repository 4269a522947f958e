"""What follows the last write: a flush and the scale of scores each time, a look for doubled sources once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from ingest.context import Context
from ingest.index.retrying_index import RetryingIndex
from ingest.loop import Loop
from ingest.pipeline.afterwards import Afterwards
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.errors import IndexUnreachable
from recq.index.catalog import Catalog
from recq.settings import Settings


class Case:
    """What was asked of the index, how often; `away`: it does not tell the scale of scores."""

    def __init__(self, folder: Path, *, away: bool = False) -> None:
        self.asked: Counter[str] = Counter()
        self.away = away
        self.loop = Loop()
        sources = Sources(
            WatchedSource(name, folder, table_path=None, types=dict, say=lambda *_: None) for name in "st"
        )
        context = Context(Settings(), sources, self.loop, lambda *_, **__: None, threading.Event(), live=True)
        self.afterwards = Afterwards(context, cast(Catalog, self), cast(RetryingIndex, self), self._flush)
        for name in sources:
            self.afterwards.add(name)

    def _flush(self) -> None:
        self.asked["flush"] += 1

    @property
    def changes(self) -> Case:
        return self

    def prune(self) -> None:
        self.asked["prune"] += 1

    def background(self) -> None:
        self.asked["background"] += 1
        if self.away:
            raise IndexUnreachable("away")

    def look_for_double(self, watched: WatchedSource) -> bool:
        self.asked[f"double of {watched.name}"] += 1
        return watched.name == "t"

    def record_problems(self, watched: WatchedSource) -> None:
        self.asked[f"problems of {watched.name}"] += 1

    def quiet(self, settled: Callable[[str], bool] = lambda _: True) -> Counter[str]:
        """All that follows when something was written and then nothing for long."""
        self.asked.clear()
        self.afterwards.written()
        soon = time.monotonic()
        self.afterwards.tick(soon, settled)
        assert not self.asked  # more may come
        due = self.afterwards.next_deadline()
        assert due > soon
        self.afterwards.tick(due, settled)
        parts: list[Any] = [
            self.afterwards._flush,
            self.afterwards._measure,
            self.afterwards._prune,
            self.afterwards._doubles,
        ]
        deadline = time.monotonic() + 30
        while any(part.busy for part in parts):
            self.loop.turn(deadline)
        assert self.afterwards.next_deadline() == float("inf")
        return Counter(self.asked)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_doubles_are_looked_for_when_a_first_pass_has_ended_and_never_again(case: Case) -> None:
    always = Counter(flush=1, background=1)
    assert case.quiet(lambda _: False) == always + Counter(prune=1)
    doubles = Counter({"double of s": 1, "double of t": 1, "problems of t": 1})
    assert case.quiet(lambda name: name == "s") == always + doubles
    assert case.quiet(lambda name: name == "s") == always
    assert case.quiet() == always + doubles
    for _ in range(5):
        assert case.quiet() == always


def test_while_much_is_written_the_scale_is_measured_now_and_then(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    looks = 0
    for _ in range(100):  # half a minute without a pause
        now += 0.3
        case.afterwards.written()
        while case.afterwards._measure.busy:
            case.loop.turn(now + 1)
        looks = case.asked["background"]
    assert 2 <= looks <= 3
    assert case.asked == Counter(background=looks)


def test_a_single_pass_ends_with_both(tmp_path: Path) -> None:
    case = Case(tmp_path, away=True)
    case.afterwards.finish()
    all_ = Counter({"background": 1, "double of s": 1, "double of t": 1, "problems of t": 1})
    assert case.asked == all_
    case.asked.clear()
    case.afterwards.removed()
    case.afterwards.finish()
    assert case.asked == all_ + Counter(prune=1)


def test_tombstones_are_looked_for_once_an_hour(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    looks = 0
    for _ in range(49):  # four hours
        looks += case.quiet()["prune"]
        case.afterwards.removed()
        now += 300
    assert looks == 5
