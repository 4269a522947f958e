"""A mount that does not answer holds up its own source: no other one, not the deciding thread, and not the end."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest.events.hints import Mark
from ingest.events.looks import Looks
from ingest.loop import Worker
from ingest.pipeline.places import UNDER_WAY
from ingest.reconcile.walks import Walks
from ingest.source.files import Key
from ingest.source.targets import require_folder
from recq.errors import UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.pictures import jpeg, put
from tests.reliability.hung import Disk, disk_of
from tests.reliability.in_process import InProcess, LastingPool, stand_ins

SOON = 5.0
"""Seconds for what takes one on an idle machine: the tests' machine has much else to do."""


@dataclass
class Two:
    """A daemon on two sources, the disk of the one under control."""

    daemon: InProcess
    hung: Path
    well: Path
    disk: Disk

    def shows(self, **wanted: int) -> bool:
        """Whether the well source has exactly these pictures."""
        expected = {f"{path}.jpg": hashlib.sha256(jpeg(seed)).hexdigest() for path, seed in wanted.items()}
        return self.items("well") == expected

    def has_hung(self, *names: str) -> bool:
        """Whether the index has these files of the hung source."""
        return set(names) <= self.items("hung").keys()

    def items(self, source: str) -> dict[str, str | None]:
        with connect(self.daemon.settings) as client:
            catalog = Catalog.open(client, "images")
            return {item.file.path: item.file.sha256 for item in catalog.ledger.scan(source)}


def elsewhere() -> bool:
    """Of the daemon's threads, not of the test's own."""
    return threading.current_thread() is not threading.main_thread()


@pytest.fixture
def two(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Two]:
    """Started, and with `old.jpg` in both; options of the settings as the parameter."""
    hung, well = (tmp_path / name for name in ("hung", "well"))
    put(hung / "old.jpg", 1)
    put(well / "old.jpg", 2)
    settings = Settings(data_dir=tmp_path / "data", model="mobilenet_v2", **getattr(request, "param", {}))
    with stand_ins(), disk_of(hung) as disk:
        yield Two(InProcess(settings, hung, well), hung, well, disk)


def stop_in_time(two: Two) -> None:
    began = time.monotonic()
    two.daemon.stop()
    assert time.monotonic() - began < SOON


def test_a_disk_that_hangs_while_it_is_watched_holds_up_no_other_source(two: Two) -> None:
    two.daemon.start()
    eventually(lambda: two.daemon.idle() and two.shows(old=2) and two.has_hung("old.jpg"))
    two.disk.hang(elsewhere)
    put(two.hung / "lost.jpg", 3)
    (two.hung / "old.jpg").rename(two.hung / "moved.jpg")
    (two.hung / "folder").mkdir()
    eventually(lambda: any(name.startswith("look") for name in two.disk.waiting))
    put(two.well / "new.jpg", 4)
    eventually(lambda: two.shows(old=2, new=4), within=SOON)
    put(two.well / "new.jpg", 5)
    eventually(lambda: two.shows(old=2, new=5), within=SOON)
    (two.well / "old.jpg").unlink()
    eventually(lambda: two.shows(new=5), within=SOON)
    put(two.well / "deep/er.jpg", 6).parent.rename(two.well / "deeper")
    eventually(lambda: two.shows(new=5, **{"deeper/er": 6}), within=SOON)
    two.disk.answer()
    eventually(lambda: two.has_hung("lost.jpg") and two.has_hung("moved.jpg") and not two.has_hung("old.jpg"))
    stop_in_time(two)


def test_the_daemon_ends_in_time_while_a_disk_hangs(two: Two) -> None:
    two.daemon.start()
    eventually(lambda: two.daemon.idle() and two.has_hung("old.jpg"))
    two.disk.hang(elsewhere)
    put(two.hung / "lost.jpg", 3)
    eventually(lambda: two.disk.waiting)
    stop_in_time(two)


@pytest.mark.parametrize("two", [{"watch": "poll", "poll_interval": 0.2}, {"watch": "native"}], indirect=True)
def test_a_disk_that_hangs_when_the_watch_begins_holds_up_no_other_source(two: Two) -> None:
    """The first snapshot of a poll, and the inotify watches of a tree, are a walk of everything."""
    two.disk.hang(lambda: threading.current_thread().name.startswith(("watch", "reconcile")))
    two.daemon.start()
    eventually(lambda: two.shows(old=2), within=SOON)
    put(two.well / "new.jpg", 4)
    eventually(lambda: two.shows(old=2, new=4), within=SOON)
    assert any(name.startswith("watch") for name in two.disk.waiting)
    assert not two.has_hung("old.jpg")
    stop_in_time(two)


