"""Connections that are cut after the write and before the answer, answers that never come, servers in trouble.

The daemon cannot know whether such a write was applied: it asks again, ids make that harmless, and nothing is done
before an answer has come. At the end every item is there once, as it stands in the folder.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from ingest.source.guard import FEW
from recq.paths import printable
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import STARTS_WITHIN, Daemon
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.proxy import Fate, Proxy, spoilt
from tests.reliability.torn import SETTLES_WITHIN, Torn, seeded
from tests.reliability.world import KEPT

pytestmark = [pytest.mark.server, pytest.mark.timeout(PATIENT)]

SHORT, FULL = 12, 1500
"""Operations on the folder."""

TIMEOUT = 1
"""Seconds that the daemon waits for an answer."""

IN_ORDER = (Fate.REFUSED, Fate.CUT_BEFORE, Fate.CUT, Fate.CUT, Fate.HALF, Fate.SILENT, Fate.FAILED, Fate.BUSY)


@pytest.mark.parametrize("late", [False, pytest.param(True, marks=pytest.mark.long)], ids=["in order", "late"])
def test_writes_whose_answer_is_lost(
    late: bool, own_server: QdrantServer, tmp_path: Path, full: bool, figures: Figures
) -> None:
    """`late`: a write that was given up is applied after the next one, too; only a reconcile can notice that."""
    seed = int(os.environ.get("RECQ_TEST_SEED") or random.SystemRandom().randrange(10**6))
    operations = FULL if full else SHORT // 4 if late else SHORT
    began = time.monotonic()
    with seeded(seed):
        rng = random.Random(seed)
        fates = (*IN_ORDER, *[Fate.LATE] * 4) if late else IN_ORDER
        proxy = Proxy(own_server.url, spoilt(rng, 0.3, fates), TIMEOUT)
        with proxy.serving():
            torn = Torn.make(
                tmp_path, seed, "--url", proxy.url,
                RECQ_REQUEST_TIMEOUT=str(TIMEOUT), **({"RECQ_RESCAN": "3"} if late else {}),
            )  # fmt: skip
            with torn.daemon() as daemon:
                daemon.said("reconciled", within=STARTS_WITHIN)
                torn.live(daemon, operations)
                proxy.heal()
                eventually(proxy.nothing_under_way)
                torn.equal_and_idle()
                said_early = nothing_said_early(daemon, proxy)
            torn.nothing_left()
        assert proxy.fates.keys() - {Fate.PASSED}, "nothing was spoilt"
    figures(
        "lost answers",
        late=late,
        operations=operations,
        fates=dict(proxy.fates),
        said=said_early,
        items=len(torn.world.expected()),
        seconds=round(time.monotonic() - began),
        seed=seed,
    )


def nothing_said_early(daemon: Daemon, proxy: Proxy) -> int:
    """The n-th time that an item is said to be written, an n-th write of it has been acknowledged. How many were."""
    acknowledged: dict[str, list[float]] = {}
    for each in proxy.acknowledged:
        for path in each.paths:
            acknowledged.setdefault(printable(path), []).append(each.at)
    said: Counter[str] = Counter()
    for event in daemon.events():
        if event["event"] in ("indexed", "reused", "failed"):
            path, at = event["path"], datetime.fromisoformat(event["timestamp"]).timestamp()
            times = acknowledged.get(path, [])
            assert len(times) > said[path], f"{event} was never acknowledged"
            assert times[said[path]] <= at, f"{event} came before its acknowledgement"
            said[path] += 1
    return said.total()


def test_a_folder_that_goes_while_its_items_are_being_written(own_server: QdrantServer, tmp_path: Path) -> None:
    """The index is asked what it has below the folder before the write that waits there has arrived."""
    proxy = Proxy(own_server.url, lambda _: Fate.PASSED, TIMEOUT)
    with proxy.serving():
        torn = Torn.make(tmp_path, 0, "--url", proxy.url)
        with torn.daemon() as daemon:
            daemon.ready()
            torn.equal_and_idle()
            proxy.choose(lambda write: Fate.REFUSED if write else Fate.PASSED)
            put(torn.place.root / "chairs" / "a.jpg", 1)
            daemon.said("waiting")
            scrolled = proxy.requests["scroll"]
            (torn.place.root / "chairs").rename(tmp_path / "outside")
            eventually(lambda: proxy.requests["scroll"] > scrolled)
            proxy.heal()
            daemon.said("indexed", path="chairs/a.jpg")
            torn.equal_and_idle()


def test_a_folder_that_moves_on_while_it_is_asked_whether_its_items_are_lost(
    own_server: QdrantServer, tmp_path: Path
) -> None:
    """Where its bytes are was asked of the index before the folder moved, and of the disk afterwards.

    What looks lost then is more than may be deleted at once. A comparison finds that nothing is, long before the next
    regular one, and nobody has to confirm anything.
    """
    many = 2 * FEW
    proxy = Proxy(own_server.url, lambda _: Fate.PASSED, TIMEOUT)
    with proxy.serving():
        torn = Torn.make(tmp_path, 0, "--url", proxy.url, RECQ_SETTLE="1", RECQ_MAX_DELETE="0.1")
        folder = torn.place.root / "chairs"
        for number in range(many):
            put(folder / f"{number}.jpg", number)
        with torn.daemon() as daemon:
            eventually(lambda: len(daemon.events("indexed")) > many, within=STARTS_WITHIN)
            folder = folder.rename(torn.place.root / "moved")
            eventually(lambda: len(daemon.events("reused")) == many, within=SETTLES_WITHIN)
            proxy.choose(lambda write: Fate.REFUSED)
            daemon.said("waiting")
            folder.rename(torn.place.root / "moved on")
            proxy.heal()
            moved = {f"moved on/{number}.jpg" for number in range(many)}
            eventually(lambda: torn.place.items().keys() - {KEPT} == moved, within=SETTLES_WITHIN, every=0.5)
            assert not daemon.events("held")
