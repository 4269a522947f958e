"""When the daemon makes the next index: one at a time, with a pause while pictures are under way, never for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ingest.index.missing_indexes import Indexing
from ingest.index.retrying import Retrier
from ingest.loop import Loop
from recq.errors import RequestRefused
from recq.index.pending_fields import Missing, Waiting, record, refusal_record, waiting_in
from recq.index.schema import FieldType
from tests.eventually import eventually

NOW = 100.0


class Fake:
    """The fields of a catalog, all of which wait."""

    def __init__(self, *names: str) -> None:
        self.records: dict[str, object] = {**record(dict.fromkeys(names, FieldType.INTEGER))}
        self.made: list[str] = []
        self.refused: set[str] = set()
        self.noted = 0
        self.known_waiting = Waiting()

    def waiting(self, *, refresh: bool) -> Waiting:
        assert refresh
        self.known_waiting = waiting_in(self.records, {}, self.made)
        return self.known_waiting

    def make(self, missing: Missing) -> None:
        if missing.field in self.refused:
            raise RequestRefused(f"no index for {missing.field}")
        self.made.append(missing.key)
        self.waiting(refresh=True)

    def note_refused(self, missing: Missing, why: str) -> None:
        self.records |= refusal_record(missing, why)
        self.waiting(refresh=True)

    def note_made(self) -> None:
        self.noted += 1


class Events(list[tuple[str, dict[str, object]]]):
    def __call__(self, event: str, /, **fields: object) -> None:
        self.append((event, fields))


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def events() -> Events:
    return Events()


def indexing(loop: Loop, fake: Fake, events: Events) -> Indexing:
    retrier = Retrier(threading.Event(), give_up_after=None, waiting=lambda _: None, recovered=lambda: None)
    return Indexing(loop, fake, lambda: None, retrier, events, look_every=300.0)  # the index takes other things


def turns(loop: Loop, tick: Callable[[], None], until: Callable[[], bool]) -> None:
    def turn() -> bool:
        tick()
        loop.turn(time.monotonic() + 0.05)
        return until()

    eventually(turn, every=0.0)


def test_it_looks_at_the_start_and_makes_what_another_one_left(loop: Loop, events: Events) -> None:
    fake = Fake("a", "b", "c")
    work = indexing(loop, fake, events)
    assert not work.idle
    turns(loop, lambda: work.tick(NOW, hurry=True), lambda: work.idle)
    assert (fake.made, fake.noted, work.left) == (["a", "b", "c"], 1, 0)
    assert [(name, fields["made"], fields["waiting"]) for name, fields in events] == [
        ("indexes", 0, 2),
        ("indexes", 3, 0),
    ]


def test_it_is_idle_after_a_look_at_nothing(loop: Loop, events: Events) -> None:
    work = indexing(loop, Fake(), events)
    turns(loop, lambda: work.tick(NOW, hurry=True), lambda: work.idle)
    assert (list(events), work.next_deadline()) == ([], NOW + 300.0)


def test_what_is_declared_meanwhile_is_made_without_waiting_for_the_next_look(loop: Loop, events: Events) -> None:
    fake = Fake()
    work = indexing(loop, fake, events)
    turns(loop, lambda: work.tick(NOW, hurry=True), lambda: work.idle)
    fake.records |= record({"a": FieldType.INTEGER})
    fake.waiting(refresh=True)
    assert not work.idle
    turns(loop, lambda: work.tick(NOW, hurry=True), lambda: work.idle)
    assert fake.made == ["a"]


def test_each_index_is_followed_by_a_pause_as_long_unless_nobody_waits(loop: Loop, events: Events) -> None:
    fake = Fake("a", "b")
    slow = fake.make

    def make(missing: Missing) -> None:
        time.sleep(0.05)
        slow(missing)

    fake.make = make  # type: ignore[method-assign]
    work = indexing(loop, fake, events)
    work.tick(time.monotonic(), hurry=False)
    loop.turn(time.monotonic() + 10)
    assert fake.made == ["a"]
    ended = time.monotonic()
    work.tick(ended, hurry=False)
    assert work.next_deadline() - ended > 0
    work.tick(work.next_deadline(), hurry=False)
    loop.turn(time.monotonic() + 10)
    assert fake.made == ["a", "b"]


def test_an_index_that_is_refused_keeps_no_other_from_being_made_and_is_said_once(loop: Loop, events: Events) -> None:
    fake = Fake("a", "b", "c")
    fake.refused = {"b"}
    work = indexing(loop, fake, events)
    turns(loop, lambda: work.tick(NOW, hurry=True), lambda: work.idle)
    assert fake.made == ["a", "c"]
    assert [fields for name, fields in events if name == "unindexed"] == [{"field": "b", "detail": "no index for b"}]
    waiting = fake.known_waiting
    assert {each.field: why for each, why in waiting.refused.items()} == {"b": "no index for b"}
    assert (waiting.left, work.left) == (0, 0)
    fake.refused.clear()
    later = indexing(loop, fake, events)  # the next daemon tries once more
    turns(loop, lambda: later.tick(NOW, hurry=True), lambda: later.idle)
    assert fake.made == ["a", "c", "b"]
    assert fake.known_waiting.settled == ["b"]
