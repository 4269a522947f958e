"""Starts a daemon for a command: opens index, sources and model, and closes everything at the end.

With the embedded engine the process owns the data folder and serves it on loopback, so that `recq` can still search.
With a server it serves only the daemon's own routes; the folder's lock keeps two daemons from using one address.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qdrant_client import QdrantClient

from ingest.index.retrying import Retrier
from ingest.loop import Stopping
from ingest.reconcile.rebuild_check import require_all_there
from ingest.report import LogFormat, Reporter
from ingest.service.additions import Additions, HandOver, Taken, wait_until_done
from ingest.service.api import MountedApi
from ingest.service.drop import require_unparted
from ingest.service.interpreter import collect_seldom, collect_what_ended
from ingest.service.kept import report_kept
from ingest.service.outcome import Outcome, Standing, size_of
from ingest.service.rebuilds import (
    Followed,
    ask_for_rebuild,
    ask_for_rollback,
    follow,
    require_base,
    wanted_space,
)
from ingest.service.requests import DaemonRequests
from ingest.service.roots import all_roots, begin, require_shared, require_undivided, roots_here
from ingest.service.running import Away, Running, Session, retrying
from ingest.service.status import DaemonStatus
from ingest.service.switching import Switching
from ingest.source.targets import Target, require_one_source, require_usable
from ingest.source.watched_source import WatchedSource
from ingest.tally import Counts
from recq.announced import Announced
from recq.errors import (
    IndexBusy,
    TargetNotFound,
)
from recq.heartbeat import Heartbeat
from recq.index.catalog import Catalog
from recq.index.connect import (
    connect,
    locked,
    own_folder,
    require_room,
    require_room_for_another,
    server_client,
)
from recq.index.edge.server import LoopbackServer
from recq.index.edge.serving import Serving
from recq.index.placement import Placement
from recq.learn.carrying import carry
from recq.learn.predictors import chosen_of
from recq.models import ModelOptions, describe_space, describe_variant, require_runtime
from recq.operate.requests import mark
from recq.operate.status import ROUTE, ask_daemon
from recq.private_files import private_umask
from recq.settings import Settings, shown_url
from recq.signals import INTERRUPTED, Signals, Stopped
from recq.space import require_same
from recq.waiting import waiting

_LOOK_EVERY = 0.2  # seconds between two looks at a server that makes an index
_ONE_TRY = 2.0  # seconds that one of many tries to reach a server may take


def ingest(
    settings: Settings, targets: Sequence[Target], *, table: Path | None, once: bool, log_format: LogFormat | None
) -> Outcome:
    """Index the targets, once or until a signal; a daemon that has the data folder already is given them instead.

    Raises the error with which the daemon ends.
    """
    require_usable(targets, table, settings)
    require_shared(settings)
    offer = HandOver(settings, targets, table, once=once)
    began = time.monotonic()

    def hand_over() -> str | None:
        why = offer()
        if offer.taken is not None:
            raise _HandedOver(offer.taken)
        return why

    try:
        with _voice(0, log_format) as voice, _session(voice, settings, once=once, meanwhile=hand_over) as session:
            catalog = session.retrier(choose_catalog, session.client, settings)
            _upgrade(session, catalog)
            _choose_predictions(session, catalog, catalog)
            roots = session.retrier(catalog.sources.names_for, [(target.root, target.name) for target in targets])
            for name, root in roots.items():
                session.retrier(catalog.sources.register, root, name)
            return _work(session, catalog, roots, table)
    except _HandedOver as handed:
        return _followed(settings, handed.taken, began, once=once, log_format=log_format)
    except (Stopped, Stopping):
        return Outcome(stopped=True)


class _HandedOver(Exception):
    """A daemon that runs already was given the folders."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken


def _followed(settings: Settings, taken: Taken, began: float, *, once: bool, log_format: LogFormat | None) -> Outcome:
    """The outcome where a daemon was given the folders; with `once` when it has indexed them."""
    if not once:
        return Outcome(stopped=False, taken_up=taken.lines())
    try:
        with _voice(0, log_format) as voice:
            return wait_until_done(settings, taken, voice.reporter, began)
    except Stopped:
        return Outcome(stopped=True, taken_up=taken.lines())


