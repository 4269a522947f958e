"""More events at once than the kernel's queue holds: all files are there after one comparison.

In the full form files alone fill the queue. In the short one changes of two files do, and half of the pictures come
when it is full, so that nothing tells of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import STARTS_WITHIN, Place
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import Figures

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
DEPTH = 10
PICTURES = 8  # of distinct bytes
ONCE = {"RECQ_RESCAN": "86400"}  # nothing is compared but for the events that were lost


def chain(below: Path) -> list[Path]:
    """Ten folders, each in the one before."""
    folders = [below]
    for depth in range(DEPTH):
        folders.append(folders[-1] / f"d{depth}")
    folders[-1].mkdir(parents=True)
    return folders[1:]


def fill(folders: list[Path], camera: list[Path], count: int) -> dict[Path, str]:
    """`count` files, as fast as they can be made: links to pictures that lie elsewhere. Path -> SHA-256."""
    digests = [hashlib.sha256(picture.read_bytes()).hexdigest() for picture in camera]
    made = {}
    for number in range(count):
        path = folders[number % len(folders)] / f"f{number}.jpg"
        os.link(camera[number % PICTURES], path)
        made[path] = digests[number % PICTURES]
    return made


def change(folder: Path, times: int) -> None:
    """So many events of two files that are no pictures, in turns: the kernel keeps one of equal ones in a row."""
    files = [folder / "a.txt", folder / "b.txt"]
    for number in range(times):
        files[number % len(files)].touch()


@pytest.fixture(params=["embedded", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path, full: bool) -> Iterator[Place]:
    if request.param == "embedded":
        yield Place(tmp_path / "shop", tmp_path / "data", settings=ONCE)
        return
    if not full:
        pytest.skip("on a server in the full form")
    server: QdrantServer = request.getfixturevalue("own_server")
    yield Place(tmp_path / "shop", tmp_path / "data", ("--url", server.url), settings=ONCE)


@pytest.mark.skipif(not QUEUE.exists(), reason="the queue of events is Linux's")
@pytest.mark.timeout(900)
def test_a_burst_above_the_queue_is_there_after_one_comparison(place: Place, full: bool, figures: Figures) -> None:
    one_by_one, moved_in = (80_000, 20_000) if full else (1000, 500)
    limit = int(QUEUE.read_text())
    if full and limit >= one_by_one:
        pytest.skip(f"the queue of events holds {limit}: raise the number of files")
    camera = []
    for number in range(PICTURES):
        camera.append(place.root.parent / f"camera_{number}.jpg")
        camera[-1].write_bytes(jpeg(number, side=224))  # the network's own size: nothing to resize
    shutil.copyfile(camera[0], place.root / "first.jpg")
    watched = chain(place.root / "watched")
    tree = place.root.parent / "tree"
    outside = fill(chain(tree), camera, moved_in)
    with place.daemon() as daemon:
        daemon.said("indexed", within=STARTS_WITHIN)
        daemon.ready()
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGSTOP)  # a reader that cannot keep up
        try:
            expected = fill(watched, camera, one_by_one)
            if not full:
                change(place.root, limit + 10)
                expected |= fill(chain(place.root / "unnoticed"), camera, one_by_one)
            tree.rename(place.root / "tree")
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        expected |= {place.root / "tree" / path.relative_to(tree): digest for path, digest in outside.items()}
        expected[place.root / "first.jpg"] = expected[watched[0] / "f0.jpg"]
        daemon.said("overflow", within=STARTS_WITHIN)
        with place.catalog() as catalog:
            eventually(lambda: catalog.items.count() >= len(expected), within=3600 if full else 800, every=0.5)
            seconds = time.monotonic() - began
            found = {item.file.path: item.file.sha256 for item in catalog.ledger.scan("shop")}
            assert catalog.ledger.count_failed() == 0
            assert catalog.items.count() == len(expected)
        assert found == {str(path.relative_to(place.root)): digest for path, digest in expected.items()}
        assert len(daemon.events("indexed")) <= PICTURES  # the rest took the vector of the same bytes
        assert len(daemon.events("overflow")) <= 2
        assert len(daemon.events("reconciled")) <= 3  # at the start, and after lost events
    figures("burst", engine="server" if place.options else "embedded", files=len(expected), seconds=round(seconds, 1))
    print(f"{len(expected)} files in {seconds:.1f} s: {len(expected) / seconds:.0f}/s")
