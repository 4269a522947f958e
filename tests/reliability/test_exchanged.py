"""Bytes that are exchanged with size and time kept are noticed; changed attributes cost one read of a file, no more.

`exiftool -P`, `cp -p`, `rsync -t` and restored backups do the one, `chmod -R`, hard links and backups the other.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from qdrant_client import models

from recq.errors import ImageError, Reason
from recq.images.workers import Hashed
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.schema import Item
from recq.settings import Settings
from tests.asking import stored_vector
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.reliability.in_process import InProcess, LastingPool, StandIn, stand_ins


def bmp(seed: int) -> bytes:
    """A picture whose file is as long as any other one's."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(colours).resize((32, 32), Image.Resampling.BILINEAR).save(out, "BMP")
    return out.getvalue()


class CountingPool(LastingPool):
    """How often each file was read; those in `closed` may not be."""

    reads: ClassVar[Counter[str]] = Counter()
    closed: ClassVar[set[str]] = set()

    def submit_unknown(self, path: str, *arguments: Any) -> Future[Hashed]:
        name = Path(path).name
        self.reads[name] += 1
        if name in self.closed:
            refused: Future[Hashed] = Future()
            refused.set_exception(ImageError(Reason.PERMISSION, "the file may not be read"))
            return refused
        return super().submit_unknown(path, *arguments)


@dataclass
class Shop:
    """A folder and the daemon of this process that watches it; `embedded` counts pictures that the network saw."""

    settings: Settings
    root: Path
    embedded: list[int]
    daemon: InProcess

    def start(self, **settings: Any) -> None:
        self.daemon = InProcess(self.settings.model_copy(update=settings), self.root)
        self.daemon.start()
        self.rest()

    def rest(self) -> None:
        """Wait until everything that was noticed is done: the index has each file as it stands."""
        eventually(lambda: self.daemon.idle() and self.current(), within=60)

    def current(self) -> bool:
        stands = {path.name: path.stat() for path in self.root.iterdir() if path.suffix in (".bmp", ".jpg")}
        items = self.items()
        return items.keys() == stands.keys() and all(
            each.file.ctime_ns in (None, stands[name].st_ctime_ns) for name, each in items.items()
        )

    def items(self) -> dict[str, Item]:
        with connect(self.settings) as client:
            catalog = Catalog.open(client, "images")
            return {
                item.file.path: item
                for item in catalog.ledger.get_many([each.id for each in catalog.ledger.scan("shop")]).values()
            }

    def vector(self, name: str) -> list[float]:
        with connect(self.settings) as client:
            catalog = Catalog.open(client, "images")
            vector = stored_vector(catalog, self.items()[name].id)
        assert vector is not None
        return [float(each) for each in vector]

    def forget_counts(self) -> None:
        CountingPool.reads.clear()
        self.embedded.clear()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """With six pictures, not started yet."""
    root = tmp_path / "shop"
    root.mkdir()
    for number in range(6):
        (root / f"tent_{number}.bmp").write_bytes(bmp(number))
    embedded: list[int] = []
    infer = StandIn.infer

    def counted(self: StandIn, pixels: np.ndarray) -> np.ndarray:
        embedded.append(len(pixels))
        return infer(self, pixels)

    monkeypatch.setattr(StandIn, "infer", counted)
    CountingPool.reads.clear()
    CountingPool.closed.clear()
    settings = Settings(data_dir=tmp_path / "data", model="mobilenet_v2")
    with stand_ins(CountingPool):
        shop = Shop(settings, root, embedded, InProcess(settings, root))
        yield shop


def exchange(file: Path, data: bytes, way: str) -> None:
    """Other bytes of the same length, with the modification time kept."""
    status = file.stat()
    assert len(data) == status.st_size
    new = file.parent.parent / "new.bmp"
    new.write_bytes(data)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    if way == "cp -p":
        shutil.copy2(new, file)
    elif way == "exiftool -P":
        new.replace(file)
    else:
        file.write_bytes(data)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns


