"""A state machine: any sequence of file operations, restarts and pauses; after settling, index and folder are equal.

The daemon's own code runs in this process, on the embedded engine, with its watcher, its decoding process and its
loopback server: only the network is a stand-in, whose vector is a hash of the pixels, and signals are left to pytest.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from recq import paths
from recq.images.workers import DecodePool
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings, WatchMode
from tests.asking import stored_vector
from tests.eventually import eventually
from tests.ingest.running import NETWORK
from tests.reliability.conftest import PATIENT, Figures
from tests.reliability.equality import differences, items, require_equal
from tests.reliability.in_process import SETTLES_WITHIN, InProcess, stand_in, stand_ins
from tests.reliability.world import OPERATIONS, World

pytestmark = pytest.mark.timeout(PATIENT)

SHORT, FULL = 4, 100
"""Sequences."""

LONG = 20
"""Steps in each."""

Operation = Callable[[World], str | None]
SEVERAL = st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=6)
RANDOM = st.randoms(use_true_random=False)


class Machine(RuleBasedStateMachine):
    """The folder is the model; `differences` looks at it without the daemon's code."""

    folder: Path
    pool: DecodePool
    done: Counter[str]
    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"example {len(list(self.folder.iterdir()))}"
        self.world = World(place / "shop", random.Random(0))
        self.data = place / "data"
        self.daemon: InProcess | None = None

    @initialize(rescan=st.sampled_from([300.0, 0.3]), watch=st.sampled_from(["native", "poll"]))
    def begin(self, rescan: float, watch: WatchMode) -> None:
        """With and without comparisons of folder and index that race with the events."""
        self.settings = Settings(
            data_dir=self.data, model=NETWORK, settle=0.05, rescan=rescan, watch=watch, poll_interval=0.3, workers=1,
            lock_wait=20,
        )  # fmt: skip
        self.world.history.append(f"watched by {watch}, compared every {rescan} s")
        self._start()

    @rule(operations=SEVERAL, rng=RANDOM)
    def happen(self, operations: list[Operation], rng: random.Random) -> None:
        self.world.rng = rng
        for operation in operations:
            self.world.do(operation)
            self.done[operation.__name__] += 1

    @rule(operations=SEVERAL, rng=RANDOM)
    def happen_while_it_is_down(self, operations: list[Operation], rng: random.Random) -> None:
        self._stop()
        self.happen(operations, rng)
        self._start()
        self.done["restart"] += 1

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.1, 0.3]))
    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)  # what happens next happens later
        self.world.history.append(f"{seconds} s pass")

    @rule()
    def settle(self) -> None:
        self._require_equal()
        self.done["settle"] += 1

    @invariant()
    def it_lives(self) -> None:
        assert self.daemon is None or self.daemon.alive()

    def teardown(self) -> None:
        if self.daemon is None:
            return
        try:
            self._require_equal()
            self._require_vectors()
        finally:
            self._stop()

    def _start(self) -> None:
        self.daemon = InProcess(self.settings, self.world.root)
        self.daemon.start()
        self.world.history.append("started")

    def _stop(self) -> None:
        assert self.daemon is not None
        self.daemon.stop()
        self.world.history.append("stopped")

    def _require_equal(self) -> None:
        assert self.daemon is not None
        daemon = self.daemon
        with self._catalog() as catalog:
            require_equal(
                self.world, lambda: differences(self.world, catalog) if daemon.alive() else [], within=SETTLES_WITHIN
            )
            if self.settings.rescan > 1:  # else it is never idle for long
                eventually(daemon.idle, within=SETTLES_WITHIN)
            require_equal(self.world, lambda: differences(self.world, catalog), within=1.0)

    def _require_vectors(self) -> None:
        with self._catalog() as catalog:
            for item in items(catalog):
                vector = stored_vector(catalog, item.id)
                assert (vector is None) == (item.error is not None), item.file.path
                if vector is not None:
                    path = self.world.root / paths.from_text(item.file.path, item.file.encoded)
                    pixels = self.pool.submit(str(path), catalog.space.input).result().pixels
                    assert np.allclose(vector, stand_in(pixels), atol=1e-5), f"{item.file.path!r}: another's vector"

    @contextmanager
    def _catalog(self) -> Iterator[Catalog]:
        with connect(self.settings) as client:
            yield Catalog.open(client, "images")


def test_any_sequence_ends_equal(tmp_path: Path, full: bool, figures: Figures) -> None:
    done: Counter[str] = Counter()
    began = time.monotonic()
    with stand_ins() as pool:
        machine = type("Bound", (Machine,), {"folder": tmp_path / "machine", "pool": pool, "done": done})
        run_state_machine_as_test(
            machine,
            settings=hypothesis.settings(
                max_examples=FULL if full else SHORT,
                stateful_step_count=LONG,
                derandomize=not full,  # the short form is the same every time
                database=None,
                deadline=None,
                phases=[hypothesis.Phase.generate],  # a shrunk run takes hours; the message tells what happened
                suppress_health_check=list(hypothesis.HealthCheck),
                print_blob=True,
            ),
        )
    assert done["settle"]
    assert done["restart"]
    figures(
        "state machine",
        sequences=FULL if full else SHORT,
        done=dict(done),
        seconds=round(time.monotonic() - began),
    )
