"""The index goes away and comes back; a stop, a limit or a refusal ends the waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ingest.loop import Loop, Stopping, Worker
from ingest.patience import Patience
from recq.errors import IndexRefused, IndexUnreachable, RecqError, SpaceMismatch
from tests.eventually import eventually


class Said:
    """What a Patience told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stop = threading.Event()

    def patience(self, *, give_up_after: float | None = None) -> Patience:
        def explain(error: IndexRefused) -> RecqError:
            return SpaceMismatch("rebuilt") if "404" in str(error) else error

        patience = Patience(
            self.stop,
            give_up_after=give_up_after,
            waiting=lambda error: self.lines.append(f"waiting: {error}"),
            recovered=lambda: self.lines.append("recovered"),
        )
        patience.explain = explain
        return patience


def failing(times: int, error: Callable[[], Exception]) -> Callable[[int], int]:
    """Fails that many times, then doubles its argument."""
    left = [times]

    def call(value: int) -> int:
        if left[0]:
            left[0] -= 1
            raise error()
        return value * 2

    return call


def test_it_tries_until_the_index_answers_and_says_so_once() -> None:
    said = Said()
    patience = said.patience()
    assert patience(failing(3, lambda: IndexUnreachable("away")), 21) == 42
    assert said.lines == ["waiting: away", "recovered"]
    assert not patience.away
    assert patience(failing(0, lambda: IndexUnreachable("away")), 1) == 2
    assert len(said.lines) == 2


def test_a_stop_ends_the_waiting_at_once() -> None:
    said = Said()
    patience = said.patience()
    threading.Timer(0.1, said.stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopping):
        patience(failing(1_000_000, lambda: IndexUnreachable("away")), 1)
    assert time.monotonic() - started < 5
    assert patience.away


def test_after_a_stop_an_answer_still_counts() -> None:
    said = Said()
    said.stop.set()
    assert said.patience()(failing(0, lambda: IndexUnreachable("away")), 1) == 2


def test_a_limit_raises_what_the_index_said() -> None:
    with pytest.raises(IndexUnreachable, match="away"):
        Said().patience(give_up_after=0.2)(failing(1_000_000, lambda: IndexUnreachable("away")), 1)


def test_a_refusal_is_explained_and_not_tried_again() -> None:
    said = Said()
    with pytest.raises(SpaceMismatch, match="rebuilt"):
        said.patience()(failing(1, lambda: IndexRefused("404 no such collection")), 1)
    with pytest.raises(IndexRefused, match="401"):
        said.patience()(failing(1, lambda: IndexRefused("401")), 1)
    assert said.lines == []


def test_it_is_away_while_any_call_fails() -> None:
    """A full disk can be read: calls that succeed meanwhile do not say that it is over."""
    said = Said()
    patience = said.patience()
    full = threading.Event()
    full.set()

    def write() -> str:
        if full.is_set():
            raise IndexUnreachable("no space left")
        return "written"

    results: list[str] = []
    writer = threading.Thread(target=lambda: results.append(patience(write)))
    writer.start()
    eventually(lambda: patience.away)
    assert patience(lambda: "read") == "read"
    assert (patience.away, patience.reason) == (True, "no space left")
    full.clear()
    writer.join(30)
    assert results == ["written"]
    assert (patience.away, patience.reason) == (False, None)
    assert said.lines == ["waiting: no space left", "recovered"]


def test_silence_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Said().patience()
    monkeypatch.setattr("ingest.patience._SLOW", 0.01)
    answer = threading.Event()
    caller = threading.Thread(target=lambda: patience(answer.wait, 30))
    caller.start()
    try:
        eventually(lambda: patience.reason == "the index has not answered for 0 s")
        assert not patience.away, "nothing has failed yet"
    finally:
        answer.set()
        caller.join(30)
    assert patience.reason is None


def turn_until(loop: Loop, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        loop.turn(deadline)


def test_a_worker_reports_in_order_to_the_loops_thread() -> None:
    loop = Loop()
    worker = Worker("test", loop)
    seen: list[tuple[int, int]] = []
    for number in range(5):
        worker.submit(lambda n=number: n * n, lambda result: seen.append((result, threading.get_ident())))  # type: ignore[misc]
    assert worker.busy == 5
    turn_until(loop, lambda: not worker.busy)
    assert seen == [(n * n, threading.get_ident()) for n in range(5)]


def test_what_a_job_dies_of_reaches_the_loop() -> None:
    loop = Loop()
    worker = Worker("test", loop)
    worker.submit(lambda: 1 // 0, lambda _: None)
    with pytest.raises(ZeroDivisionError):
        turn_until(loop, lambda: not worker.busy)

    def stopping() -> int:
        raise Stopping

    worker.submit(stopping, lambda _: pytest.fail("a result of nothing"))
    turn_until(loop, lambda: not worker.busy)


def test_the_loop_sleeps_until_something_is_posted() -> None:
    loop = Loop()
    started = time.monotonic()
    loop.turn(started + 0.05)
    assert time.monotonic() - started >= 0.05
    threading.Timer(0.05, lambda: loop.post(lambda: None)).start()
    started = time.monotonic()
    loop.turn(started + 60)
    assert time.monotonic() - started < 30
