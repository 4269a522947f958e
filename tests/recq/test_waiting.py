"""A wait that lasts is said once, from outside, whatever the one who waits is held by."""

from __future__ import annotations

import threading

from recq.waiting import waiting


def test_what_is_waited_for_is_said_once_with_the_latest_reason() -> None:
    said: list[str] = []
    heard = threading.Event()

    def say(message: str) -> None:
        said.append(message)
        heard.set()

    with waiting("a server to answer", 10.0, say) as wait:
        wait.what = "a server (connection refused)"
        assert heard.wait(5.0)
    assert said == ["waiting for a server (connection refused): up to 10 s"]


def test_a_wait_without_an_end_says_how_to_end_it() -> None:
    said: list[str] = []
    heard = threading.Event()

    def say(message: str) -> None:
        said.append(message)
        heard.set()

    with waiting("a disk", None, say):
        assert heard.wait(5.0)
    assert said == ["waiting for a disk: as long as it takes (Ctrl-C ends it)"]


def test_a_short_wait_is_not_worth_a_word() -> None:
    said: list[str] = []
    with waiting("a server", 10.0, said.append):
        pass
    assert said == []
