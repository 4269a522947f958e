"""The loop: when it looks at its stages again, and what it has run until then."""

from __future__ import annotations

import threading
import time

from ingest.loop import Loop


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
