"""A daemon over one collection of a catalog, with all that is its own: sources, decoding processes, network, end.

Two run side by side while a catalog moves to another collection (`ingest.service.switching`); what both share is the
`Session`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qdrant_client import QdrantClient

from ingest.daemon import Daemon
from ingest.index.retrying import Retrier
from ingest.index.retrying_index import replaced
from ingest.reconcile.claims import give_back
from ingest.reconcile.rebuild_check import require_whole
from ingest.report import Reports
from ingest.service.api import MountedApi
from ingest.service.outcome import Outcome, Standing
from ingest.service.roots import begin
from ingest.service.status import DaemonStatus
from ingest.source.sources import Sources
from ingest.source.watched_source import WatchedSource
from recq.errors import IndexRefused, IndexUnreachable, RecqError
from recq.heartbeat import SILENT, Heartbeat
from recq.images import Limits
from recq.images.workers import DecodePool, Header
from recq.index.catalog import Catalog
from recq.models import Embedder, open_embedder
from recq.models.imagenet import of_one_pass
from recq.settings import Settings
from recq.signals import Signals

if TYPE_CHECKING:
    from ingest.report import Reporter


class Away:
    """Reports once that the index is away, and once that it is back."""

    def __init__(self, reporter: Reports) -> None:
        self._reporter = reporter
        self.detail: str | None = None
        """What was reported, until the index is back."""

    def waiting(self, detail: str) -> None:
        """It is away."""
        if self.detail is None:
            self.detail = detail
            self._reporter.event("waiting", detail=detail)

    def recovered(self) -> None:
        """It answers again."""
        if self.detail is not None:
            self.detail = None
            self._reporter.event("recovered")


@dataclass(frozen=True)
class Session:
    """What is open while daemons work; `flush` shortens the embedded engine's journal.

    `retrier` is for what is asked before a daemon runs, `api` the daemon's HTTP API, where it has one.
    """

    settings: Settings
    once: bool
    began: float
    signals: Signals
    reporter: Reporter
    board: DaemonStatus
    client: QdrantClient
    flush: Callable[[], None] | None
    away: Away
    retrier: Retrier
    moves: Moves
    heartbeat: Heartbeat
    api: MountedApi | None

    def rested(self, catalog: Catalog) -> None:
        """Nothing is left to do for the daemon of a catalog: there is time for what is not urgent."""
        if self.api is not None:
            self.api.rested(catalog.space.fingerprint)

    def retrying(self, stop: threading.Event) -> Retrier:
        """Asks the index until `stop`."""
        return retrying(self.settings, stop, self.away, once=self.once)


def retrying(settings: Settings, stop: threading.Event, away: Away, *, once: bool) -> Retrier:
    """Asks the index until `stop`; with `once` it gives up when the index stays away."""
    give_up_after = settings.connect_timeout if once else None
    return Retrier(stop, give_up_after=give_up_after, waiting=away.waiting, recovered=away.recovered)


class Moves(Protocol):
    """Moves the catalog of a running daemon to another collection (`ingest.service.switching`)."""

    def attend(self, session: Session, running: Running) -> None:
        """Move the catalog of this daemon, from now on."""

    def successor(self, ended: Running) -> Running | None:
        """The daemon that goes on after one that has ended; None where all is to end."""

    def end(self) -> None:
        """End what is under way."""


class Running:
    """A daemon on a catalog until it is done or stopped; `old` is the catalog that a rebuild replaces.

    `tables` are the metadata tables that were named, by source. It ends with the session, or by `end`.
    """

    def __init__(
        self,
        session: Session,
        catalog: Catalog,
        roots: Mapping[str, Path],
        tables: Mapping[str, Path | None],
        *,
        old: Catalog | None = None,
        verify: bool = False,
        reporter: Reports | None = None,
    ) -> None:
        self.catalog = catalog
        self.sources = Sources()
        self.stop = session.signals.stop_of_one()
        self.retrier = session.retrying(self.stop)
        self._session = session
        self._roots = roots
        self._tables = tables
        self._old = old
        self._verify = verify
        self._reporter = reporter or session.reporter
        self._daemon: Daemon | None = None
        self._embedder: Embedder | None = None
        self._retired = False
        self.ended = threading.Event()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        if old is None:
            self.retrier.explain = self.explain

    @property
    def daemon(self) -> Daemon:
        """The daemon. Raises IndexUnreachable while it starts."""
        if self._daemon is None:
            raise IndexUnreachable("the daemon is still starting: try again in a moment")
        return self._daemon

    def add(self, name: str, root: Path, table: Path | None) -> WatchedSource:
        """A source with which this daemon can begin."""
        return begin(self.catalog, self._session.settings, self.retrier, self._reporter, name, root, table)

    def start(self) -> None:
        """Run in a thread of its own."""
        threading.Thread(target=self._run_here, name="daemon", daemon=True).start()

    def finished(self) -> Outcome:
        """The outcome of what was started, waited for. Raises as `run`."""
        self.ended.wait()
        if self._error is not None:
            raise self._error
        assert self._outcome is not None, "it was started"
        return self._outcome

    def _run_here(self) -> None:
        with contextlib.suppress(BaseException):  # `finished` raises it
            self.run()

    def run(self, ready: Callable[[], None] = lambda: None) -> Outcome:
        """Work; `ready` is called when the daemon is about to begin. Raises what a worker raised, and Stopping."""
        try:
            self._outcome = self._run(ready)
        except BaseException as error:
            self._error = error
            raise
        finally:
            if self._retired:  # nobody asks it anything any more, and it has pictures and vectors
                self._daemon = self._embedder = None
            self.ended.set()
        return self._outcome

    def _run(self, ready: Callable[[], None]) -> Outcome:
        session, settings = self._session, self._session.settings
        try:
            for name, root in self._roots.items():
                self.sources.add(self.add(name, root, self._tables.get(name)))
        except BaseException:
            self._give_back()
            raise
        pool = decoding(settings, self.sources)
        wake: Callable[[], None] | None = None
        try:
            with network(settings, self.catalog) as embedder:
                daemon = Daemon(
                    settings,
                    self.catalog,
                    self.sources,
                    pool,
                    embedder,
                    self.retrier,
                    self._reporter,
                    stop=self.stop,
                    once=session.once,
                    flush=session.flush,
                    old=self._old,
                    verify=self._verify,
                )
                self._daemon, self._embedder, wake = daemon, embedder, daemon.wake
                session.signals.working(wake)
                ready()
                daemon.run()
                standing = Standing()
                if not daemon.stopped:
                    found = (self.retrier(Standing.of, self.catalog, watched) for watched in self.sources.values())
                    standing = sum(found, standing)
                if not self._retired:  # else another one goes on
                    self._reporter.event("stopped", **vars(daemon.tally.counts))
                pool.close(cancel=daemon.stopped)
                if self._old is not None and not daemon.stopped:
                    for each in self.retrier(require_whole, self._old, self.catalog, self.sources, daemon.tally.doubts):
                        self._reporter.event("gone", **vars(each))
                return Outcome(daemon.stopped, daemon.tally.counts, standing, time.monotonic() - session.began)
        finally:
            pool.close(cancel=True)
            session.signals.ended(self.stop, wake)
            self._give_back()

    def _give_back(self) -> None:
        """Let other daemons have its sources, or its parts of them. An index that is away is not waited for."""
        if self._session.settings.url is None or self.retrier.away:
            return
        for name in self.sources:
            with contextlib.suppress(RecqError):
                give_back(self.catalog, name, self._session.settings.part)

    def show(self) -> None:
        """Have the status show this daemon, systemd watch it, and report that it has started."""
        daemon, embedder = self.daemon, self._embedder
        assert embedder is not None, "it is there as soon as the daemon is"
        daemon.heartbeat = self._session.heartbeat
        daemon.tell_of_rest(lambda: self._session.rested(self.catalog))
        self._session.board.show(self.catalog, self.sources, daemon, embedder)
        self._reporter.event(
            "started",
            catalog=self.catalog.name,
            space=self.catalog.space.label,
            runtime=embedder.runtime,
            device=embedder.device,
            pid=os.getpid(),
            **({} if self._session.settings.partition is None else {"partition": self._session.settings.partition}),
        )

    def end(self) -> None:
        """End this daemon alone: what is under way is finished."""
        self.stop.set()
        daemon = self._daemon
        if daemon is not None:
            daemon.wake()

    def retire(self) -> None:
        """End it, since another one goes on in its place."""
        self._retired = True
        self.daemon.heartbeat = SILENT
        self.daemon.retire()
        self.end()

    def explain(self, error: IndexRefused) -> RecqError:
        """The error for a refusal: that the collection was replaced or deleted, where it was; else the refusal."""
        with contextlib.suppress(RecqError):
            if not self.catalog.still_current():
                return replaced(self.catalog)
        return error


def decoding(settings: Settings, sources: Sources) -> DecodePool:
    """The decoding processes of a daemon."""
    return DecodePool(
        workers=settings.worker_count,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
        limits=Limits.from_settings(settings),
        headers=partial(_note_header, sources) if settings.exif else None,
    )


def network(settings: Settings, catalog: Catalog) -> Embedder:
    """The network of a daemon. Raises as `open_embedder` does."""
    means = of_one_pass(settings, catalog.base) is not None  # `--predict imagenet` may come at any time
    return open_embedder(catalog.space, settings, projection=catalog.projection, means=means)


def _note_header(sources: Sources, path: str, header: Header) -> None:
    """Keep the headers that were read with a picture, so that they are not read again when it is described."""
    for watched in sources.values():
        watched.note_header(path, header)
