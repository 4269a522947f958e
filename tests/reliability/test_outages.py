"""A server that is slow, full, rationed or emptied: the daemon stays or says what to do, and nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Daemon, Place
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import Figures
from tests.reliability.slow_link import SlowLink, slow_link
from tests.reliability.small_disk import small_disk

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    with QdrantServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def link(server: QdrantServer) -> Iterator[SlowLink]:
    with slow_link(server.http_port) as link:
        yield link


def drop(place: Place, numbers: range) -> set[str]:
    return {put(place.root / f"{number}.jpg", number).name for number in numbers}


def holds(place: Place, wanted: set[str]) -> bool:
    """Index == folder, and not a point more."""
    with place.catalog() as catalog:
        return set(place.items()) == wanted and catalog.items.count() == len(wanted)


def waits(place: Place, daemon: Daemon, why: str) -> None:
    def look() -> bool:
        status = place.status()
        assert daemon.process.poll() is None, "the daemon has ended"
        return status["state"] == "waiting" and why in (status["detail"] or "")

    eventually(look, within=60, every=0.1)


@pytest.mark.long
def test_a_slow_server_slows_the_daemon_and_nothing_else(
    tmp_path: Path, server: QdrantServer, link: SlowLink, full: bool, figures: Figures
) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", link.url))
    direct = Place(place.root, tmp_path / "none", ("--url", server.url))
    count = 1000 if full else 30
    with place.daemon() as daemon:
        daemon.ready()
        link.delay = 1.0
        wanted = drop(place, range(count))
        daemon.said("indexed", within=60)
        link.delay = 300.0  # it is silent
        wanted |= drop(place, range(count, count + 20))
        waits(place, daemon, "has not answered for")
        began = time.monotonic()
        assert daemon.stop(within=10) == 0  # five seconds are promised, on a machine with less to do
        figures("slow server: SIGTERM to the end", seconds=round(time.monotonic() - began, 2))
    link.delay = 0.2
    with place.daemon() as daemon:
        daemon.said("reconciled", within=120)
        link.delay = 0.0
        eventually(lambda: holds(direct, wanted), within=120)
    assert set(direct.vectors()) == wanted


def test_a_server_with_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    """A server refuses writes while less than its journal's buffer is free (500, read in 1.17.0), and goes on after."""
    with small_disk(tmp_path / "disk", "500m") as disk, QdrantServer(disk.path / "server") as server:
        place = Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url))
        wanted = drop(place, range(5))
        with place.daemon() as daemon:
            eventually(lambda: len(daemon.events("indexed")) == 5, within=120)
            disk.fill()
            wanted |= drop(place, range(5, 40))
            (place.root / "0.jpg").unlink()
            waits(place, daemon, "No space left on device")
            disk.empty()
            wanted.discard("0.jpg")
            eventually(lambda: holds(place, wanted), within=60)
            daemon.said("recovered")
            assert len(daemon.events("waiting")) == 1


def test_a_rationed_server_is_waited_for(tmp_path: Path, server: QdrantServer) -> None:
    """Strict mode's rate limits: 429 until the next minute has begun, or the ration is lifted."""
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url))
    client = QdrantClient(url=server.url)
    wanted = drop(place, range(3))
    with place.daemon() as daemon:
        eventually(lambda: len(daemon.events("indexed")) == 3, within=120)
        (collection,) = (each.name for each in client.get_collections().collections)
        ration = models.StrictModeConfig(enabled=True, write_rate_limit=1)
        client.update_collection(collection, strict_mode_config=ration)
        for number in range(3, 9):  # one after the other: each is a write of its own
            wanted |= drop(place, range(number, number + 1))
            daemon.said("waiting" if daemon.events("waiting") else "indexed")
        waits(place, daemon, "429")
        client.update_collection(collection, strict_mode_config=models.StrictModeConfig(enabled=False))
        eventually(lambda: holds(place, wanted), within=60)
        assert not daemon.events("refused")


def test_a_collection_that_somebody_deletes_is_an_error_that_says_so(tmp_path: Path, server: QdrantServer) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url))
    wanted = drop(place, range(3))
    client = QdrantClient(url=server.url)
    with place.daemon() as daemon:
        eventually(lambda: len(daemon.events("indexed")) == 3, within=120)
        (collection,) = (each.name for each in client.get_collections().collections)
        client.delete_collection(collection)
        wanted |= drop(place, range(3, 4))
        assert daemon.process.wait(30) == 3
        assert "has been deleted meanwhile: start the daemon again" in daemon.log.read_text()
        assert "Traceback" not in daemon.log.read_text()
    assert place.once().returncode == 0  # what a supervisor does: the folder has it all
    assert holds(place, wanted)


# -- the clock and the source's disk -----------------------------------------------------------------------------------


def test_times_that_no_clock_ever_showed(tmp_path: Path) -> None:
    """Stability compares what was seen, never a file's time with the clock's."""
    place = Place(tmp_path / "shop", tmp_path / "data")
    times = {"epoch": 0, "before": -86_400, "1901": -(2**31), "2200": 7_258_118_400, "2446": 15_032_385_535}
    for number, (name, seconds) in enumerate(times.items()):
        os.utime(put(place.root / f"{name}.jpg", number), ns=(seconds * 10**9, seconds * 10**9))
    with place.daemon() as daemon:
        daemon.ready()
        wanted = {f"{name}.jpg" for name in times}
        eventually(lambda: set(place.vectors()) == wanted, within=120)
        stamps = {path: item.file.mtime_ns for path, item in place.items().items()}
        assert stamps == {f"{name}.jpg": (place.root / f"{name}.jpg").stat().st_mtime_ns for name in times}
        # A file whose time goes backwards is another state, and is read again.
        changed = put(place.root / "2200.jpg", 99)
        os.utime(changed, ns=(-1, -1))
        eventually(lambda: place.items()["2200.jpg"].file.mtime_ns == changed.stat().st_mtime_ns)
    again = place.once("--log-format", "json")
    assert again.returncode == 0
    assert '"changes": 0' in again.stderr, "a second look finds nothing to do"