def reconcile(settings: Settings, *, table: Path | None, verify: bool, log_format: LogFormat | None) -> Outcome:
    """Compare all sources that are on this host with the index, once, and make the index equal to them.

    With `verify` the bytes of every file are read and compared.
    """
    require_shared(settings)
    try:
        with _voice(INTERRUPTED, log_format) as voice, _session(voice, settings, once=True) as session:
            catalog = session.retrier(Catalog.open, session.client, settings.catalog)
            _upgrade(session, catalog)
            _choose_predictions(session, catalog, catalog)
            return _work(session, catalog, roots_here(catalog, table), table, verify=verify)
    except (Stopped, Stopping):
        return Outcome(stopped=True)


def rollback(settings: Settings, *, log_format: LogFormat | None) -> Outcome | None:
    """Have the daemon here go back to what the last rebuild replaced; None where none runs (`ingest.service.kept`)."""
    began = time.monotonic()
    followed = ask_for_rollback(settings)
    return None if followed is None else _followed_move(followed, began, log_format)


def rebuild(settings: Settings, *, table: Path | None, log_format: LogFormat | None) -> Outcome:
    """Index all sources of a catalog again in another embedding space; the old collection answers meanwhile.

    The space is that of the model in the settings, else the catalog's own, changed by the other settings. A daemon that
    runs here does it (`ingest.service.switching`), and is followed.

    After an interruption the next call continues where it stopped. Raises TargetError, with the old collection in
    place, when a source could not be read whole or an item that is found today would be lost
    (`ingest.reconcile.rebuild_check`), IndexBusy while daemons have parts of its sources.
    """

    require_undivided(settings)

    def here(session: Session) -> Outcome:
        old = Catalog.open(session.client, settings.catalog)
        require_unparted(settings, old)
        roots = all_roots(old)
        require_one_source(table, roots)
        space = wanted_space(settings, old)
        require_runtime(space, settings)
        require_room_for_another(settings, old, space)
        catalog = Catalog.begin_rebuild(session.client, settings.catalog, space)
        _choose_predictions(session, old, catalog)
        mark(catalog, None)  # items that failed in an unfinished rebuild are tried again
        outcome = _work(session, catalog, roots, table, old=old)
        if not outcome.stopped:
            _finish(session, old, catalog)
        return outcome

    return _by_daemon_or(here, settings, partial(ask_for_rebuild, settings, None, table), log_format)


def switch(settings: Settings, candidate: str, *, log_format: LogFormat | None) -> Outcome:
    """Make a candidate the catalog's own space: its vectors are made of the stored ones, and no picture is read.

    The old collection answers meanwhile. A daemon that runs here does it, and is followed. After an interruption the
    next call continues where it stopped. What has changed in the folders is found by the next comparison.

    Raises TargetNotFound for an unknown candidate, SpaceMismatch where it or the model of the settings is of another
    space, UsageError in a catalog that is in a trained space, and TargetError, with the old collection in place, when
    an item would be lost (`ingest.reconcile.rebuild_check`), and IndexBusy as `rebuild`.
    """

    require_undivided(settings)

    def here(session: Session) -> Outcome:
        old = Catalog.open(session.client, settings.catalog)
        require_unparted(settings, old)
        require_base(settings, old)
        _upgrade(session, old)
        require_room_for_another(settings, old, old.switched_to(candidate).space)
        new = Catalog.begin_switch(session.client, settings.catalog, candidate)
        return _switched(session, old, new)

    return _by_daemon_or(here, settings, partial(ask_for_rebuild, settings, candidate, None), log_format)


class _Asked(Exception):
    """A daemon that runs carries it out."""

    def __init__(self, followed: Followed) -> None:
        self.followed = followed


def _by_daemon_or(
    here: Callable[[Session], Outcome],
    settings: Settings,
    ask: Callable[[], Followed | None],
    log_format: LogFormat | None,
) -> Outcome:
    """What the daemon here is asked for, followed to its end; done `here` where none runs.

    A daemon may just be starting: it is asked again while it has the data folder.
    """
    began = time.monotonic()

    def ask_again() -> None:
        followed = ask()
        if followed is not None:
            raise _Asked(followed)

    try:
        ask_again()
        with (
            _voice(INTERRUPTED, log_format) as voice,
            _session(voice, settings, once=True, meanwhile=ask_again) as session,
        ):
            return here(session)
    except _Asked as asked:
        return _followed_move(asked.followed, began, log_format)
    except (Stopped, Stopping):
        return Outcome(stopped=True)


