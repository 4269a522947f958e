"""Two daemons share one source by parts, and each is killed (-9) at random moments while the folder lives on.

Files move from one part to the other all the time. Nothing may be lost, doubled or left over, and afterwards one daemon
that takes the whole of the source finds nothing to be done.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from recq.part import Part
from tests.ingest.running import STARTS_WITHIN, Daemon
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.equality import differences, require_equal
from tests.reliability.torn import SETTLES_WITHIN, KnownPlace, Torn, seeded

pytestmark = [pytest.mark.server, pytest.mark.timeout(PATIENT)]

SHORT, FULL = 2, 60
"""Kills, of one part's daemon and then of the other's."""

BETWEEN = 10
"""Kills until index and folder are compared."""


class Sharing:
    """The daemons of both parts; each has a data folder of its own."""

    def __init__(self, torn: Torn) -> None:
        self._torn = torn
        self._places: dict[Part, KnownPlace] = {
            part: replace(torn.place, data=torn.place.data.with_name(f"part {part.number}"))
            for part in (Part(1, 2), Part(2, 2))
        }
        self._running: dict[Part, tuple[Daemon, ExitStack]] = {}

    @property
    def parts(self) -> list[Part]:
        return list(self._places)

    @property
    def daemons(self) -> list[Daemon]:
        return [daemon for daemon, _ in self._running.values()]

    def start(self, part: Part) -> Daemon:
        """Start the daemon of a part, in place of one that was killed."""
        stack = ExitStack()
        daemon = stack.enter_context(self._places[part].daemon("--partition", str(part)))
        self._running[part] = daemon, stack
        return daemon

    def kill(self, part: Part) -> None:
        daemon, stack = self._running.pop(part)
        daemon.process.kill()
        daemon.process.wait()
        stack.close()

    def live(self, steps: int) -> None:
        """Let things happen while those run that run."""
        for _ in range(steps):
            for daemon, _ in self._running.values():
                assert daemon.process.poll() is None, f"it has ended: {daemon.log.read_text()[-3000:]}"
            self._torn.world.step()
            time.sleep(self._torn.rng.choice([0.0, self._torn.rng.uniform(0.0, 0.2)]))  # the pace of what happens

    def end(self) -> None:
        for _, stack in self._running.values():
            stack.close()
        self._running.clear()


@contextmanager
def sharing(torn: Torn) -> Iterator[Sharing]:
    both = Sharing(torn)
    try:
        yield both
    finally:
        both.end()


def equal(torn: Torn) -> None:
    with torn.place.catalog() as catalog:
        require_equal(torn.world, lambda: differences(torn.world, catalog), within=SETTLES_WITHIN)


def test_killed_in_turn_no_part_loses_anything(
    own_server: QdrantServer, tmp_path: Path, full: bool, figures: Figures
) -> None:
    seed = int(os.environ.get("RECQ_TEST_SEED") or random.SystemRandom().randrange(10**6))
    kills = FULL if full else SHORT
    began = time.monotonic()
    with seeded(seed):
        torn = Torn.make(tmp_path, seed, "--url", own_server.url, RECQ_RESCAN="2")
        with sharing(torn) as both:
            both.start(both.parts[0]).said("started", within=STARTS_WITHIN)  # which makes the catalog
            both.start(both.parts[1])
            for number in range(1, kills + 1):
                part = both.parts[number % 2]
                both.live(torn.rng.randint(0, 12))
                both.kill(part)
                both.live(torn.rng.randint(0, 4))
                daemon = both.start(part)
                if torn.rng.random() < 0.5:
                    daemon.said("reconciled", within=STARTS_WITHIN)
                if number % BETWEEN == 0 or number == kills:
                    both.live(10)
                    equal(torn)
            for daemon in both.daemons:
                daemon.ready()
            equal(torn)
        torn.nothing_left()
    figures(
        "parts",
        kills=kills,
        operations=len(torn.world.history),
        items=len(torn.world.expected()),
        seconds=round(time.monotonic() - began),
        seed=seed,
    )
