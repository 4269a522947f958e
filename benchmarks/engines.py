"""What the benchmarks ask: daemons as processes of their own, and the tests' real Qdrant server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import PROGRAMS, environment, progress
from tests.qdrant_server import QdrantServer


@contextmanager
def server(folder: Path) -> Iterator[str | None]:
    """The URL of a Qdrant server with its storage in `folder`; None, and a line that says why, where there is none."""
    running = _started(folder)
    try:
        yield None if running is None else running.url
    finally:
        if running is not None:
            running.kill()


def _started(folder: Path) -> QdrantServer | None:
    try:
        made = QdrantServer(folder)
        made.start()
    except (pytest.skip.Exception, pytest.fail.Exception) as why:
        progress(f"    {why}")
        return None
    return made


_AWAY = 30
"""How much longer than each look at the events the pause after it is: of many it takes as long as some pictures."""


@dataclass
class Daemon:
    """A running `recq-ingest run`, and the events that it has reported."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float
    """`time.time()` just before its exec."""

    _read: int = 0
    _events: list[dict[str, Any]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """All so far."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        self._events += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return self._events

    def settled(self, source: str | None = None) -> int:
        """How many pictures were indexed or have failed so far, of one source or of all."""
        return sum(
            each["event"] in ("indexed", "failed") and source in (None, each.get("source")) for each in self.events()
        )

    def wait_for(self, event: str, within: float = 600.0) -> dict[str, Any]:
        """The first event of that name. Raises SystemExit where the daemon ends, or takes too long."""
        found: dict[str, Any] = self.wait_until(
            lambda seen: next((each for each in seen if each["event"] == event), None), within
        )
        return found

    def wait_until(self, look: Callable[[list[dict[str, Any]]], Any], within: float = 600.0) -> Any:
        """The first truthy answer of `look` to the events so far, of which it takes little of a core's time."""
        end = time.monotonic() + within
        began = time.perf_counter()
        while not (found := look(self.events())):
            if self.process.poll() is not None or time.monotonic() > end:
                last = self.log.read_text("utf-8", "replace")[-1500:]
                raise SystemExit(f"the daemon has ended, or took more than {within:g} s:\n{last}")
            time.sleep(max(0.005, _AWAY * (time.perf_counter() - began)))
            began = time.perf_counter()
        return found

    def stop(self) -> None:
        """SIGTERM, and its end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def daemon(
    arguments: Sequence[str], data: Path, command: Sequence[str] = (), within: float = 600.0, **settings: str
) -> Iterator[Daemon]:
    """`recq-ingest run ARGUMENTS` on a data folder, from its first comparison of folder and index to its end.

    `command` stands before it, such as a tracer; `settings` are environment variables. The comparison takes `within`
    seconds at the most: it waits for pictures where there are more new ones than the daemon keeps in its queue.
    """
    data.mkdir(parents=True, exist_ok=True)
    log = data.with_name(f"{data.name}.log")
    log.unlink(missing_ok=True)  # what a killed daemon has left may still write to it, and not from its beginning
    with log.open("wb") as errors:
        started = time.time()
        process = subprocess.Popen(
            [*command, str(PROGRAMS / "recq-ingest"), "run", *arguments, "--log-format", "json", "--data-dir", data],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment(**settings),
        )
    running = Daemon(process, log, started)
    try:
        running.wait_for("reconciled", within)
        yield running
    finally:
        if process.poll() is None:
            try:
                running.stop()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
