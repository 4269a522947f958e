"""A daemon in a thread of this process: all its own code, on the embedded engine, with its watcher and loopback server.

Only the network is a stand-in, whose vector is a hash of the pixels, and signals are left to pytest. `stand_ins` has to
be in force while daemons are made.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
import pytest

import ingest.service.running
import ingest.service.session
from ingest.source.targets import Target
from recq.images import Limits
from recq.images.workers import DecodePool
from recq.models import Embedder
from recq.operate.status import ask_daemon
from recq.settings import Settings
from tests.eventually import eventually
from tests.reliability.equality import Vector

SETTLES_WITHIN = 120.0


def stand_in(pixels: np.ndarray) -> Vector:
    """A unit vector that belongs to these pixels alone."""
    seed = int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(1280).astype(np.float32)
    return vector / np.linalg.norm(vector)


class StandIn:
    """In the place of a compiled network; all around it is the real `Embedder`."""

    name, device = "stand-in", "CPU"
    batch = 1
    concurrency = 2

    def infer(self, pixels: np.ndarray) -> Vector:
        return np.stack([stand_in(each) for each in pixels])

    def close(self) -> None:
        pass


class Told:
    """In the place of `recq.signals.Signals`: told by a method."""

    def __init__(self, code: int) -> None:
        self.stop = threading.Event()
        self._wakes: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def working(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def stop_of_one(self) -> threading.Event:
        return self.stop

    def ended(self, stop: threading.Event, wake: Callable[[], None] | None = None) -> None:
        pass

    def end(self) -> None:
        self.stop.set()
        for wake in self._wakes:
            wake()


class LastingPool(DecodePool):
    """The one decoding process of a whole test: a daemon that closes its pool leaves it alive."""

    def close(self, *, cancel: bool = False) -> None:
        pass

    def end(self) -> None:
        super().close(cancel=True)


class InProcess:
    """A daemon in a thread of this process."""

    def __init__(self, settings: Settings, *roots: Path) -> None:
        self.settings = settings
        self._told: Told | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=roots, name="daemon")

    def start(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            # The session is built with these; it keeps them for its life.
            patch.setattr(ingest.service.session, "Signals", self._signals)
            self._thread.start()
            eventually(lambda: self._told is not None or not self._thread.is_alive())
        eventually(lambda: self.alive() and self._state() not in (None, "starting"), within=SETTLES_WITHIN)

    def stop(self) -> None:
        assert self.alive()
        assert self._told is not None
        self._told.end()
        self._thread.join(SETTLES_WITHIN)
        assert not self._thread.is_alive(), "the daemon does not stop"
        if self._error is not None:
            raise self._error

    def alive(self) -> bool:
        """True, or the error that the daemon ended with."""
        if self._error is not None:
            raise self._error
        assert self._thread.is_alive(), "the daemon has ended by itself"
        return True

    def idle(self) -> bool:
        status = ask_daemon(self.settings)
        return status is not None and status.state == "idle" and not any(each.pending for each in status.sources)

    def _state(self) -> str | None:
        status = ask_daemon(self.settings)
        return None if status is None else status.state

    def _signals(self, code: int) -> Told:
        self._told = Told(code)
        return self._told

    def _run(self, *roots: Path) -> None:
        try:
            ingest.service.session.ingest(
                self.settings, [Target(root) for root in roots], table=None, once=False, log_format=None
            )
        except BaseException as error:
            self._error = error


@contextmanager
def stand_ins(pool: type[LastingPool] = LastingPool) -> Iterator[LastingPool]:
    """Daemons of this process get the stand-in for the network and this one decoding process, which is ended."""
    limits = Limits.from_settings(Settings())
    lasting = pool(workers=1, timeout=60, memory=2**31, limits=limits)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RECQ_CONFIG", os.devnull)
            patch.setattr(ingest.service.running, "open_embedder", lambda space, _, **__: Embedder(space, StandIn()))
            patch.setattr(ingest.service.running, "DecodePool", lambda **_: lasting)
            yield lasting
    finally:
        lasting.end()