@pytest.mark.parametrize("two", [{"watch": "poll", "poll_interval": 0.2, "rescan": 0.5}], indirect=True)
def test_a_disk_that_hangs_for_the_poll_and_the_comparison_holds_up_no_other_source(two: Two) -> None:
    two.daemon.start()
    eventually(lambda: two.daemon.idle() and two.shows(old=2) and two.has_hung("old.jpg"))
    two.disk.hang(elsewhere)
    eventually(lambda: {"reconcile hung", "check hung"} <= set(two.disk.waiting))
    put(two.well / "new.jpg", 4)
    eventually(lambda: two.shows(old=2, new=4), within=SOON)
    (two.well / "new.jpg").unlink()
    eventually(lambda: two.shows(old=2), within=SOON)
    stop_in_time(two)


def test_events_of_one_path_are_one_look_while_its_disk_hangs(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every queue between the watcher and the disk is bounded by the paths, not by the events."""
    jobs: dict[str, int] = {}
    submit = Worker.submit

    def counted(self: Worker, work: object, then: object) -> None:
        submit(self, work, then)  # type: ignore[arg-type]
        jobs[self._thread.name] = max(jobs.get(self._thread.name, 0), self.busy)

    monkeypatch.setattr(Worker, "submit", counted)
    most: list[int] = []
    noticed = Looks.noticed

    def measured(self: Looks, marks: Mapping[Key, Mark]) -> None:
        noticed(self, marks)
        most.append(len(self))

    monkeypatch.setattr(Looks, "noticed", measured)
    two.daemon.start()
    eventually(lambda: two.daemon.idle() and two.shows(old=2) and two.has_hung("old.jpg"))
    two.disk.hang(lambda: threading.current_thread().name.endswith(" hung"))
    drained = len(most)
    for number in range(200):  # each waits until the loop has seen it: none may be joined with another on the way
        before = len(most)
        (two.hung / "old.jpg").write_bytes(jpeg(3 + number % 2))
        (two.hung / "folder").mkdir(exist_ok=True)
        (two.hung / "folder").rename(two.hung / f"other{number}")
        (two.hung / f"other{number}").rename(two.hung / "folder")
        eventually(lambda before=before: len(most) > before)  # type: ignore[misc]
    assert len(most) - drained >= 200
    assert max(most[drained:]) <= 2
    assert max(count for name, count in jobs.items() if name.endswith(" hung")) <= 2
    two.disk.answer()
    eventually(lambda: two.daemon.idle() and two.has_hung("old.jpg"))
    stop_in_time(two)


def test_many_folders_that_vanish_cost_one_scan_of_the_index(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        put(two.well / f"{number}/a.jpg", 10 + number % 3)
    scans: list[int] = []
    find = Walks._find_gone

    def counted(self: Walks, source: str, folders: Collection[str]) -> None:
        scans.append(len(folders))
        find(self, source, folders)

    monkeypatch.setattr(Walks, "_find_gone", counted)
    two.daemon.start()
    everything = {f"{number}/a": 10 + number % 3 for number in range(60)}
    eventually(lambda: two.daemon.idle() and two.shows(old=2, **everything))
    away = two.well.parent / "away"
    away.mkdir()
    for number in range(20):
        (two.well / str(number)).rename(away / str(number))
    left = {path: seed for path, seed in everything.items() if int(path.partition("/")[0]) >= 20}
    eventually(lambda: two.shows(old=2, **left))
    assert scans == [20]
    stop_in_time(two)


class Misbehaving(LastingPool):
    """A file called `pause-...` takes until there is one beside it called `.go`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, program="tests.recq.images.misbehaving_child")


def test_files_that_hang_while_they_are_decoded_hold_up_no_other_source(tmp_path: Path) -> None:
    """The disk went when it had been looked at: its files have every process, until the deadline of a minute."""
    hung, well = (put(tmp_path / name / "old.jpg", 1).parent for name in ("hung", "well"))
    settings = Settings(data_dir=tmp_path / "data", model="mobilenet_v2")
    with stand_ins(Misbehaving) as pool, disk_of(hung) as disk:
        two = Two(InProcess(settings, hung, well), hung, well, disk)
        two.daemon.start()
        eventually(lambda: two.daemon.idle() and two.shows(old=1) and two.has_hung("old.jpg"))
        names = [f"pause-{number}" for number in range(UNDER_WAY + 40)]  # more than may be under way
        for number, name in enumerate(names):
            put(hung / f"{name}.jpg", 10 + number % 5)
        eventually(lambda: list(hung.glob("*.begun")))
        put(well / "new.jpg", 2)
        eventually(lambda: two.shows(old=1, new=2), within=10)
        put(well / "another.jpg", 3)
        eventually(lambda: two.shows(old=1, new=2, another=3), within=SOON)
        assert two.items("hung").keys() == {"old.jpg"}
        for name in names:
            (hung / f"{name}.go").touch()
        eventually(lambda: two.has_hung(*(f"{name}.jpg" for name in names)))
        eventually(lambda: len(pool._processes) == pool.workers)
        stop_in_time(two)


def test_a_folder_that_does_not_answer_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.source.targets._ANSWERS_WITHIN", 0.1)
    with disk_of(tmp_path) as disk:
        require_folder(tmp_path)
        disk.hang()
        with pytest.raises(UsageError, match=r"has not answered for 0\.1 s"):
            require_folder(tmp_path)
