"""Daemon and service as systemd runs them: ready when their loop runs, a beat while it moves, and the end announced."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

import ingest.service.session
from ingest.daemon import Daemon
from recq.heartbeat import Heartbeat
from recq.settings import Settings
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.recq.api.test_serve import serving
from tests.recq.test_heartbeat import manager
from tests.reliability.in_process import InProcess, stand_ins

WATCHDOG = 0.6
"""Seconds that the manager of the tests allows between two beats."""


def watched(tmp_path: Path) -> dict[str, str]:
    """What systemd sets for a service."""
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}


def place(tmp_path: Path) -> Place:
    """A place whose programs find a manager at `notify`."""
    found = Place(tmp_path / "shop", tmp_path / "data", settings=watched(tmp_path))
    put(found.root / "a.jpg", 1)
    return found


def next_line(listening: socket.socket, within: float = 60.0) -> str:
    listening.settimeout(within)
    return listening.recv(4096).decode()


def beats(listening: socket.socket) -> bool:
    """Whether it goes on beating: one more may come of a step that had begun."""
    try:
        for _ in range(5):
            next_line(listening, 2 * WATCHDOG)
    except TimeoutError:
        return False
    return True


def test_the_daemon_is_ready_when_its_loop_runs_and_beats_until_it_ends(tmp_path: Path) -> None:
    with manager(str(tmp_path / "notify")) as listening, place(tmp_path).daemon() as daemon:
        assert next_line(listening, 120) == "READY=1\nWATCHDOG=1"
        daemon.said("started", within=1)
        daemon.said("indexed", within=60)
        for _ in range(3):  # idle
            assert next_line(listening, 10) == "WATCHDOG=1"
        assert daemon.stop(signal.SIGTERM) == 0
        lines = [next_line(listening, 1)]
        while lines[-1] == "WATCHDOG=1":
            lines.append(next_line(listening, 1))
        assert lines[-1] == "STOPPING=1"


def test_the_page_does_the_same(tmp_path: Path) -> None:
    shop = place(tmp_path)
    with manager(str(tmp_path / "notify")) as listening:
        shop.settings.clear()
        assert shop.once().returncode == 0
        with serving(shop, **watched(tmp_path)) as service:
            assert next_line(listening) == "READY=1\nWATCHDOG=1"
            assert next_line(listening, 10) == "WATCHDOG=1"
            assert service.stop()[0] == 0
            lines = [next_line(listening, 1)]
            while lines[-1] == "WATCHDOG=1":
                lines.append(next_line(listening, 1))
            assert lines[-1] == "STOPPING=1"


def test_a_loop_that_hangs_does_not_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process lives, its threads and its loopback server answer: only the loop stands, and that is what counts."""
    moving = threading.Event()
    moving.set()
    monkeypatch.setattr(Daemon, "_show", lambda _: moving.wait())
    monkeypatch.setattr(ingest.service.session, "Heartbeat", lambda: Heartbeat(watched(tmp_path)))
    monkeypatch.setenv("RECQ_CONFIG", os.devnull)
    put(tmp_path / "shop" / "a.jpg", 1)
    settings = Settings(data_dir=tmp_path / "data", api=False)
    with manager(str(tmp_path / "notify")) as listening, stand_ins():
        daemon = InProcess(settings, tmp_path / "shop")
        daemon.start()
        assert next_line(listening) == "READY=1\nWATCHDOG=1"
        assert next_line(listening, 10) == "WATCHDOG=1"
        moving.clear()
        assert not beats(listening)
        moving.set()
        assert next_line(listening, 10) == "WATCHDOG=1"
        daemon.stop()
