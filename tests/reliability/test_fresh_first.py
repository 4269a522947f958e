"""A new drop overtakes whatever is still to be done: measured from the end of its write to a reader's answer."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from ingest.pipeline.places import UNDER_WAY
from tests.eventually import eventually
from tests.ingest.pictures import jpeg
from tests.ingest.running import STARTS_WITHIN, Place
from tests.reliability.conftest import Figures

PROMISE = 2.0
"""Seconds until a dropped file is searchable, whatever waits."""

AHEAD = UNDER_WAY + 250
"""Files of the backlog that may be finished before a drop is: those under way, and those of a quarter of a second at a
thousand a second (a network that takes no time): the loop decides seven times about a drop, every 20 ms."""


@pytest.mark.timeout(600)
def test_a_drop_is_searchable_while_a_backlog_waits(tmp_path: Path, full: bool, figures: Figures) -> None:
    backlog, drops = (100_000, 200) if full else (1500, 5)
    place = Place(tmp_path / "shop", tmp_path / "data")
    picture = jpeg(1)
    for number in range(backlog):
        file = place.root / f"{number % 100}" / f"old_{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(picture + number.to_bytes(4, "big"))  # after the end of the image: each has bytes of its own
    with place.daemon() as daemon:
        daemon.said("indexed", within=STARTS_WITHIN)
        took: list[float] = []
        ahead: list[int] = []
        with place.catalog() as catalog:
            for number in range(drops):
                before = len(daemon.events("indexed"))
                name = f"new_{number}.jpg"
                (place.root / name).write_bytes(picture + b"new" + number.to_bytes(4, "big"))
                written = time.monotonic()
                eventually(lambda: catalog.lookups.find_name(name), within=60, every=0.01)  # noqa: B023
                took.append(time.monotonic() - written)
                daemon.said("indexed", path=name)
                done = [event["path"] for event in daemon.events("indexed")]
                ahead.append(done.index(name) - before)
            left = backlog + drops - catalog.items.count()
    figures("fresh first", backlog=backlog, left=left, drops=drops, median=statistics.median(took), worst=max(took))
    print(f"median {statistics.median(took):.2f} s, worst {max(took):.2f} s, ahead {max(ahead)}, left {left}")
    assert left > backlog // 10  # else nothing was overtaken
    assert max(ahead) <= AHEAD
    assert statistics.median(took) < PROMISE
