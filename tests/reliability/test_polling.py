"""Where the file system reports nothing: what changes is noticed within an interval, long before a comparison."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.eventually import eventually
from tests.ingest.pictures import jpeg, put
from tests.ingest.running import STARTS_WITHIN, Place


def test_polling_notices_every_change(tmp_path: Path) -> None:
    """`rescan` is at its 300 s: nothing but the poll can have noticed."""
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_POLL_INTERVAL": "0.3"})
    put(place.root / "old.jpg", 1)

    def shows(**wanted: int) -> bool:
        expected = {f"{path}.jpg": hashlib.sha256(jpeg(seed)).hexdigest() for path, seed in wanted.items()}
        with place.catalog() as catalog:
            return {item.file.path: item.file.sha256 for item in catalog.ledger.scan("shop")} == expected

    with place.daemon("--watch", "poll") as daemon:
        daemon.said("indexed", path="old.jpg", within=STARTS_WITHIN)
        daemon.ready()
        assert daemon.said("watching")["mode"] == "poll"
        put(place.root / "new.jpg", 2)
        eventually(lambda: shows(old=1, new=2))
        (place.root / "new.jpg").rename(place.root / "renamed.jpg")
        eventually(lambda: shows(old=1, renamed=2))
        put(place.root / "old.jpg", 3)
        eventually(lambda: shows(old=3, renamed=2))
        (place.root / "renamed.jpg").unlink()
        eventually(lambda: shows(old=3))
        outside = put(tmp_path / "tree/deep/a.jpg", 4).parent.parent
        outside.rename(place.root / "tree")
        eventually(lambda: shows(old=3, **{"tree/deep/a": 4}))
        (place.root / "tree").rename(place.root / "moved")
        eventually(lambda: shows(old=3, **{"moved/deep/a": 4}))
        assert not daemon.events("indexed", path="renamed.jpg")  # a move carries its vector here, too
        assert not daemon.events("indexed", path="moved/deep/a.jpg")
        assert len(daemon.events("reconciled")) == 1