def _followed_move(followed: Followed, began: float, log_format: LogFormat | None) -> Outcome:
    """Follow a daemon to the end. Interrupted, the outcome has who goes on with it."""
    try:
        with _voice(INTERRUPTED, log_format) as voice:
            return follow(followed, voice.reporter, began)
    except Stopped:
        return Outcome(stopped=True, taken_up=(f"process {followed.pid}",))


def _switched(session: Session, old: Catalog, new: Catalog) -> Outcome:
    """Fill the new collection, and let it answer when it is complete."""
    projection, retrier, stop = new.projection, session.retrier, session.signals.stop
    assert projection is not None, "a trained space has one"
    total, done = size_of(old), 0
    for count in new.fill_from(old, projection, retrier):
        done += count
        session.reporter.stage("projecting", done, total)
        if stop.is_set():
            return Outcome(stopped=True)
    for _ in new.fields.make_all():  # of many fields: nothing that could be asked before is refused afterwards
        if stop.is_set():
            return Outcome(stopped=True)
    retrier(carry, old, new)
    retrier(require_all_there, old, new)
    _finish(session, old, new)
    problems = sum(sum(new.problems.count(name).values()) for name in new.sources.all())
    standing = Standing(new.items.count(), new.ledger.count_failed(), problems=problems)
    return Outcome(False, Counts(reused=standing.items), standing, time.monotonic() - session.began)


def _finish(session: Session, old: Catalog, new: Catalog) -> None:
    """Let the new collection answer; the old one is kept, which is reported."""
    while session.retrier(new.is_being_indexed):  # a server that has no graph yet compares all vectors one by one
        if session.signals.stop.wait(_LOOK_EVERY):
            raise Stopping
    session.retrier(new.finish_rebuild)
    report_kept(session.reporter, old)


def forget(settings: Settings, source: str) -> int:
    """Delete a source's items and record, and return the number of items. Raises TargetNotFound and IndexBusy."""
    status = ask_daemon(settings)
    if status is not None and status.rebuilding is not None:
        raise IndexBusy(f"catalog {settings.catalog!r} is being rebuilt by process {status.pid}: wait for its end")
    if status is not None and any(each.name == source for each in status.sources):
        raise IndexBusy(f"source {source!r} is being watched by process {status.pid}: stop it first")
    with connect(settings) as client:
        catalog = Catalog.open(client, settings.catalog)
        require_unparted(settings, catalog, source)
        return catalog.drop_source(catalog.sources.get(source).name)


@dataclass(frozen=True)
class _Voice:
    """The signals that a command gets, and its reporter."""

    signals: Signals
    reporter: Reporter


@contextmanager
def _voice(code: int, log_format: LogFormat | None) -> Iterator[_Voice]:
    """Signals and reporter; `code` as in `Signals`."""
    with Signals(code) as signals:
        reporter = Reporter(log_format)
        try:
            yield _Voice(signals, reporter)
        finally:
            reporter.close()


@contextmanager
def _session(
    voice: _Voice, settings: Settings, *, once: bool, meanwhile: Callable[[], str | None] = lambda: None
) -> Iterator[Session]:
    """The index, for its one owner; `meanwhile` is called while another process has it (see `locked`)."""
    began = time.monotonic()
    away = Away(voice.reporter)
    retrier = retrying(settings, voice.signals.stop, away, once=once)
    board = DaemonStatus(settings, lambda: retrier.reason or away.detail)
    adding = threading.Lock()
    moves = Switching(board, settings, adding)
    with _opened(voice, settings, board, retrier, away, meanwhile, moves, adding, once=once) as opened:
        client, flush, announce = opened
        api = None if once or not settings.api else MountedApi(settings, announce)
        yield Session(
            settings,
            once,
            began,
            voice.signals,
            voice.reporter,
            board,
            client,
            flush,
            away,
            retrier,
            moves,
            Heartbeat(),
            api,
        )


