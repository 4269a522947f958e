"""When a folder is compacted: one thread of the process that owns the folder decides and does it.

The thread checks regularly whether a collection wastes enough space (`waste`), and rewrites it (`compaction`) at half
speed: it rests as long as it works, so that queries and writes are answered under permanent load too.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from recq.index.edge.compaction import Abandoned
from recq.index.edge.folder import Folder
from recq.index.edge.problem import Problem
from recq.index.edge.waste import bytes_of, free_bytes, has_room, wastes_disk, wastes_memory

CHECK_EVERY = 10.0  # seconds between two checks
AGAIN_AFTER = 60.0  # seconds after an attempt that a write by filter ended
AFTER_FAILURE = 3600.0  # seconds after an attempt that failed, for example on a full disk
_POLL = 0.1  # seconds between two checks of the event that ends `finish`

_log = logging.getLogger(__name__)


class _Ended(Exception):
    """The folder is being closed, or the work is no longer needed."""


class Compactor:
    """Compacts the open collections of `folder` that need it, from `start` until `close`. `check_every` in seconds."""

    def __init__(self, folder: Folder, check_every: float | None = None) -> None:
        self._folder = folder
        self._check_every = CHECK_EVERY if check_every is None else check_every
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._last = False
        self._not_before: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread that checks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recq-edge-compact", daemon=True)
            self._thread.start()

    def finish(self, stop: threading.Event) -> None:
        """Do the compaction that is due on disk, without rests, then stop checking; `stop` interrupts it."""
        self._last = True
        self._wake.set()
        self.start()
        assert self._thread is not None
        while self._thread.is_alive():
            if stop.is_set():
                self._closing.set()
            self._thread.join(_POLL)

    def close(self) -> None:
        """Interrupt a running compaction, and stop checking."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            last = self._last
            for name, folder in self._folder.open_collections():
                self._look(name, folder)
            if last:
                return
            self._wake.wait(self._check_every)

    def _look(self, name: str, folder: Path) -> None:
        now = time.monotonic()
        rest = self._not_before.get(name, now) - now
        if rest > (AGAIN_AFTER if self._last else 0):
            return
        try:
            usage = self._folder.usage(name)
            if not wastes_disk(usage) and (self._last or not wastes_memory(usage)):
                return
            used, free = bytes_of(folder), free_bytes(folder)
            if not has_room(free, used, usage):
                raise OSError(f"only {free >> 20:,} MB are free on the disk")
            self._folder.compact(name, self._breathe)
            given = used - sum(bytes_of(path) for each, path in self._folder.open_collections() if each == name)
            _log.info("compacted %s: %d MB given back in %.0f s", folder.parent, given >> 20, time.monotonic() - now)
        except _Ended:
            pass
        except Abandoned as reason:
            self._not_before[name] = time.monotonic() + AGAIN_AFTER
            _log.debug("compaction of %s put off: %s", folder, reason)
        except Exception as error:  # any error: the old folder stays in use
            if not self._closing.is_set() and not (isinstance(error, Problem) and error.status == 404):
                self._not_before[name] = time.monotonic() + AFTER_FAILURE
                _log.warning(
                    "cannot compact the embedded index in %s: %s. It stays in use and grows: free space", folder, error
                )

    def _breathe(self, seconds: float) -> None:
        if self._last:
            seconds = 0
        if self._closing.wait(seconds):
            raise _Ended
