"""Files that cannot be read for a while, and sources that cannot be written: neither costs anything but time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import ingest.events.retry
from recq.errors import ImageError, Reason
from recq.images.process import Hashed, Known
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.schema import ItemError
from recq.settings import Settings
from recq.space import InputSpec
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, Place
from tests.reliability.conftest import PATIENT
from tests.reliability.in_process import InProcess, LastingPool, stand_ins
from tests.reliability.rights import like_everybody

pytestmark = pytest.mark.timeout(PATIENT)

BAD_TRIES = 3


class FailingDisk(LastingPool):
    """A disk on which a file whose name has `bad` in it cannot be read at the first attempts."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.tries: Counter[str] = Counter()

    def submit_unknown(self, path: str, spec: InputSpec, known: Known | None) -> Future[Hashed]:
        name = Path(path).name
        self.tries[name] += 1
        if "bad" not in name or self.tries[name] > BAD_TRIES:
            return super().submit_unknown(path, spec, known)
        future: Future[Hashed] = Future()
        future.set_exception(ImageError(Reason.IO_ERROR, "Input/output error"))
        return future


@pytest.fixture
def pool() -> Iterator[FailingDisk]:
    with stand_ins(FailingDisk) as pool:
        assert isinstance(pool, FailingDisk)
        yield pool


def error_of(catalog: Catalog, path: str) -> ItemError | None:
    (item,) = catalog.lookups.find_path(path)
    return item.error


def test_a_file_that_cannot_be_read_for_a_while(
    pool: FailingDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed, stops nothing, and is tried again by itself, each time after twice as long."""
    monkeypatch.setattr(ingest.events.retry, "FIRST", 0.5)
    root = tmp_path / "shop"
    put(root / "bad.jpg", 1)
    settings = Settings(
        data_dir=tmp_path / "data", model=NETWORK, settle=0.05, watch="native", workers=1, lock_wait=20, rescan=300
    )
    daemon = InProcess(settings, root)
    daemon.start()
    try:
        with connect(settings) as client:
            catalog = Catalog.open(client, "images")
            eventually(lambda: catalog.lookups.find_path("bad.jpg"))
            first = error_of(catalog, "bad.jpg")
            assert first is not None
            assert (first.reason, first.detail) == (Reason.IO_ERROR, "Input/output error")
            put(root / "good.jpg", 2)
            eventually(lambda: catalog.lookups.find_path("good.jpg"))
            assert error_of(catalog, "good.jpg") is None
            eventually(lambda: error_of(catalog, "bad.jpg") is None)
            assert pool.tries["bad.jpg"] == BAD_TRIES + 1
            eventually(daemon.idle)
    finally:
        daemon.stop()


def test_a_source_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    like_everybody(monkeypatch)
    place = Place(tmp_path / "shop", tmp_path / "data")
    for number in range(3):
        put(place.root / f"chairs/{number}.jpg", number)
    (place.root / "chairs/0.jpg.json").write_text('{"price": 3}')
    folders = (place.root / "chairs", place.root)
    try:
        for folder in folders:
            folder.chmod(0o555)
        with place.daemon() as daemon:
            daemon.ready()
            eventually(lambda: len(place.vectors()) == 3, within=60)
            assert place.items()["chairs/0.jpg"].metadata == {"category": "chairs", "price": 3}
            place.root.chmod(0o755)
            put(place.root / "new.jpg", 9)
            eventually(lambda: "new.jpg" in place.items())
    finally:
        for folder in folders:
            folder.chmod(0o755)
