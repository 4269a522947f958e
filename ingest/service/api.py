"""The daemon's HTTP API: a process beside it (`recq.api.beside`), started with the daemon and ended with it.

One that ends by itself is started again, sooner or later by how often that has happened.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from recq.announced import MODEL, Announced
from recq.api.beside import read_place, send, tell_of_rest
from recq.images.process import environment_without_settings
from recq.settings import Settings

LEAVES_WITHIN = 3.5
"""Seconds that the process has for answers under way; then it is killed, so that the daemon ends within five."""

FIRST_AGAIN, LAST_AGAIN = 1.0, 60.0
"""Seconds before one that has ended is started again: they double from the first to the last."""

_STEADY = 60.0  # seconds that one has to run, and the next starts soon again

_log = logging.getLogger("recq.api")


class MountedApi:
    """Keeps the process running from `start` to `close`; `announce` is given where it answers, and None at its end."""

    def __init__(self, settings: Settings, announce: Callable[[Announced | None], None]) -> None:
        self._settings = as_in_shell(settings)
        self._announce = announce
        self._leaving = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: subprocess.Popen[bytes] | None = None
        """The process, from when it answers to when it is to end."""
        self._rests = ""
        """The fingerprint of the space in whose catalog nothing was left to do lately."""
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="api", daemon=True)

    def start(self) -> None:
        """Start it, without waiting."""
        self._thread.start()

    def leave(self) -> None:
        """Ask it to end, from any thread; no other is started."""
        self._leaving.set()
        with self._starting:
            process, self._ready = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()

    def rested(self, space: str) -> None:
        """Nothing is left to do for the catalog, whose space has that fingerprint: the network may be loaded.

        From any thread; it does not wait.
        """
        if not self._settings.api_warm:
            return
        self._rests = space
        if self._starting.acquire(blocking=False):  # else it is just starting, or ending
            try:
                self._tell()
            finally:
                self._starting.release()

    def _tell(self) -> None:
        if self._rests and self._ready is not None and self._ready.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended, or has not read what was sent before
                tell_of_rest(self._ready.stdin, self._rests)

    def close(self) -> None:
        """End it, and wait for its end."""
        self.leave()
        if not self._thread.is_alive():
            return
        self._thread.join(LEAVES_WITHIN)
        if self._process is not None:
            self._process.kill()
        self._thread.join(1)

    def _keep(self) -> None:
        again = 0.0
        while not self._leaving.is_set():
            began = time.monotonic()
            why = self._one()
            if self._leaving.is_set():
                return
            again = pause_after(again, time.monotonic() - began)
            _log.warning("the HTTP API has ended (%s): it starts again in %g s", why, again)
            self._leaving.wait(again)

    def _one(self) -> str:
        """Run one to its end, and tell what ended it."""
        with self._starting:
            if self._leaving.is_set():
                return "the daemon ends"
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "recq.api.beside"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment_without_settings(),
                )
            except OSError as error:
                return f"it cannot be started: {error.strerror}"
        process = self._process
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        try:
            with contextlib.suppress(OSError, ValueError):  # it has ended, or is to end
                send(process.stdin, self._settings, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
                place = read_place(process.stdout)
                if place is not None and (why := self._announced(place)) is not None:
                    process.stdin.close()  # nobody could find it
                    process.wait()
                    return f"its address cannot be written: {why}"
                if place is not None:
                    with self._starting:
                        self._ready = None if self._leaving.is_set() else process
                        self._tell()
            return f"exit status {process.wait()}"
        finally:
            self._ready = None
            self._announced(None)
            process.stdout.close()

    def _announced(self, place: Announced | None) -> str | None:
        """Say where it answers; why that cannot be said now, a full disk for example, None where it is."""
        try:
            self._announce(place)
        except OSError as error:
            return error.strerror or type(error).__name__
        return None


def pause_after(last: float, lived: float) -> float:
    """Seconds before the next start of a process that ran for `lived`; `last` was the pause before it, 0 for none."""
    return FIRST_AGAIN if not last or lived > _STEADY else min(2 * last, LAST_AGAIN)


def as_in_shell(settings: Settings) -> Settings:
    """The settings of an API for everybody: of a model only what environment and recq.toml name, as `recq` has it.

    A model on the daemon's command line is that of one catalog, and questions about others would be refused.
    """
    shell = Settings()
    return settings.model_copy(update={name: getattr(shell, name) for name in MODEL})
