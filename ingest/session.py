"""From the command line to a daemon at work: sources, index, model, and everything that is closed at the end.

With the embedded engine the data folder is owned and served on loopback, so that `recq` goes on searching. With a
server only the daemon's own routes are; the folder's lock then keeps two daemons from sharing an address.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from qdrant_client import QdrantClient

from ingest.commit import declare_each
from ingest.daemon import Daemon
from ingest.isolation import Isolation
from ingest.loop import Stopping
from ingest.patience import Patience
from ingest.patient_index import replaced
from ingest.report import LogFormat, Reporter
from ingest.requests import Desk, mark
from ingest.roots import all_roots, ready, roots_here
from ingest.signals import INTERRUPTED, Signals, Stopped
from ingest.status import ROUTE, Board, ask_daemon
from ingest.tally import Counts
from ingest.targets import Target, require_one_source, require_usable
from ingest.watched import Watched
from ingest.whole import require_whole
from recq.errors import (
    IndexBusy,
    IndexRefused,
    ItemsFailed,
    RecqError,
    TargetNotFound,
)
from recq.images import Limits
from recq.images.workers import DecodePool
from recq.index.catalog import Catalog
from recq.index.connect import connect, locked, own_folder, require_room, server_client
from recq.index.edge.server import LoopbackServer
from recq.index.edge.serving import Serving
from recq.index.private_file import private_umask
from recq.index.problems import UNMET
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.paths import printable
from recq.settings import Settings
from recq.space import require_same

_ONE_TRY = 2.0  # seconds that one of many tries to reach a server may take


@dataclass(frozen=True)
class Outcome:
    """How a run ended: whether by a signal, how many items of its sources are failed, what was done, what was held.

    `unmet` are the sources of which the index has not all that the folder says.
    """

    stopped: bool
    failed: int
    counts: Counts = field(default_factory=Counts)
    held: int = 0
    unmet: Sequence[str] = ()


def ingest(
    settings: Settings, targets: Sequence[Target], *, table: Path | None, once: bool, log_format: LogFormat | None
) -> Outcome:
    """Index the targets, once or until a signal. Raises whatever the daemon ends with."""
    require_usable(targets, table, settings)
    try:
        with _session(settings, once=once, code=0, log_format=log_format) as session:
            catalog = session.patience(_choose_catalog, session.client, settings)
            _upgrade(session, catalog)
            names = [session.patience(catalog.register_source, target.root, target.name) for target in targets]
            roots = {name: target.root for name, target in zip(names, targets, strict=True)}
            return _work(session, catalog, roots, table)
    except (Stopped, Stopping):
        return Outcome(stopped=True, failed=0)


def reconcile(settings: Settings, *, table: Path | None, verify: bool, log_format: LogFormat | None) -> Outcome:
    """Compare all sources that are on this host with the index, once, and do what that asks for.

    With `verify` the bytes of every file are read and compared.
    """
    try:
        with _session(settings, once=True, code=INTERRUPTED, log_format=log_format) as session:
            catalog = session.patience(Catalog.open, session.client, settings.catalog)
            _upgrade(session, catalog)
            return _work(session, catalog, roots_here(catalog, table), table, verify=verify)
    except (Stopped, Stopping):
        return Outcome(stopped=True, failed=0)


def rebuild(settings: Settings, *, table: Path | None, log_format: LogFormat | None) -> Outcome:
    """Index all sources of a catalog again in another embedding space; the old collection answers meanwhile.

    The space is that of the model in the settings, or else the catalog's own with what else they ask for.

    Interrupted, it is taken up where it stopped when it is called again. Raises TargetError, with the old collection
    in place, when a source could not be read whole or an item that is found today would be lost (`ingest.whole`).
    """
    try:
        with _session(settings, once=True, code=INTERRUPTED, log_format=log_format) as session:
            old = Catalog.open(session.client, settings.catalog)
            roots = all_roots(old)
            require_one_source(table, roots)
            asked = ModelOptions.from_settings(settings)
            space = describe_space(asked, settings) if asked.model else describe_variant(old.space, asked, settings)
            catalog = Catalog.begin_rebuild(session.client, settings.catalog, space)
            mark(catalog, None)  # what failed in one that was not finished is tried again
            outcome = _work(session, catalog, roots, table, old=old)
            if not outcome.stopped:
                catalog.finish_rebuild()
            return outcome
    except (Stopped, Stopping):
        return Outcome(stopped=True, failed=0)


def forget(settings: Settings, source: str) -> int:
    """Delete a source's items and record; how many items there were. Raises TargetNotFound and IndexBusy."""
    status = ask_daemon(settings)
    if status is not None and any(each.name == source for each in status.sources):
        raise IndexBusy(f"source {source!r} is being watched by process {status.pid}: stop it first")
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        return catalog.drop_source(catalog.source(source).name)


def require_none_failed(outcome: Outcome) -> None:
    """Raise ItemsFailed when items are, when the index refused some, or has not all that the folders say of them."""
    told = []
    if outcome.failed:
        items = "1 item" if outcome.failed == 1 else f"{outcome.failed:,} items"
        told.append(f"{items} could not be indexed: 'recq-ingest failed' lists them with the reason")
    if refused := outcome.counts.refused:
        items = "1 item was" if refused == 1 else f"{refused:,} items were"
        told.append(f"{items} refused by the index in every form: the next run tries again")
    if outcome.unmet:
        names = ", ".join(map(printable, outcome.unmet))
        told.append(f"not all metadata of {names} could be taken: 'recq-ingest problems' lists what was not, and why")
    if told:
        raise ItemsFailed("; ".join(told))


