"""Files that take their time: each is indexed once, with its last bytes, and no moment in between is a failure."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import STARTS_WITHIN, Daemon, Place

PIECES = 20
PHOTO = jpeg(1, side=512)


def in_pieces(data: bytes, pieces: int = PIECES) -> list[bytes]:
    return [data[len(data) * number // pieces : len(data) * (number + 1) // pieces] for number in range(pieces)]


def kept_open(path: Path, data: bytes, pace: float) -> None:
    """The writer opens once."""
    with path.open("wb", buffering=0) as file:
        for piece in in_pieces(data):
            file.write(piece)
            time.sleep(pace)  # the writer's pace, not a test's patience


def reopened(path: Path, data: bytes, pace: float) -> None:
    """The writer opens, appends and closes for each piece."""
    for piece in in_pieces(data):
        with path.open("ab") as file:
            file.write(piece)
        time.sleep(pace)


def renamed_into_place(path: Path, data: bytes, pace: float) -> None:
    part = path.with_name(f"{path.name}.part")
    kept_open(part, data, pace)
    part.rename(path)


def preallocated(path: Path, data: bytes, pace: float) -> None:
    """The size is the final one from the start; the bytes come later."""
    with path.open("wb", buffering=0) as file:
        file.truncate(len(data))
        for piece in in_pieces(data):
            file.write(piece)
            time.sleep(pace)


def given_up(path: Path, data: bytes, pace: float) -> None:
    """Deleted before it was whole."""
    with path.open("wb", buffering=0) as file:
        for piece in in_pieces(data)[: PIECES // 2]:
            file.write(piece)
            time.sleep(pace)
        path.unlink()


@dataclass
class Written:
    """What the writers have left, each file's final bytes, and the daemon that looked on."""

    place: Place
    daemon: Daemon
    last: dict[str, bytes]

    def outcomes(self, path: str) -> list[str]:
        """What the daemon has said of a path so far, in order."""
        return [event["event"] for event in self.daemon.events(path=path)]

    def require(self, path: str, *before: str) -> None:
        """The file is indexed once (after what was `before`), with its final hash."""
        expected = hashlib.sha256(self.last[path]).hexdigest()
        with self.place.catalog() as catalog:

            def final() -> bool:
                (item,) = catalog.lookups.find_path(path)
                return item.file.sha256 == expected and item.error is None

            eventually(lambda: catalog.lookups.find_path(path) and final(), within=60)
        eventually(lambda: self.outcomes(path)[len(before) :])
        assert self.outcomes(path) in ([*before, "indexed"], [*before, "reused"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, full: bool) -> Iterator[Written]:
    """All writers at once, one of them since before the daemon started."""
    folder = tmp_path_factory.mktemp("slow")
    place = Place(folder / "shop", folder / "data")
    pace = (10.0 if full else 2.0) / PIECES
    last: dict[str, bytes] = {}
    threads: list[threading.Thread] = []

    def begin(writer: Callable[[Path, bytes, float], None], name: str) -> None:
        last[name] = PHOTO + name.encode()  # bytes of its own
        threads.append(threading.Thread(target=writer, args=(place.root / name, last[name], pace)))
        threads[-1].start()

    begin_late = threading.Event()

    def since_before(path: Path, data: bytes, pace: float) -> None:
        with path.open("wb", buffering=0) as file:
            written = 0
            while not begin_late.wait(0.1):
                written += file.write(data[written : written + 16])
            for piece in in_pieces(data[written:]):
                file.write(piece)
                time.sleep(pace)

    (place.root / "overwritten.jpg").write_bytes(jpeg(2))
    (place.root / "overwritten twice.jpg").write_bytes(jpeg(3))
    begin(since_before, "since_before.jpg")
    try:
        with place.daemon() as daemon:
            daemon.said("indexed", path="overwritten.jpg", within=STARTS_WITHIN)
            daemon.said("indexed", path="overwritten twice.jpg", within=STARTS_WITHIN)
            begin_late.set()
            begin(kept_open, "kept_open.jpg")
            begin(reopened, "reopened.jpg")
            begin(renamed_into_place, "renamed.jpg")
            begin(preallocated, "preallocated.jpg")
            begin(kept_open, "overwritten.jpg")
            begin(given_up, "given_up.jpg")
            for thread in threads:
                thread.join()
            yield Written(place, daemon, last)
    finally:
        begin_late.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("path", ["kept_open.jpg", "reopened.jpg", "renamed.jpg", "preallocated.jpg"])
def test_indexed_once_and_whole(written: Written, path: str) -> None:
    written.require(path)
    assert not written.outcomes(f"{path}.part")


def test_there_at_the_start_while_it_is_written(written: Written) -> None:
    written.require("since_before.jpg")


def test_overwritten_in_place(written: Written) -> None:
    written.require("overwritten.jpg", "indexed")


def test_overwritten_with_the_same_size_and_no_pause(written: Written) -> None:
    """One write after the other: the last bytes win, whatever was read in between."""
    path = written.place.root / "overwritten twice.jpg"
    for number in range(50):
        path.write_bytes(PHOTO + number.to_bytes(1, "big"))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    with written.place.catalog() as catalog:
        eventually(lambda: catalog.lookups.find_path(path.name)[0].file.sha256 == expected, within=60)
    assert "failed" not in written.outcomes(path.name)


def test_deleted_before_it_was_whole(written: Written) -> None:
    """A file that comes later has been seen: so has the end of the other."""
    (written.place.root / "later.jpg").write_bytes(PHOTO + b"later")
    written.daemon.said("indexed", path="later.jpg")
    with written.place.catalog() as catalog:
        assert catalog.lookups.find_path("given_up.jpg") == []
    assert written.outcomes("given_up.jpg") == []


def test_deleted_at_once(written: Written) -> None:
    for number in range(20):
        path = written.place.root / f"fleeting_{number}.jpg"
        path.write_bytes(PHOTO + os.urandom(4))
        path.unlink()
    (written.place.root / "after.jpg").write_bytes(PHOTO + b"after")
    written.daemon.said("indexed", path="after.jpg")
    with written.place.catalog() as catalog:
        eventually(lambda: not any("fleeting" in item.file.path for item in catalog.ledger.scan("shop")))
    assert not [event for event in written.daemon.events("failed") if "fleeting" in event["path"]]
