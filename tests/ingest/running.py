"""`recq-ingest` as a process of its own, and the index as another process sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from recq.errors import RecqError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.index.schema import Item
from recq.settings import Settings
from tests import forked
from tests.asking import stored_vector
from tests.eventually import eventually
from tests.ingest.documented import validated

COMMAND = [sys.executable, "-m", "ingest.cli"]
MODEL = "pixels:8"
"""What most places are filled with, for tests about files: each start of a network costs 0.7 s of a processor."""

NETWORK = "mobilenet_v2"
"""What those are filled with whose tests are about networks: the smaller one of those that are shipped."""

STARTS_WITHIN = 120.0  # seconds, on a machine with much else to do
FROM_NOTHING = False  # whether programs are started by exec, imports and all: the full forms set it


def environment(**more: str) -> dict[str, str]:
    """This process' environment without its own settings of recq.

    One decoding process, where a test asks for no more: each costs 0.4 s of a processor to start, and few decode ten.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    quick = {"RECQ_LOCK_WAIT": "0.2", "RECQ_WORKERS": "1", "RECQ_API": "off"}
    return kept | {"RECQ_CONFIG": os.devnull} | quick | more


@dataclass
class Place:
    """A folder to watch and a data folder, with the programs bound to them."""

    root: Path
    data: Path
    options: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    from_nothing: bool = field(default_factory=lambda: FROM_NOTHING)
    model: str = field(default_factory=lambda: NETWORK if FROM_NOTHING else MODEL)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    @property
    def reached(self) -> list[str]:
        """The options that name the index."""
        return ["--data-dir", str(self.data), *self.options]

    def command(self, *arguments: str, within: float = STARTS_WITHIN) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself, in so many seconds."""
        command, env = [*arguments, *self.reached], environment(**self.settings)
        if self._forks:
            return forked.run("ingest.cli", command, env, within)
        return subprocess.run(
            [*COMMAND, *command], env=env, capture_output=True, text=True, check=False, timeout=within
        )

    def once(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`run --once` on the root; a new catalog is made with the small network."""
        return self.command("run", str(self.root), "--once", *self._model(), *arguments)

    def status(self) -> dict[str, Any]:
        """The status as JSON."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = validated("status", json.loads(done.stdout))
        return status

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalog, through the running daemon or from the folder."""
        url = self.options[self.options.index("--url") + 1] if "--url" in self.options else None
        with connect(Settings(data_dir=self.data, url=url, lock_wait=10, connect_timeout=0.5)) as client:
            yield Catalog.open(client, "images")

    def items(self) -> dict[str, Item]:
        """Everything in the index, by path, metadata included."""
        with self.catalog() as catalog:
            ids = [item.id for name in catalog.sources.all() for item in catalog.ledger.scan(name)]
            return {item.file.path: item for item in catalog.ledger.get_many(ids).values()}

    def vectors(self) -> dict[str, np.ndarray]:
        """The vectors of all embedded items, by path."""
        with self.catalog() as catalog:
            found = {
                item.file.path: stored_vector(catalog, item.id)
                for name in catalog.sources.all()
                for item in catalog.ledger.scan(name)
            }
        return {path: vector for path, vector in found.items() if vector is not None}

    @contextmanager
    def daemon(self, *arguments: str) -> Iterator[Daemon]:
        """`run` on the root; ended with SIGTERM, which has to be enough."""
        command = ["run", str(self.root), *self._model(), *arguments, "--log-format", "json", *self.reached]
        log = self.data.with_suffix(".log")
        with log.open("ab") as output:
            process = self._start(command, environment(**self.settings), output.fileno())
        daemon = Daemon(process, log, log.stat().st_size)
        try:
            yield daemon
            if process.poll() is None:
                assert daemon.stop(within=30) == 0  # five seconds, where that is what is tested
        finally:
            process.kill()
            process.wait()

    @property
    def _forks(self) -> bool:
        return not self.from_nothing and COMMAND[0] == sys.executable

    def _start(self, arguments: Sequence[str], env: Mapping[str, str], output: int) -> forked.Running:
        if self._forks:
            return forked.start("ingest.cli", arguments, env, output, output)
        return subprocess.Popen([*COMMAND, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _model(self) -> list[str]:
        try:
            with self.catalog():
                return []
        except RecqError:
            return ["--model", self.model]


@dataclass
class Daemon:
    """A running daemon and what it has said."""

    process: forked.Running
    log: Path
    offset: int = 0

    def events(self, name: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Its events so far, those of one name and with these fields; not one that a full disk has cut."""
        with self.log.open("rb") as file:
            file.seek(self.offset)
            lines = [line for line in file.read().split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]
        events = [json.loads(line) for line in lines]
        wanted = fields | ({"event": name} if name else {})
        return [event for event in events if all(event.get(key) == value for key, value in wanted.items())]

    def said(self, name: str, *, within: float = 30.0, **fields: object) -> dict[str, Any]:
        """The first event of that name, waited for."""

        def look() -> list[dict[str, Any]]:
            found = self.events(name, **fields)
            if not found and self.process.poll() is not None:
                raise RuntimeError(f"the daemon has ended: {self.log.read_text()[-2000:]}")
            return found

        return eventually(look, within=within)[0]

    def ready(self) -> Daemon:
        """Wait until it watches and has compared folder and index."""
        self.said("reconciled", within=STARTS_WITHIN)
        return self

    def children(self) -> list[psutil.Process]:
        """Its processes."""
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def threads(self) -> int:
        """Those of the daemon's own process."""
        return psutil.Process(self.process.pid).num_threads()

    def stop(self, signum: signal.Signals = signal.SIGTERM, *, within: float = 5.0) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(within)