@dataclass(frozen=True)
class _Session:
    """What is open while a daemon works; `flush` shortens the embedded engine's journal."""

    settings: Settings
    once: bool
    signals: Signals
    reporter: Reporter
    board: Board
    client: QdrantClient
    flush: Callable[[], None] | None
    patience: Patience


@contextmanager
def _session(settings: Settings, *, once: bool, code: int, log_format: LogFormat | None) -> Iterator[_Session]:
    """Signals, reporter and index, closed in the reverse order; `code` as in `Signals`."""
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(code))
        reporter = Reporter(log_format)
        stack.callback(reporter.close)
        patience = Patience(
            signals.stop,
            give_up_after=settings.connect_timeout if once else None,
            waiting=lambda error: reporter.event("waiting", detail=error),
            recovered=lambda: reporter.event("recovered"),
        )
        board = Board(settings, patience)
        client, flush = stack.enter_context(_opened(settings, board, patience, signals, once=once))
        yield _Session(settings, once, signals, reporter, board, client, flush, patience)


@contextmanager
def _opened(
    settings: Settings, board: Board, patience: Patience, signals: Signals, *, once: bool
) -> Iterator[tuple[QdrantClient, Callable[[], None] | None]]:
    """The index, and what flushes it; the daemon's routes are served on loopback meanwhile."""
    routes = {ROUTE: board.answer, **Desk(board).routes()}
    if settings.url is None:
        serving = Serving.from_settings(settings)
        patience(require_room, settings)
        with (
            private_umask(),
            own_folder(settings) as owned,
            LoopbackServer(settings.data_dir, owned.engine, routes, serving=serving),
        ):
            yield owned.client, owned.engine.flush
            if once:  # a job that only ever runs so would never give dead space back
                owned.engine.compact(signals.stop)
        return
    with private_umask(), locked(settings), LoopbackServer(settings.data_dir, None, routes):
        client = server_client(settings) if once else patience(server_client, _for_one_try(settings))
        try:
            yield client, None
        finally:
            client.close()


def _for_one_try(settings: Settings) -> Settings:
    """A single try of many needs no long patience of its own."""
    return settings.model_copy(update={"connect_timeout": min(settings.connect_timeout, _ONE_TRY)})


def _choose_catalog(client: QdrantClient, settings: Settings) -> Catalog:
    """The catalog, made in the space that is asked for where there is none. Raises SpaceMismatch.

    What is asked for must agree with a catalog that exists; what is not said is as it is there.
    """
    asked = ModelOptions.from_settings(settings)
    try:
        catalog = Catalog.open(client, settings.catalog)
    except TargetNotFound:
        return Catalog.create(client, settings.catalog, describe_space(asked, settings))
    if asked.said:
        require_same(catalog.space, describe_variant(catalog.space, asked, settings), catalog.name)
    return catalog


def _upgrade(session: _Session, catalog: Catalog) -> None:
    """An index that an older recq made is brought up to date before anything is written to it."""
    before = session.patience(catalog.upgrade)
    if before is not None:
        session.reporter.event("upgraded", catalog=catalog.name, schema=before)


def _work(
    session: _Session,
    catalog: Catalog,
    roots: Mapping[str, Path],
    table: Path | None,
    *,
    old: Catalog | None = None,
    verify: bool = False,
) -> Outcome:
    """Let a daemon work on a catalog until it is done or told to stop; `old` is what a rebuild is to replace."""
    settings, reporter, signals = session.settings, session.reporter, session.signals
    if old is None:
        session.patience.explain = partial(_explain, catalog)
    isolation = Isolation(session.patience, catalog.probe)
    sources: dict[str, Watched] = {}
    for name, root in roots.items():
        watched = ready(catalog, settings, name, root, table, partial(_say_problem, reporter, name))
        declare_each(catalog, isolation, watched.table.types)
        sources[name] = watched
    pool = DecodePool(
        workers=settings.worker_count,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
        limits=Limits.from_settings(settings),
    )
    try:
        with open_embedder(catalog.space, settings) as embedder:
            daemon = Daemon(
                settings,
                catalog,
                sources,
                pool,
                embedder,
                session.patience,
                reporter,
                stop=signals.stop,
                once=session.once,
                flush=session.flush,
                old=old,
                verify=verify,
            )
            signals.working(daemon.wake)
            session.board.show(catalog, sources, daemon)
            reporter.event("started", catalog=catalog.name, space=catalog.space.label, pid=os.getpid())
            daemon.run()
            stopped = daemon.stopped
            failed = (
                0 if stopped else sum(session.patience(partial(catalog.count_failed, source=name)) for name in sources)
            )
            unmet = [] if stopped else [name for name in sources if session.patience(_is_unmet, catalog, sources[name])]
            reporter.event("stopped", **vars(daemon.tally.counts))
            pool.close(cancel=stopped)
            if old is not None and not stopped:
                session.patience(require_whole, old, catalog, sources, daemon.tally.doubts)
            held = sum(watched.held + watched.held_metadata for watched in sources.values())
            return Outcome(stopped, failed, daemon.tally.counts, held, unmet)
    finally:
        pool.close(cancel=True)


def _is_unmet(catalog: Catalog, watched: Watched) -> bool:
    """Whether the index has not all that a source's folder says of its items."""
    return watched.is_unmet() or not UNMET.isdisjoint(catalog.count_problems(watched.name))


def _explain(catalog: Catalog, error: IndexRefused) -> RecqError:
    """A refusal because the collection has been replaced or deleted says so; any other speaks for itself."""
    with contextlib.suppress(RecqError):
        if not catalog.still_current():
            return replaced(catalog)
    return error


def _say_problem(reporter: Reporter, source: str, path: str, message: str) -> None:
    reporter.event("problem", source=source, path=path, detail=message)