@contextmanager
def _opened(
    voice: _Voice,
    settings: Settings,
    board: DaemonStatus,
    retrier: Retrier,
    away: Away,
    meanwhile: Callable[[], str | None],
    moves: Switching,
    adding: threading.Lock,
    *,
    once: bool,
) -> Iterator[tuple[QdrantClient, Callable[[], None] | None, Callable[[Announced | None], None]]]:
    """The index, what flushes it, and what announces the API; the daemon's routes are served on loopback meanwhile."""

    def prepare(catalog: Catalog, name: str, root: Path, table: Path | None) -> WatchedSource:
        return begin(catalog, settings, retrier, voice.reporter, name, root, table)

    additions = Additions(board, settings, prepare, adding)
    routes = {ROUTE: board.answer}
    for each in (DaemonRequests(board), additions, moves):
        routes |= each.routes()
    if settings.url is None:
        serving = Serving.from_settings(settings)
        retrier(require_room, settings)
        with (
            private_umask(),
            own_folder(settings, meanwhile) as owned,
            LoopbackServer(settings.data_dir, owned.engine, routes, serving=serving) as server,
        ):
            yield owned.client, owned.engine.flush, server.announce
            if once:  # an index that is filled by such runs alone would never give dead space back
                owned.engine.compact(voice.signals.stop)
        return
    with private_umask(), locked(settings, meanwhile), LoopbackServer(settings.data_dir, None, routes) as server:
        client = server_client(settings) if once else _server_for_ever(settings, retrier, away)
        try:
            yield client, None, server.announce
        finally:
            client.close()


def _server_for_ever(settings: Settings, retrier: Retrier, away: Away) -> QdrantClient:
    """The client of a server that may be away: it is waited for, which is reported once."""
    shown = shown_url(settings.url or "")

    def say(why: str) -> None:
        away.waiting(f"no Qdrant server answers at {shown} yet: {why}")

    with waiting("it to answer", None, say) as wait:
        client = retrier(partial(server_client, settings, tried_for=_ONE_TRY, wait=wait))
    away.recovered()
    return client


def choose_catalog(client: QdrantClient, settings: Settings) -> Catalog:
    """The catalog, created in the space of the settings where there is none. Raises SpaceMismatch.

    The settings that are given must agree with a catalog that exists; all others are as they are there.
    """
    asked = ModelOptions.from_settings(settings)
    try:
        catalog = Catalog.open(client, settings.catalog)
    except TargetNotFound:
        space = describe_space(asked, settings)
        require_runtime(space, settings)
        return Catalog.create(client, settings.catalog, space, placement=Placement.from_settings(settings))
    if asked.said:
        require_same(catalog.base, describe_variant(catalog.base, asked, settings), catalog.name)
    return catalog


def _upgrade(session: Session, catalog: Catalog) -> None:
    """Upgrade an index that an older recq made, before anything is written to it."""
    before = session.retrier(catalog.upgrade)
    if before is not None:
        session.reporter.event("upgraded", catalog=catalog.name, schema=before)


def _choose_predictions(session: Session, trained: Catalog, catalog: Catalog) -> None:
    """Keep in `catalog` what the settings predict, where they say so; `trained` has the trained spaces.

    Raises as `chosen_of` does.
    """
    asked = session.settings.predict
    if asked is not None:
        session.retrier(
            catalog.predicting.choose, session.retrier(chosen_of, trained, asked, session.settings, catalog.base)
        )


def _work(
    session: Session,
    catalog: Catalog,
    roots: Mapping[str, Path],
    table: Path | None,
    *,
    old: Catalog | None = None,
    verify: bool = False,
) -> Outcome:
    """Run a daemon on a catalog until it is done or stopped; `old` is the catalog that a rebuild replaces."""
    tables = dict.fromkeys(roots, table)  # where one was named, there is one source
    running, api = Running(session, catalog, roots, tables, old=old, verify=verify), session.api

    def ready() -> None:
        collect_seldom()
        running.show()
        session.signals.working(session.heartbeat.ending)
        if not session.once:
            session.moves.attend(session, running)
        if api is not None:
            session.signals.working(api.leave)
            api.start()

    try:
        outcome, ended = running.run(ready), running
        while (successor := session.moves.successor(ended)) is not None:
            collect_what_ended()
            outcome, ended = successor.finished(), successor
        return outcome
    finally:
        if api is not None:
            api.close()
        session.moves.end()
