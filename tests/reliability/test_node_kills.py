"""Each of three nodes is killed (-9) in turn and comes back, while a daemon fills the cluster and others ask it.

Every picture is on two of them. No question fails, and at the end the index is what the folder is.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import recq
from recq.face.catalog import ImageCatalog
from recq.settings import Settings
from tests.cluster import cluster
from tests.eventually import eventually
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.torn import Torn, seeded
from tests.reliability.world import KEPT, World

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(PATIENT)]

SHORT, FULL = 1, 5
"""Rounds, in each of which every node is killed once."""

NEAR = 3


@dataclass
class Asking:
    """Threads that ask all the time: what failed, and how long each answer took (seconds)."""

    settings: Settings
    failed: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def lasting(self) -> None:
        """One client for all its questions."""
        with recq.open(settings=self.settings) as catalog:
            while not self.over.is_set():
                self._ask(catalog)

    def fresh(self) -> None:
        """Another client for each question, which begins with the first address again."""
        while not self.over.is_set():
            with recq.open(settings=self.settings) as catalog:
                self._ask(catalog)

    def _ask(self, catalog: ImageCatalog) -> None:
        began = time.monotonic()
        try:
            near = catalog.similar(KEPT, k=NEAR)
            (found,) = catalog.search(filters=[f"file.name={KEPT}"], k=5)
            if Path(found.path or "").name != KEPT or len(near) != NEAR:
                raise AssertionError(f"{KEPT} found {found.path}, {len(near)} near it")
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        self.took.append(time.monotonic() - began)


@contextmanager
def asking(settings: Settings) -> Iterator[Asking]:
    """Three that ask until the end of the block."""
    made = Asking(settings)
    threads = [threading.Thread(target=each) for each in (made.lasting, made.lasting, made.fresh)]
    for each in threads:
        each.start()
    try:
        yield made
    finally:
        made.over.set()
        for each in threads:
            each.join()


def test_each_node_is_killed_while_pictures_come_and_questions_are_asked(
    tmp_path: Path, full: bool, figures: Figures
) -> None:
    seed = int(os.environ.get("RECQ_TEST_SEED") or random.SystemRandom().randrange(10**6))
    began = time.monotonic()
    whole_again = []
    with seeded(seed), cluster(tmp_path / "cluster") as nodes:
        torn = Torn.make(tmp_path, seed, "--url", nodes.url, RECQ_SHARDS="3", RECQ_REPLICAS="2")
        with torn.daemon() as daemon:
            daemon.ready()
            torn.world.do(World.drop_many)
            torn.equal_and_idle()
            with asking(torn.place.settings_here()) as others:
                eventually(lambda: len(others.took) >= 10)
                for node in nodes.nodes * (FULL if full else SHORT):
                    written = len(daemon.events("indexed"))
                    torn.world.do(World.drop_many)
                    eventually(lambda: len(daemon.events("indexed")) > written, within=60)  # noqa: B023 - called here
                    node.kill()
                    torn.live(daemon, 40)
                    asked = len(others.took)
                    eventually(lambda: len(others.took) > asked + 10, within=60)  # noqa: B023
                    node.start()
                    back = time.monotonic()
                    torn.live(daemon, 20)
                    eventually(nodes.whole, within=120)
                    whole_again.append(round(time.monotonic() - back, 1))
                torn.equal_and_idle()
            assert others.failed == []
            waited = len(daemon.events("waiting"))
        torn.nothing_left()
    took = sorted(others.took)
    figures(
        "node kills",
        kills=len(whole_again),
        operations=len(torn.world.history),
        items=len(torn.world.expected()),
        questions=len(took),
        median_ms=round(1000 * statistics.median(took), 1),
        p99_ms=round(1000 * took[int(0.99 * (len(took) - 1))], 1),
        longest_ms=round(1000 * took[-1], 1),
        whole_again_seconds=whole_again,
        waited=waited,
        seconds=round(time.monotonic() - began),
        seed=seed,
    )