WAYS = {"tent_1.bmp": "cp -p", "tent_2.bmp": "exiftool -P", "tent_3.bmp": "written in place"}


@pytest.mark.parametrize("live", [True, False], ids=["live", "between runs"])
def test_bytes_exchanged_with_size_and_time_kept_are_embedded(shop: Shop, live: bool) -> None:
    shop.start()
    before, vectors = shop.items(), {name: shop.vector(name) for name in WAYS}
    shop.forget_counts()
    if not live:
        shop.daemon.stop()
    for seed, (name, way) in enumerate(WAYS.items(), 90):
        exchange(shop.root / name, bmp(seed), way)
    if not live:
        shop.start()
    digests = {name: hashlib.sha256(bmp(seed)).hexdigest() for seed, name in enumerate(WAYS, 90)}
    eventually(lambda: digests.items() <= {name: item.file.sha256 for name, item in shop.items().items()}.items())
    shop.rest()
    for name, vector in vectors.items():
        assert shop.items()[name].metadata == before[name].metadata == {"category": "tent"}
        assert shop.vector(name) != vector
    assert sum(shop.embedded) == len(WAYS)
    assert CountingPool.reads.keys() == WAYS.keys()
    shop.daemon.stop()


@pytest.mark.parametrize("live", [True, False], ids=["live", "between runs"])
def test_changed_attributes_cost_one_read_of_each_picture_and_nothing_is_embedded(shop: Shop, live: bool) -> None:
    shop.start()
    before = shop.items()
    shop.forget_counts()
    if not live:
        shop.daemon.stop()
    for file in shop.root.iterdir():
        file.chmod(0o640)
    if not live:
        shop.start()
    shop.rest()
    after = shop.items()
    assert all(after[name].file.ctime_ns != before[name].file.ctime_ns for name in before)
    kept = ("sha256", "ingested_at", "mtime_ns", "metadata_digest", "width", "format")
    for name, item in before.items():
        assert [getattr(after[name].file, each) for each in kept] == [getattr(item.file, each) for each in kept]
        assert after[name].metadata == item.metadata
    assert CountingPool.reads == dict.fromkeys(before, 1)
    assert shop.embedded == []
    shop.daemon.stop()
    shop.forget_counts()
    shop.start()  # and that is that
    shop.daemon.stop()
    assert not CountingPool.reads


def test_changed_attributes_do_not_hold_up_that_metadata_changed_too(shop: Shop) -> None:
    shop.start()
    shop.daemon.stop()
    shop.forget_counts()
    (shop.root / "tent_1.bmp").chmod(0o640)
    (shop.root / "tent_1.bmp.json").write_text('{"price": 7}')
    shop.start()
    assert shop.items()["tent_1.bmp"].metadata == {"category": "tent", "price": 7}
    assert CountingPool.reads == {"tent_1.bmp": 1}
    assert shop.embedded == []
    shop.daemon.stop()


def test_a_picture_that_may_not_be_read_any_more_stays_as_it_was(shop: Shop) -> None:
    """`chmod 000` is no news of its bytes: it is found as before, and read when it may be."""
    shop.start()
    before = shop.items()["tent_1.bmp"]
    shop.forget_counts()
    CountingPool.closed.add("tent_1.bmp")
    (shop.root / "tent_1.bmp").chmod(0o000)
    eventually(lambda: CountingPool.reads["tent_1.bmp"] and shop.daemon.idle())
    assert shop.items()["tent_1.bmp"] == before
    CountingPool.closed.clear()
    (shop.root / "tent_1.bmp").chmod(0o644)
    shop.rest()
    assert shop.items()["tent_1.bmp"].file.sha256 == before.file.sha256
    assert shop.embedded == []
    shop.daemon.stop()


