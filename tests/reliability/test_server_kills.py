"""The Qdrant server is killed (-9) and started again while the daemon fills it: the daemon waits, and catches up."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ingest.running import Daemon
from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.torn import Torn, seeded
from tests.reliability.world import World

pytestmark = [pytest.mark.server, pytest.mark.timeout(PATIENT)]

SHORT, FULL = 2, 20
"""Kills of the server: every other one while items are surely on their way, and then status has to tell of it."""


def test_a_server_that_is_killed_during_ingestion(
    own_server: QdrantServer, tmp_path: Path, full: bool, figures: Figures
) -> None:
    seed = int(os.environ.get("RECQ_TEST_SEED") or random.SystemRandom().randrange(10**6))
    kills = FULL if full else SHORT
    began = time.monotonic()
    caught_up = []
    with seeded(seed):
        torn = Torn.make(tmp_path, seed, "--url", own_server.url)
        with torn.daemon() as daemon:
            daemon.ready()
            for number in range(kills):
                if number % 2:
                    comes_and_goes(torn, daemon, own_server)
                else:
                    caught_up.append(round(waited_for(torn, daemon, own_server), 1))
            torn.equal_and_idle()
            waited, recovered = (len(daemon.events(name)) for name in ("waiting", "recovered"))
            assert 0 < waited == recovered <= kills, "said once an outage"
        torn.nothing_left()
    figures(
        "server kills",
        kills=kills,
        operations=len(torn.world.history),
        items=len(torn.world.expected()),
        caught_up_seconds=caught_up,
        seconds=round(time.monotonic() - began),
        seed=seed,
    )


def waited_for(torn: Torn, daemon: Daemon, server: QdrantServer) -> float:
    """Killed while it is written to; status tells `waiting` until it is back. Seconds from then to equality."""
    written = len(daemon.events("indexed"))
    torn.world.do(World.drop_many)
    eventually(lambda: len(daemon.events("indexed")) > written, within=60)
    server.kill()
    torn.world.do(World.drop)
    eventually(lambda: torn.state()[0] == "waiting", within=60)
    torn.live(daemon, 10)
    assert torn.state()[0] == "waiting"
    server.start()
    back = time.monotonic()
    torn.live(daemon, 5)
    torn.equal_and_idle()
    return time.monotonic() - back


def comes_and_goes(torn: Torn, daemon: Daemon, server: QdrantServer) -> None:
    """Killed and started at moments that nobody waits for: also while the daemon still catches up."""
    torn.live(daemon, torn.rng.randint(0, 8))
    server.kill()
    torn.live(daemon, torn.rng.randint(0, 8))
    server.start()
