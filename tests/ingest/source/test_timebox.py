"""Work that may hang is waited for no longer than a time, and holds up nothing that comes later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ingest.source.timebox import NotAnswered, Timebox, within

BOUNDED: list[Callable[[Callable[[], Any]], Any]] = [
    lambda work: within(0.2, work),
    lambda work: Timebox(0.2, "test")(work),
]


@pytest.mark.parametrize("bounded", BOUNDED, ids=["within", "Timebox"])
def test_the_result_or_what_is_raised_comes_back(bounded: Callable[[Callable[[], Any]], Any]) -> None:
    def fail() -> None:
        raise SystemExit(3)

    def slow_network() -> None:
        raise TimeoutError("of the network")

    assert bounded(lambda: 5) == 5
    assert bounded(lambda: None) is None
    with pytest.raises(SystemExit):
        bounded(fail)
    with pytest.raises(TimeoutError, match="of the network") as raised:
        bounded(slow_network)
    assert not isinstance(raised.value, NotAnswered)


@pytest.mark.parametrize("bounded", BOUNDED, ids=["within", "Timebox"])
def test_what_hangs_is_left_behind(bounded: Callable[[Callable[[], Any]], Any]) -> None:
    for_ever = threading.Event()
    with pytest.raises(NotAnswered, match=r"no answer within 0\.2 s"):
        bounded(for_ever.wait)
    for_ever.set()


def test_a_thread_that_has_answered_is_used_again_and_one_that_hangs_is_not() -> None:
    timebox, for_ever = Timebox(0.2, "test"), threading.Event()
    first = timebox(threading.get_ident)
    assert timebox(threading.get_ident) == first
    with pytest.raises(NotAnswered):
        timebox(for_ever.wait)
    second = timebox(threading.get_ident)
    assert second != first
    for_ever.set()
    assert timebox(threading.get_ident) == second
