"""The index goes away and comes back; a stop, a limit or a refusal ends the waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ingest.index.retrying import Retrier
from ingest.loop import Loop, Stopping, Worker
from recq.errors import IndexRefused, IndexUnreachable, RecqError, SpaceMismatch
from tests.eventually import eventually


class Said:
    """What a Retrier told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stop = threading.Event()

    def retrier(self, *, give_up_after: float | None = None) -> Retrier:
        def explain(error: IndexRefused) -> RecqError:
            return SpaceMismatch("rebuilt") if "404" in str(error) else error

        retrier = Retrier(
            self.stop,
            give_up_after=give_up_after,
            waiting=lambda error: self.lines.append(f"waiting: {error}"),
            recovered=lambda: self.lines.append("recovered"),
        )
        retrier.explain = explain
        return retrier


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
    retrier = said.retrier()
    assert retrier(failing(3, lambda: IndexUnreachable("away")), 21) == 42
    assert said.lines == ["waiting: away", "recovered"]
    assert not retrier.away
    assert retrier(failing(0, lambda: IndexUnreachable("away")), 1) == 2
    assert len(said.lines) == 2


def test_a_stop_ends_the_waiting_at_once() -> None:
    said = Said()
    retrier = said.retrier()
    threading.Timer(0.1, said.stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopping):
        retrier(failing(1_000_000, lambda: IndexUnreachable("away")), 1)
    assert time.monotonic() - started < 5
    assert retrier.away


def test_after_a_stop_an_answer_still_counts() -> None:
    said = Said()
    said.stop.set()
    assert said.retrier()(failing(0, lambda: IndexUnreachable("away")), 1) == 2


def test_a_limit_raises_what_the_index_said() -> None:
    with pytest.raises(IndexUnreachable, match="away"):
        Said().retrier(give_up_after=0.2)(failing(1_000_000, lambda: IndexUnreachable("away")), 1)


def test_a_refusal_is_explained_and_not_tried_again() -> None:
    said = Said()
    with pytest.raises(SpaceMismatch, match="rebuilt"):
        said.retrier()(failing(1, lambda: IndexRefused("404 no such collection")), 1)
    with pytest.raises(IndexRefused, match="401"):
        said.retrier()(failing(1, lambda: IndexRefused("401")), 1)
    assert said.lines == []


def test_it_is_away_while_any_call_fails() -> None:
    """A full disk can be read: calls that succeed meanwhile do not say that it is over."""
    said = Said()
    retrier = said.retrier()
    full = threading.Event()
    full.set()

    def write() -> str:
        if full.is_set():
            raise IndexUnreachable("no space left")
        return "written"

    results: list[str] = []
    writer = threading.Thread(target=lambda: results.append(retrier(write)))
    writer.start()
    eventually(lambda: retrier.away)
    assert retrier(lambda: "read") == "read"
    assert (retrier.away, retrier.reason) == (True, "no space left")
    full.clear()
    writer.join(30)
    assert results == ["written"]
    assert (retrier.away, retrier.reason) == (False, None)
    assert said.lines == ["waiting: no space left", "recovered"]


def test_silence_is_a_reason_too(monkeypatch: pytest.MonkeyPatch) -> None:
    retrier = Said().retrier()
    monkeypatch.setattr("ingest.index.retrying._SLOW", 0.01)
    answer = threading.Event()
    caller = threading.Thread(target=lambda: retrier(answer.wait, 30))
    caller.start()
    try:
        eventually(lambda: retrier.reason == "the index has not answered for 0 s")
        assert not retrier.away, "nothing has failed yet"
    finally:
        answer.set()
        caller.join(30)
    assert retrier.reason is None


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
