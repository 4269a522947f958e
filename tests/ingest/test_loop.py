"""The loop: when it looks at its stages again, and what it has run until then."""

from __future__ import annotations

import threading
import time

import pytest

from ingest.loop import Loop, Quiet, Worker, Workers
from tests.eventually import eventually


def test_what_is_posted_soon_after_is_run_in_the_same_turn_where_results_are_gathered() -> None:
    loop, ran = Loop(), list[str]()

    def second() -> None:
        ran.append("second")
        loop.post(lambda: ran.append("third"))

    def first() -> None:
        ran.append("first")
        threading.Timer(0.02, loop.post, [second]).start()  # not there yet when the first has ended

    loop.post(first)
    began = time.monotonic()
    loop.turn(began + 60, gather=0.5)
    assert ran == ["first", "second", "third"]
    assert 0.5 <= time.monotonic() - began < 30


def test_a_result_that_comes_alone_is_not_waited_with() -> None:
    loop, ran = Loop(), list[str]()
    threading.Timer(0.05, loop.post, [lambda: ran.append("late")]).start()
    began = time.monotonic()
    loop.turn(began + 60, gather=0.01)  # over before anything came
    assert ran == ["late"]
    loop.post(lambda: ran.append("alone"))
    loop.turn(time.monotonic() + 60)
    assert ran == ["late", "alone"]
    assert time.monotonic() - began < 30


def test_gathering_ends_at_its_time_however_much_is_posted() -> None:
    loop, count = Loop(), 0

    def again() -> None:
        nonlocal count
        count += 1
        loop.post(again)

    loop.post(again)
    loop.turn(time.monotonic() + 60, gather=60)
    assert count > 1


def test_a_loop_that_ends_leaves_no_thread_and_keeps_no_result() -> None:
    """A process may go on with another one: of a daemon whose catalog has moved."""
    loop, held, began = Loop(), threading.Event(), threading.Event()
    worker, workers = Worker("ends-alone", loop), Workers("ends", loop)

    def work() -> bytes:
        began.set()
        held.wait(30)
        return b"a result"

    for each in (worker, workers["shop"], workers["archive"]):
        each.submit(lambda: None, lambda _: None)
    worker.submit(work, lambda _: pytest.fail("it has ended"))
    worker.submit(lambda: pytest.fail("it was not begun"), lambda _: None)
    assert began.wait(30)
    loop.end()
    held.set()
    eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("ends")])
    loop.post(lambda: pytest.fail("it has ended"))
    loop.turn(time.monotonic())
    assert loop._calls.empty()


def test_quiet_is_told_once_after_a_while_and_again_after_something_came() -> None:
    quiet = Quiet(after=1.0)
    seen = [
        (0.0, True), (0.5, True), (0.6, False), (0.7, True), (1.6, True), (1.8, True), (9.0, True), (9.5, False),
        (10.0, True), (11.0, True), (12.0, True),
    ]  # fmt: skip
    told = [(now, quiet.tick(now, nothing_left=left)) for now, left in seen]
    assert [now for now, told_now in told if told_now] == [1.8, 11.0]


def test_quiet_wakes_the_loop_when_it_would_be_told() -> None:
    quiet = Quiet(after=1.0)
    assert quiet.next_deadline() == float("inf")
    quiet.tick(5.0, nothing_left=True)
    assert quiet.next_deadline() == 6.0
    quiet.tick(6.0, nothing_left=True)
    assert quiet.next_deadline() == float("inf")