def test_bytes_exchanged_for_broken_ones_with_size_and_time_kept_are_listed(shop: Shop) -> None:
    shop.start()
    file = shop.root / "tent_2.bmp"
    exchange(file, b"BM" + bytes(len(bmp(0)) - 2), "cp -p")
    eventually(lambda: shop.items()["tent_2.bmp"].error is not None)
    shop.rest()
    exchange(file, bmp(2), "cp -p")  # and mended the same way
    eventually(lambda: shop.items()["tent_2.bmp"].error is None)
    shop.daemon.stop()


def test_a_polled_folder_is_not_read_for_its_ctime(shop: Shop) -> None:
    shop.settings = shop.settings.model_copy(update={"watch": "poll", "poll_interval": 0.2, "rescan": 0.5})
    shop.start()
    assert {item.file.ctime_ns for item in shop.items().values()} == {None}
    shop.forget_counts()
    for file in shop.root.iterdir():
        file.chmod(0o640)
    put(shop.root / "new.jpg", 5)  # when this is there, the others have been looked at as well
    eventually(lambda: "new.jpg" in shop.items())
    shop.daemon.stop()
    shop.start()
    shop.daemon.stop()
    assert CountingPool.reads == {"new.jpg": 1}


def test_items_of_an_older_recq_get_a_ctime_and_are_protected_from_then_on(shop: Shop) -> None:
    shop.start()
    shop.daemon.stop()
    with connect(shop.settings) as client:
        collection = client.get_aliases().aliases[0].collection_name
        client.set_payload(collection, {"ctime_ns": None}, key="file", points=models.Filter(), wait=True)
    assert {item.file.ctime_ns for item in shop.items().values()} == {None}
    shop.forget_counts()
    shop.start()
    assert None not in {item.file.ctime_ns for item in shop.items().values()}
    assert not CountingPool.reads
    exchange(shop.root / "tent_3.bmp", bmp(99), "cp -p")
    digest = hashlib.sha256(bmp(99)).hexdigest()
    eventually(lambda: shop.items()["tent_3.bmp"].file.sha256 == digest)
    shop.daemon.stop()


def test_a_sidecar_exchanged_with_size_and_time_kept_is_read(shop: Shop) -> None:
    sidecar = shop.root / "tent_4.bmp.json"
    sidecar.write_text('{"price": 1}')
    shop.start()
    exchange(sidecar, b'{"price": 2}', "cp -p")
    eventually(lambda: shop.items()["tent_4.bmp"].metadata.get("price") == 2)
    shop.rest()
    shop.daemon.stop()
    exchange(sidecar, b'{"price": 3}', "exiftool -P")
    shop.start()
    eventually(lambda: shop.items()["tent_4.bmp"].metadata.get("price") == 3)
    shop.daemon.stop()


def test_a_table_exchanged_with_size_and_time_kept_is_read(shop: Shop) -> None:
    table = shop.root / "metadata.csv"
    table.write_text("file,price\ntent_4.bmp,1\n")
    shop.start()
    exchange(table, b"file,price\ntent_4.bmp,2\n", "cp -p")
    eventually(lambda: shop.items()["tent_4.bmp"].metadata.get("price") == 2)
    shop.daemon.stop()


def test_what_changed_behind_a_link_or_another_name_is_noticed_by_the_next_comparison(shop: Shop) -> None:
    """No event tells of either where the other name lies outside; a link's target tells of itself alone."""
    outside = shop.root.parent / "outside.bmp"
    os.link(shop.root / "tent_5.bmp", outside)
    (shop.root / "link.bmp").symlink_to("tent_0.bmp")
    shop.start(rescan=0.5)
    with outside.open("r+b") as file:
        file.write(bmp(50))
    (shop.root / "tent_0.bmp").write_bytes(bmp(60))
    wanted = {"tent_5.bmp": 50, "tent_0.bmp": 60, "link.bmp": 60}
    digests = {name: hashlib.sha256(bmp(seed)).hexdigest() for name, seed in wanted.items()}
    eventually(lambda: digests.items() <= {name: item.file.sha256 for name, item in shop.items().items()}.items())
    shop.daemon.stop()
