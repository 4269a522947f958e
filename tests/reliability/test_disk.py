"""The disk of the embedded index is full, or may not be written: the daemon stays, says why, and catches up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recq.index.edge.disk import RESERVE
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Daemon, Place
from tests.reliability.small_disk import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "400m") as disk:
        yield disk


@pytest.fixture
def place(tmp_path: Path, disk: SmallDisk) -> Place:
    """The daemon's log is on the small disk, too: `data.log` beside the data folder."""
    return Place(tmp_path / "shop", disk.path / "data")


def drop(place: Place, numbers: range) -> set[str]:
    return {put(place.root / f"{number}.jpg", number).name for number in numbers}


def waits_for_space(place: Place, daemon: Daemon) -> None:
    def look() -> bool:
        status = place.status()
        assert daemon.process.poll() is None, "the daemon has ended"
        return status["state"] == "waiting" and "no space left for" in status["detail"]

    eventually(look, within=60, every=0.2)


def test_a_full_disk_is_waited_out(place: Place, disk: SmallDisk) -> None:
    with place.daemon() as daemon:
        before = drop(place, range(40))
        eventually(lambda: len(daemon.events("indexed")) == 40, within=120)
        disk.fill(leave=RESERVE // 2)
        during = drop(place, range(40, 80))
        (place.root / "0.jpg").unlink()
        waits_for_space(place, daemon)
        disk.fill()  # to the last byte: what is open goes on answering
        assert disk.free == 0
        assert set(place.items()) == before
        waits_for_space(place, daemon)
        after = drop(place, range(80, 100))
        disk.empty()
        wanted = (before | during | after) - {"0.jpg"}
        eventually(lambda: set(place.items()) == wanted, within=120)
        daemon.said("recovered")
    assert set(place.vectors()) == wanted


def test_killed_on_a_full_disk_it_loses_nothing_acknowledged(place: Place, disk: SmallDisk) -> None:
    place.data = disk.path  # so that its log is not on that disk
    before = drop(place, range(40))
    with place.daemon() as daemon:
        eventually(lambda: len(daemon.events("indexed")) == 40, within=120)
        disk.fill()
        wanted = before | drop(place, range(40, 60))
        waits_for_space(place, daemon)
        daemon.process.kill()
        daemon.process.wait()
        refused = place.command("status")  # and does not die of it
        assert (refused.returncode, "No space left on device" in refused.stderr) == (2, True)
    with place.daemon() as daemon:  # it waits for space from the start
        assert "no space left for" in daemon.said("waiting", within=120)["detail"]
        disk.empty()
        daemon.said("started", within=60)
        acknowledged = set(place.items())
        assert acknowledged >= before
        eventually(lambda: set(place.items()) == wanted, within=120)
    assert set(place.vectors()) == wanted


def test_a_data_folder_that_may_not_be_written(place: Place, disk: SmallDisk) -> None:
    put(place.root / "a.jpg", 1)
    assert place.once().returncode == 0
    disk.read_only(True)
    once = place.once()
    assert once.returncode == 2
    assert "Read-only file system" in once.stderr
    assert "--data-dir" in once.stderr
    disk.read_only(False)
    put(place.root / "b.jpg", 2)
    assert place.once().returncode == 0
    assert set(place.items()) == {"a.jpg", "b.jpg"}
