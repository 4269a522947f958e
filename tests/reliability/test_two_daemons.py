"""Two daemons with data folders of their own, on one source and one server: one result, and each says of the other."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import STARTS_WITHIN, Daemon, Place
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import Figures

pytestmark = pytest.mark.server

Digests = dict[str, str | None]


def folder(place: Place) -> Digests:
    """What should be in the index: path -> SHA-256."""
    files = (path for path in place.root.rglob("*.jpg") if path.is_file())
    return {str(path.relative_to(place.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def index(place: Place) -> Digests:
    """What is in the index, every vector there."""
    with place.catalog() as catalog:
        items = list(catalog.ledger.scan("shop"))
        assert catalog.items.count() == len(items)
    assert len({item.file.path for item in items}) == len(items)
    return {item.file.path: item.file.sha256 for item in items}


class Hand:
    """Somebody at work in the folder: one random change after the other."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._random = random.Random(seed)
        self._number = 0

    def change(self) -> None:
        files = sorted(self._root.rglob("*.jpg"))
        what = self._random.choices(["drop", "overwrite", "rename", "delete", "move folder"], [5, 2, 3, 2, 1])[0]
        if what == "drop" or len(files) < 10:
            self._new().write_bytes(self._bytes())
        elif what == "overwrite":
            self._random.choice(files).write_bytes(self._bytes())
        elif what == "rename":
            self._random.choice(files).rename(self._new())
        elif what == "delete":
            self._random.choice(files).unlink()
        else:
            old = self._random.choice(files).parent
            if old != self._root:
                self._number += 1
                old.rename(self._root / f"m{self._number}")

    def _new(self) -> Path:
        self._number += 1
        below = self._root / self._random.choice(["", "a", "b", f"c{self._number}"])
        below.mkdir(exist_ok=True)
        return below / f"{self._number}.jpg"

    def _bytes(self) -> bytes:
        return jpeg(self._random.randrange(20)) + self._random.randbytes(self._random.choice([0, 4]))


@pytest.mark.timeout(600)
def test_two_daemons_come_to_the_same_points(
    tmp_path: Path, own_server: QdrantServer, full: bool, figures: Figures
) -> None:
    changes, pace = (3000, 0.05) if full else (25, 0.05)
    settings = {"RECQ_RESCAN": "2"}
    options = ("--url", own_server.url)
    place = Place(tmp_path / "shop", tmp_path / "one", options, settings)
    other = Place(place.root, tmp_path / "two", options, settings)
    hand = Hand(place.root, seed=3)
    for _ in range(20):
        hand.change()
    with place.daemon() as one:
        one.said("indexed", within=STARTS_WITHIN)
        with other.daemon() as two:
            two.said("watching", within=STARTS_WITHIN)
            for _ in range(changes):
                hand.change()
                time.sleep(pace)  # the hand's pace
            began = time.monotonic()
            eventually(lambda: index(place) == folder(place), within=120)
            settled = time.monotonic() - began
            for daemon in (one, two):
                _compares_once_more(daemon)
            assert index(place) == folder(place)
            assert not one.events("failed") + two.events("failed")
            _say_of_each_other(one, two)
    figures("two daemons", changes=changes, files=len(folder(place)), settled=round(settled, 1))


def _compares_once_more(daemon: Daemon) -> None:
    """Wait until a comparison that began after now has found nothing to do."""
    before = len(daemon.events("reconciled"))
    eventually(lambda: [each["changes"] for each in daemon.events("reconciled")[before + 1 :]][-1:] == [0], within=60)


def _say_of_each_other(one: Daemon, two: Daemon) -> None:
    """Each says it, once, however often they compare."""
    for daemon, other in ((one, two), (two, one)):
        daemon.said("another", source="shop", process=other.process.pid)
        assert len(daemon.events("another")) == 1
