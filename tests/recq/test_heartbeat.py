"""What systemd is told: over sockets with a path and abstract ones, and no more often than it asks for."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import pytest

from recq.heartbeat import SILENT, Heartbeat


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """systemd's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.settimeout(0.0)
        yield listening


def told(listening: socket.socket) -> list[str]:
    """What has arrived."""
    found = []
    while True:
        try:
            found.append(listening.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@recq-test-{os.getpid()}-{time.monotonic_ns()}"


def test_it_is_ready_with_the_first_step_and_beats_in_time(address: str) -> None:
    with manager(address) as listening:
        heart = Heartbeat({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())})
        assert told(listening) == []
        heart.tick(100.0)
        assert told(listening) == ["READY=1\nWATCHDOG=1"]
        assert heart.next_deadline() == 101.0
        heart.tick(100.9)
        assert told(listening) == []
        heart.tick(101.0)
        assert told(listening) == ["WATCHDOG=1"]
        heart.ending()
        assert told(listening) == ["STOPPING=1"]


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_it_is_ready_and_does_not_beat(address: str, watchdog: dict[str, str]) -> None:
    with manager(address) as listening:
        heart = Heartbeat({"NOTIFY_SOCKET": address, **watchdog})
        heart.tick(5.0)
        heart.tick(1e9)
        assert told(listening) == ["READY=1"]
        assert heart.next_deadline() == inf


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    for heart in (SILENT, Heartbeat({"WATCHDOG_USEC": "3"}), Heartbeat({"NOTIFY_SOCKET": str(tmp_path / "gone")})):
        heart.tick(0.0)
        heart.ending()
    assert SILENT.next_deadline() == inf


def test_a_manager_that_does_not_read_holds_nothing_up(address: str) -> None:
    with manager(address) as listening:
        heart = Heartbeat({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3"})
        began = time.monotonic()
        for number in range(5_000):  # more than a socket has room for
            heart.tick(float(number))
        assert time.monotonic() - began < 20
        assert "READY" in told(listening)[0]
