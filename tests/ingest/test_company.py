"""When a daemon says that another one is at work."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingest.company import is_living_other, own_watcher, started
from recq.index.sources import Watcher

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OWN = Watcher("here", 10, NOW.isoformat())


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize(
    ("last", "other"),
    [
        (None, False),
        (replace(OWN, at=ago(5)), False),  # this daemon itself
        (Watcher("here", 11, ago(5)), True),
        (Watcher("here", 11, ago(500_000)), False),  # a younger process that has the number now
        (Watcher("here", 12, ago(5)), False),  # a process that has ended
        (Watcher("there", 10, ago(5)), True),
        (Watcher("there", 10, ago(-5)), True),  # its clock is ahead
        (Watcher("there", 10, ago(601)), False),
    ],
)
def test_another_daemon(last: Watcher | None, other: bool) -> None:
    alive = {11: (NOW - timedelta(seconds=1000)).timestamp()}
    assert is_living_other(last, OWN, within=600, started=alive.get) is other


def test_processes() -> None:
    own = own_watcher()
    assert own.pid == os.getpid()
    began = started(own.pid)
    assert began is not None
    assert began < time.time()
    assert started(2**30) is None
