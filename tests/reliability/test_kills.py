"""Kill campaign: the daemon is killed (-9) again and again at random moments, while the folder lives on.

Nothing may be lost, doubled or left over: after every few kills a daemon that is left alone brings index and folder to
be exactly equal. `RECQ_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.qdrant_server import QdrantServer
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.torn import Torn, seeded

pytestmark = pytest.mark.timeout(PATIENT)

SHORT, FULL = 5, 100
"""Kills per engine."""

BETWEEN = 10
"""Kills until index and folder are compared."""


@pytest.mark.parametrize("engine", ["embedded", pytest.param("server", marks=pytest.mark.server)])
def test_killed_at_any_moment_nothing_is_lost(
    engine: str, tmp_path: Path, full: bool, figures: Figures, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("RECQ_TEST_SEED") or random.SystemRandom().randrange(10**6))
    options: tuple[str, ...] = ()
    if engine == "server":
        server: QdrantServer = request.getfixturevalue("own_server")
        options = ("--url", server.url)
    kills = FULL if full else SHORT
    began = time.monotonic()
    with seeded(seed):
        torn = Torn.make(tmp_path, seed, *options)
        for number in range(1, kills + 1):
            torn.kill_once()
            if number % BETWEEN == 0 or number == kills:
                torn.settle(steps=10)
        torn.nothing_left()
    figures(
        "kills",
        engine=engine,
        kills=kills,
        moments=dict(torn.kills),
        operations=len(torn.world.history),
        items=len(torn.world.expected()),
        seconds=round(time.monotonic() - began),
        seed=seed,
    )
