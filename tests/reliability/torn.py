"""A daemon that is killed again and again: when, and what must not be left of it."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from recq.operate.status import ask_daemon
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.running import MODEL, STARTS_WITHIN, Daemon, Place
from tests.reliability.equality import differences, require_equal, require_true_vectors
from tests.reliability.world import World

SETTLES_WITHIN = 120.0
"""Seconds for a daemon to catch up with all that happened; some two are enough on an idle machine."""

_MARK = "TORN"  # an environment variable that the daemon and all its processes have


@dataclass(frozen=True)
class Moment:
    """When to kill: so long after the n-th event of a name since the start; after the start itself where it is None."""

    name: str
    event: str | None
    times: int
    longest: float


MOMENTS = (
    Moment("starting", None, 0, 1.0),
    Moment("started", "started", 1, 0.2),
    Moment("reconciled", "reconciled", 1, 0.3),
    Moment("first write", "indexed", 1, 0.05),
    Moment("writing", "indexed", 8, 0.2),
    Moment("deleting", "deleted", 1, 0.05),
    Moment("at work", "reconciled", 1, 2.5),
)


@dataclass
class Torn:
    """A world, the place of its index, and what was done to it so far."""

    world: World
    place: KnownPlace
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def make(cls, folder: Path, seed: int, *options: str, **settings: str) -> Torn:
        """In `folder`, driven by `seed`; `options` and `settings` are the daemon's."""
        rng = random.Random(seed)
        torn = cls(World(folder / "shop", rng), KnownPlace(folder / "shop", folder / "data", options), rng)
        # What goes at once in this world is meant: what is held is the subject of other tests.
        own = {"RECQ_SETTLE": "0.1", "RECQ_WORKERS": "2", "RECQ_MAX_DELETE": "1", _MARK: torn.token}
        torn.place.settings |= own | settings
        return torn

    def kill_once(self) -> None:
        """Start a daemon, let things happen, kill it at some moment; nobody of it is left."""
        moment = self.rng.choice(MOMENTS)
        with self.place.daemon() as daemon:
            self._live_until(moment, daemon)
            daemon.process.kill()
            daemon.process.wait()
        self.kills[moment.name] += 1
        eventually(lambda: not list(self.processes()))
        for _ in range(self.rng.randint(0, 3)):
            self.world.step()

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """A daemon that lives to the end of the block, and stops when it is told to: here, whenever it gets to it."""
        with self.place.daemon() as daemon:
            yield daemon
            assert daemon.process.poll() is None, f"the daemon has ended: {daemon.log.read_text()[-3000:]}"
            assert daemon.stop(within=SETTLES_WITHIN) == 0

    def settle(self, *, steps: int) -> None:
        """Start a daemon, let things happen, wait until index and folder are equal and the daemon idle; stop it."""
        with self.daemon() as daemon:
            self.live(daemon.ready(), steps)
            self.equal_and_idle()

    def live(self, daemon: Daemon, steps: int) -> None:
        """Let so many things happen while the daemon runs."""
        for _ in range(steps):
            self._step(daemon)

    def equal_and_idle(self) -> None:
        """Wait until index and folder are equal, and stay so because nothing is left to be done."""
        with self.place.catalog() as catalog:
            require_equal(self.world, lambda: differences(self.world, catalog), within=SETTLES_WITHIN)
        eventually(lambda: self.state() == ("idle", 0), within=SETTLES_WITHIN)
        with self.place.catalog() as catalog:
            require_equal(self.world, lambda: differences(self.world, catalog), within=1.0)

    def nothing_left(self) -> None:
        """A last pass over folder and index finds nothing to be done, and every vector is its own file's."""
        done = self.place.once()
        assert done.returncode in (0, 3), done.stderr
        assert "changes=0" in done.stderr, done.stderr
        with self.place.catalog() as catalog:
            assert differences(self.world, catalog) == []
            require_true_vectors(self.world.root, catalog)

    def processes(self) -> Iterator[psutil.Process]:
        """Every process of every daemon of this place that still lives."""
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self.token:
                    yield process
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue

    def _live_until(self, moment: Moment, daemon: Daemon) -> None:
        for _ in range(self.rng.randint(0, 5)):  # a few while it starts, however long that takes
            self._step(daemon)
        if moment.event is not None:
            daemon.said("started", within=STARTS_WITHIN)
        deadline = time.monotonic() + STARTS_WITHIN
        while moment.event is not None and len(daemon.events(moment.event)) < moment.times:
            assert time.monotonic() < deadline, (
                f"no {moment.times} x {moment.event!r}: {daemon.log.read_text()[-2000:]}"
            )
            self._step(daemon)
        end = time.monotonic() + self.rng.uniform(0.0, moment.longest)
        while time.monotonic() < end:
            self._step(daemon, until=end)

    def _step(self, daemon: Daemon, until: float = float("inf")) -> None:
        assert daemon.process.poll() is None, f"the daemon has ended: {daemon.log.read_text()[-3000:]}"
        self.world.step()
        pause = self.rng.choice([0.0, self.rng.uniform(0.0, 0.2)])  # the pace of what happens
        time.sleep(max(0.0, min(pause, until - time.monotonic())))

    def state(self) -> tuple[str, int]:
        """What the daemon says that it does, and how many paths wait or are under way."""
        status = ask_daemon(self.place.settings_here())
        return ("", 0) if status is None else (status.state, sum(each.pending or 0 for each in status.sources))


class KnownPlace(Place):
    """A place whose model is always said: nobody but the daemon opens its index while it is dead."""

    def settings_here(self) -> Settings:
        """What names its index in this process."""
        url = self.options[self.options.index("--url") + 1] if "--url" in self.options else None
        return Settings(data_dir=self.data, url=url)

    def _model(self) -> list[str]:
        return ["--model", MODEL]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Names the seed in the failure of what runs in it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the seed was {seed}")
        raise
