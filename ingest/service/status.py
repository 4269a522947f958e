"""What a running daemon reports of itself (`recq.operate.status`)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recq.errors import IndexUnreachable, RecqError
from recq.operate.status import (
    Counted,
    PredictedStatus,
    Rebuilding,
    SourceStatus,
    Status,
    counted,
    engine_of,
    kept_in,
    placement_in,
    predicted_in,
    quantised_in,
)
from recq.settings import Settings

if TYPE_CHECKING:
    from ingest.daemon import Daemon
    from ingest.source.watched_source import WatchedSource
    from recq.index.catalog import Catalog
    from recq.models import Embedder

_COUNT_WITHIN = 3.0  # seconds for the index to count; after that its last numbers are given

Shown = tuple["Catalog", Mapping[str, "WatchedSource"], "Daemon"]
"""A daemon, with its catalog and its sources."""


class DaemonStatus:
    """What the running daemon reports of itself, to the threads of its loopback server.

    `reason` gives the reason why the index is waited for, None while it answers.
    """

    def __init__(self, settings: Settings, reason: Callable[[], str | None]) -> None:
        self._settings = settings
        self._reason = reason
        self.rebuilding: Callable[[], Rebuilding | None] = lambda: None
        self.beside: Callable[[], Shown | None] = lambda: None
        """The daemon that fills the collection which the catalog moves to, while it does."""
        self._running: Shown | None = None
        self._runtime: tuple[str | None, str | None] = None, None
        self._counted: dict[str, Counted] = {}
        self._kept: Mapping[str, Any] | None = None
        self._placement: Mapping[str, Any] | None = None
        self._quantised: Mapping[str, Any] | None = None
        self._predicted: tuple[PredictedStatus, ...] = ()
        self._counting: threading.Thread | None = None
        self._lock = threading.Lock()

    def show(self, catalog: Catalog, sources: Mapping[str, WatchedSource], daemon: Daemon, embedder: Embedder) -> None:
        """Set the daemon, which runs from now on."""
        self._runtime = embedder.runtime, embedder.device
        self._running = catalog, sources, daemon

    @property
    def settings(self) -> Settings:
        """Those of the process."""
        return self._settings

    def running(self) -> Shown:
        """The catalog, the sources and the daemon. Raises IndexUnreachable while it starts."""
        if self._running is None:
            raise IndexUnreachable("the daemon is still starting: try again in a moment")
        return self._running

    def answer(self, method: str, body: bytes) -> tuple[int, dict[str, object]]:  # noqa: ARG002 - a route's signature
        """The loopback route."""
        return 200, self.status().to_json()

    def status(self) -> Status:
        """The status now; while the index does not answer, with its last numbers."""
        settings = self._settings
        if self._running is None:
            detail = self._reason()
            state = "starting" if detail is None else "waiting"
            return Status(settings.catalog, engine_of(settings), None, True, os.getpid(), state, detail, ())
        catalog, sources, daemon = self._running
        # Pending first: what is written in between counts twice for a moment rather than not at all.
        pending = {name: (*daemon.pending(name), daemon.oldest_pending(name)) for name in sources}
        self._count(catalog, list(sources))
        shown = tuple(self._source(watched, *pending[name]) for name, watched in sources.items())
        state, detail = daemon.state, daemon.reason or self._reason()
        return Status(
            settings.catalog, engine_of(settings), catalog.space.summary(), True, os.getpid(), state,
            detail if state == "waiting" else None, shown, daemon.indexes_waiting,
            len(catalog.fields.known_waiting.refused), *self._runtime, self._kept, self._predicted, self.rebuilding(),
            self._placement, self._quantised, catalog.node,
        )  # fmt: skip

    def _count(self, catalog: Catalog, names: Sequence[str]) -> None:
        """Ask the index, but no longer than `_COUNT_WITHIN`: an index that hangs must not hold up the status."""
        deadline = time.monotonic() + _COUNT_WITHIN
        while (before := self._counting) is not None and before.is_alive() and time.monotonic() < deadline:
            before.join(deadline - time.monotonic())  # another question's, which began before this one
        with self._lock:
            if self._counting is None or not self._counting.is_alive():
                self._counting = threading.Thread(
                    target=self._ask, args=(catalog, names), name="count", daemon=True
                )  # never waited for at the end
                self._counting.start()
            counting = self._counting
        counting.join(max(0.0, deadline - time.monotonic()))

    def _ask(self, catalog: Catalog, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(RecqError):
                self._counted[name] = counted(catalog, name)
        with contextlib.suppress(RecqError):
            self._kept = kept_in(catalog)
        with contextlib.suppress(RecqError):
            self._placement = placement_in(catalog, self._settings)
        with contextlib.suppress(RecqError):
            self._quantised = quantised_in(catalog)
        with contextlib.suppress(RecqError):
            self._predicted = predicted_in(catalog, self._settings)

    def _source(self, watched: WatchedSource, pending: int, unknown: int, oldest: float | None) -> SourceStatus:
        counted = self._counted.get(watched.name, Counted(0, 0))
        return counted.status(
            watched.name,
            watched.root,
            new=unknown,
            ignored=len(watched.ignored),
            pending=pending,
            oldest_pending_seconds=None if oldest is None else round(oldest, 3),
            held=watched.held,
            held_metadata=watched.held_metadata,
        )
