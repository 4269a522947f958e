"""A daemon moves its catalog to another collection: a rebuild, a trained space, or back to what was kept.

The new collection grows beside the old one, with a daemon of its own on the same folders (`ingest.service.running`), so
that both are current: what is dropped meanwhile is found in the old one at once, and in the new one after the exchange.
The old one is asked until the alias moves, and decides what is held; requests reach both. What the catalog moves to is
noted in the old collection (`Catalog.note_next`): a daemon that is killed goes on with it at its next start.

`POST /recq/rebuild` begins a move or joins the same one, `/recq/rebuild/progress` tells how far it is,
`/recq/rebuild/stop` gives it up. The commands ask through `ingest.service.rebuilds`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from qdrant_client import QdrantClient

from ingest.loop import Stopping
from ingest.reconcile.rebuild_check import require_whole
from ingest.report import Reporter
from ingest.service.additions import require_same_settings
from ingest.service.drop import require_unparted
from ingest.service.kept import report_kept
from ingest.service.outcome import Standing, size_of
from ingest.service.requests import Answer, checked
from ingest.service.roots import all_roots, require_undivided
from ingest.service.running import Running, Session
from ingest.service.status import DaemonStatus, Shown
from ingest.tally import Counts
from recq.commands import command
from recq.errors import IndexBusy, IndexUnreachable, RecqError, TargetError, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import require_room_for_another
from recq.learn.carrying import carry
from recq.models import require_runtime
from recq.operate.requests import mark
from recq.operate.status import Rebuilding, engine_of
from recq.settings import Settings
from recq.space import EmbeddingSpace

REBUILD = "/recq/rebuild"
REBUILD_PROGRESS = "/recq/rebuild/progress"
REBUILD_STOP = "/recq/rebuild/stop"

_LOOK_EVERY = 0.2  # seconds between two looks at how far the new collection is
_LOOKS_AGAIN = 2.0  # seconds between two looks at what keeps it from going on
_COUNT_EVERY = 1.0  # seconds between two counts of its items
_TRIES = 3  # checks of the new collection: a file that is written at that moment is not lost
_CATCHES_UP_WITHIN = 10.0
"""Seconds for the new collection to get what was dropped last, once nothing is written to the old one any more."""
_ENDS_WITHIN = 4.0  # seconds for the new daemon to finish what is under way
_BAR = "rebuilding"


@dataclass(frozen=True)
class Wanted:
    """What a catalog is to move to: another network's `space`, or a `candidate`; without either, what was replaced."""

    space: EmbeddingSpace | None = None
    candidate: str | None = None

    def space_in(self, catalog: Catalog) -> EmbeddingSpace | None:
        """The space of the collection that is made for a catalog; None where what was kept is taken. Raises as
        `Catalog.switched_to`."""
        return self.space if self.candidate is None else catalog.switched_to(self.candidate).space

    def begin(self, client: QdrantClient, name: str) -> Catalog:
        """The collection, new or as an interruption has left it. Raises as those methods of `Catalog` do."""
        if self.space is not None:
            return Catalog.begin_rebuild(client, name, self.space)
        if self.candidate is not None:
            return Catalog.begin_switch(client, name, self.candidate)
        return Catalog.begin_rollback(client, name)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"space": None if self.space is None else self.space.to_json(), "candidate": self.candidate}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        space = data.get("space")
        return cls(None if space is None else EmbeddingSpace.from_json(space), data.get("candidate"))


class _Beside:
    """Reports what the new daemon does from the exchange on; until then the old one reports of the same folders."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.adopted = False

    def event(self, name: str, **fields: object) -> None:
        if self.adopted:
            self._reporter.event(name, **fields)

    def progress(self, state: str, done: int, total: int, failed: int, *, known: bool) -> None:
        if self.adopted:
            self._reporter.progress(state, done, total, failed, known=known)

    def stage(self, name: str, done: int, total: int) -> None:
        if self.adopted:
            self._reporter.stage(name, done, total)


class Move:
    """One move of a catalog, in a thread of its own. `adding` is held while sources are added."""

    def __init__(
        self,
        number: int,
        session: Session,
        old: Running,
        wanted: Wanted,
        adding: threading.Lock,
        *,
        resumed: bool,
    ) -> None:
        self.unclaimed = resumed
        """It goes on after an interruption, and the command that asked for it has not come back yet."""
        self.number = number
        self.wanted = wanted
        self.new: Running | None = None
        self.adopted = False
        """Whether the catalog has moved."""
        self.error: RecqError | None = None
        self.result: Mapping[str, Any] | None = None
        """What `recq-ingest rebuild` sums up."""
        self._session = session
        self._old = old
        self._adding = adding
        self._resumed = resumed
        self._hindered: str | None = None
        """Why what goes on after an interruption cannot go on yet."""
        self._beside = _Beside(session.reporter)
        self._stop = session.signals.stop_of_one()
        self._retrier = session.retrying(self._stop)
        self._cancelled = False
        self._exchanging = False
        self._next_count = 0.0
        self._stage, self._done, self._total = "preparing", 0, 0
        self._space = wanted.space
        self._catalog: Catalog | None = None
        self._exchanged = threading.Event()
        """The old daemon has ended for the new one, or will not."""
        self._thread = threading.Thread(target=self._run, name="rebuild", daemon=True)
        self._thread.start()

    # -- for other threads --------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    @property
    def label(self) -> str:
        """What the catalog moves to, in words."""
        space = self._space
        return space.label if space is not None else self.wanted.candidate or "what was replaced"

    @property
    def rebuilding(self) -> Rebuilding | None:
        """How far it is; None once the catalog has moved, or does not."""
        if self.adopted or not self.under_way:
            return None
        space = self._space
        summary = None if space is None else space.summary()
        return Rebuilding(summary, self.wanted.candidate, self._stage, self._done, self._total, self._reason)

    @property
    def _reason(self) -> str | None:
        """Why it waits for the index, where it does."""
        return self._hindered or self._retrier.reason or (None if self.new is None else self.new.retrier.reason)

    @property
    def beside(self) -> Shown | None:
        """The new catalog, sources and daemon, while they are beside the old ones."""
        new = self.new
        if new is None or self.adopted or new.ended.is_set():
            return None
        try:
            return new.catalog, new.sources, new.daemon
        except IndexUnreachable:
            return None

    def progress(self) -> dict[str, object]:
        """The answer to who follows it."""
        ended = not self.under_way
        return {
            "ended": ended,
            "stage": self._stage,
            "done": self._done,
            "total": self._total,
            "detail": None if ended else self._reason,
            "adopted": self.adopted,
            "error": None if self.error is None else {"error": str(self.error), "code": self.error.exit_code},
            "result": self.result,
        }

    def cancel(self) -> bool:
        """Give it up, and delete what it has made; False where the catalog has moved already."""
        self._cancelled = True
        self._stop.set()
        self._thread.join()
        return not self.adopted

    def end(self) -> None:
        """End it with the session; the next one goes on with it."""
        self._stop.set()
        self._thread.join(_ENDS_WITHIN)

    def replaces(self, ended: Running) -> bool:
        """Whether a daemon has ended to be replaced."""
        return self._exchanging and ended is self._old

    def exchanged(self) -> Running | None:
        """The daemon that goes on in place of the old one, which was ended for it. Raises why there is none."""
        self._exchanged.wait()
        if self.error is not None:
            raise self.error
        return self.new if self.adopted else None

    # -- in its thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        reporter, name = self._session.reporter, self._old.catalog.name
        try:
            self._move()
        except Stopping:
            self._end_new()
            if self._cancelled and not self._session.signals.stop.is_set():
                self._give_up()
                reporter.event("abandoned", catalog=name, space=self.label, detail="as was asked for")
        except Exception as error:  # whatever it is, the old vectors go on answering
            self.error = error if isinstance(error, RecqError) else RecqError(f"{type(error).__name__}: {error}")
            self._end_new()
            self._forget()
            reporter.event("abandoned", catalog=name, space=self.label, detail=str(self.error))
        finally:
            reporter.end_stage(_BAR)
            self._session.signals.ended(self._stop)
            self._exchanged.set()
        if self.adopted:
            with contextlib.suppress(RecqError, Stopping):
                self._sum_up()

    def _end_new(self) -> None:
        if self.new is not None:
            self.new.end()
            self.new.ended.wait(_ENDS_WITHIN)

    def _forget(self) -> None:
        """Do not go on with it at the next start. The index is asked as long as the session lasts."""
        with contextlib.suppress(RecqError, Stopping):
            self._session.retrier(self._old.catalog.note_next, None)

    def _give_up(self) -> None:
        """Delete what was made."""
        self._forget()
        if self._catalog is not None:
            with contextlib.suppress(RecqError, Stopping):
                self._session.retrier(self._catalog.abandon)

    def _move(self) -> None:
        session, old, retrier = self._session, self._old, self._retrier
        name = old.catalog.name
        if self.wanted.space is not None:
            require_runtime(self.wanted.space, session.settings)
            roots = retrier(all_roots, old.catalog)
        else:
            roots = {each: watched.root for each, watched in old.sources.items()}
        self._until_possible(retrier(self.wanted.space_in, old.catalog))
        new = self._catalog = retrier(self.wanted.begin, session.client, name)
        self._space = new.space
        retrier(old.catalog.note_next, self.wanted.to_json())
        session.reporter.event("rebuilding", catalog=name, space=new.space.label)
        self._total = retrier(size_of, old.catalog)
        if self.wanted.candidate is not None:
            self._fill(new)
        else:
            retrier(new.remove_what_has_gone_from, old.catalog, retrier)
            retrier(mark, new, None)  # items that failed in an unfinished rebuild are tried again
        tables = {each: watched.table_path for each, watched in old.sources.items()}
        running = self.new = Running(session, new, roots, tables, old=old.catalog, reporter=self._beside)
        running.start()
        self._until_whole(running)
        self._exchange(running)

    def _until_possible(self, space: EmbeddingSpace | None) -> None:
        """Raise at once what keeps it from beginning, for whoever asked for it; what was begun before waits."""
        settings, catalog = self._session.settings, self._old.catalog
        while True:
            try:
                require_unparted(settings, catalog)
                if space is not None:
                    require_room_for_another(settings, catalog, space)
            except (IndexBusy, IndexUnreachable) as error:
                if not self._resumed:
                    raise
                self._hindered = str(error)
            else:
                self._hindered = None
                return
            if self._stop.wait(_LOOKS_AGAIN):
                raise Stopping

    def _fill(self, new: Catalog) -> None:
        """Copy the vectors through the head."""
        projection = new.projection
        assert projection is not None, "a trained space has one"
        self._show("copying", 0)
        began = time.monotonic()
        for count in new.fill_from(self._old.catalog, projection, self._retrier):
            self._show("copying", self._done + count)
            if self._stop.wait(time.monotonic() - began):  # questions and new pictures come first
                raise Stopping
            began = time.monotonic()
        for _ in new.fields.make_all():  # of many fields: nothing that could be asked before is refused afterwards
            self._go_on()
        self._retrier(carry, self._old.catalog, new)

    def _until_whole(self, running: Running) -> None:
        """Wait until the new collection has all that the folders have, and is asked as fast as the old one."""
        for tries in range(_TRIES):
            self._until_settled(running)
            self._show("checking")
            while self._retrier(running.catalog.is_being_indexed):
                self._show("waiting for the server's index")
                self._pause(running)
            if self.wanted.space is None and self.wanted.candidate is None:
                return  # what has answered before does so again
            try:
                gone = self._retrier(
                    require_whole, self._old.catalog, running.catalog, running.sources, self._doubts(running)
                )
            except TargetError:
                if tries == _TRIES - 1:
                    raise
                running.daemon.tally.doubts.clear()
                running.daemon.compare(list(running.sources))
            else:
                for each in gone:
                    self._session.reporter.event("gone", **vars(each))
                return

    def _doubts(self, running: Running) -> dict[str, str]:
        """What could not be read of a source; what the old collection holds as well is no doubt about the new one."""
        sources = self._old.sources
        return {
            name: why
            for name, why in running.daemon.tally.doubts.copy().items()  # its own thread adds to them
            if not (name in sources and sources[name].held and running.sources[name].held)
        }

    def _until_settled(self, running: Running) -> None:
        """Wait until all that was there has been indexed, sources that were added meanwhile included."""
        left: set[str] | None = None
        while left is None or left:
            if time.monotonic() >= self._next_count:
                self._next_count = time.monotonic() + _COUNT_EVERY
                self._show("indexing", self._retrier(size_of, running.catalog))
            self._pause(running)
            with contextlib.suppress(IndexUnreachable):  # it is starting, or waits for the index
                daemon = running.daemon
                left = set(running.sources) if left is None else left
                left |= self._hand_over(running)
                left = {name for name in left if not daemon.is_settled(name)}

    def _hand_over(self, running: Running) -> set[str]:
        """Give the new daemon the sources that were added to the old one; their names."""
        added = {name: each for name, each in self._old.sources.items() if name not in running.sources}
        for name, each in added.items():
            self._retrier(running.catalog.sources.write, self._retrier(self._old.catalog.sources.get, name))
            running.daemon.begin([running.add(name, each.root, each.table_path)], [])
        return set(added)

    def _exchange(self, running: Running) -> None:
        """Let the new collection answer, and its daemon go on in place of the old one."""
        while True:
            with self._adding:
                if not self._hand_over(running):
                    self._switch(running)
                    return
            self._until_settled(running)

    def _switch(self, running: Running) -> None:
        """Nothing is written to the old collection from here on, and what was is in the new one before that answers."""
        old, new, retrier = self._old, running.catalog, running.retrier
        self._show("switching")
        self._exchanging = True
        old.retire()
        running.daemon.heartbeat = self._session.heartbeat  # the exchange may have to wait for the index
        running.daemon.wake()
        old.ended.wait()
        deadline = time.monotonic() + _CATCHES_UP_WITHIN
        while time.monotonic() < deadline and not all(map(running.daemon.is_settled, running.sources)):
            if running.stop.wait(_LOOK_EVERY):
                raise Stopping
        chosen = retrier(old.catalog.predicting.all)
        if chosen != retrier(new.predicting.all):  # since this began
            retrier(new.predicting.choose, chosen)
            running.daemon.compare(list(running.sources))
        retrier(new.finish_rebuild)
        running.daemon.adopt()
        self.adopted = self._beside.adopted = True
        running.retrier.explain = running.explain
        running.show()

    def _sum_up(self) -> None:
        """Report the end, and keep what `recq-ingest rebuild` prints of it."""
        running, old = self.new, self._old.catalog
        assert running is not None, "the catalog has moved"
        report_kept(self._session.reporter, old)
        each = list(running.sources.values())
        standing = sum((running.retrier(Standing.of, running.catalog, watched) for watched in each), Standing())
        counts = Counter[str]()
        for watched in each:
            counts.update(vars(running.daemon.tally.of(watched.name)))
        done = Counts(**counts) if self.wanted.candidate is None else Counts(reused=standing.items)
        self.result = {"counts": vars(done), "standing": vars(standing), "space": running.catalog.space.label}

    def _show(self, stage: str, done: int | None = None) -> None:
        self._stage, self._done = stage, self._total if done is None else min(done, self._total)
        self._session.reporter.stage(_BAR, self._done, self._total)

    def _pause(self, running: Running) -> None:
        """Wait a moment. Raises Stopping, and the error of a new daemon that has ended."""
        if self._stop.wait(_LOOK_EVERY):
            raise Stopping
        if running.ended.is_set():
            running.finished()
            raise Stopping

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopping


class Switching:
    """The moves of a running daemon, one at a time, and their routes. `adding` is held while sources are added."""

    def __init__(self, board: DaemonStatus, settings: Settings, adding: threading.Lock) -> None:
        self._board = board
        self._settings = settings
        self._adding = adding
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._running: Running | None = None
        self._moves: list[Move] = []  # the last one, and the one before, which may be followed still
        board.rebuilding = self._rebuilding
        board.beside = self._beside

    def routes(self) -> dict[str, Callable[[str, bytes], Answer]]:
        """Path -> handler, as `LoopbackServer` takes them."""
        return {
            REBUILD: checked(self._begin),
            REBUILD_PROGRESS: checked(self._progress),
            REBUILD_STOP: checked(self._give_up),
        }

    def attend(self, session: Session, running: Running) -> None:
        """Moves are of this daemon's catalog from now on; one that was interrupted goes on."""
        noted = running.retrier(running.catalog.next) if self._settings.partition is None else None
        with self._lock:
            self._session, self._running = session, running
            if noted is not None:
                self._start(Wanted.from_json(noted), resumed=True)

    def successor(self, ended: Running) -> Running | None:
        """The daemon that goes on after one that has ended; None where all is to end. Raises why there is none."""
        move = self._last
        return move.exchanged() if move is not None and move.replaces(ended) else None

    def end(self) -> None:
        """End what is under way; the next daemon goes on with it."""
        if self._last is not None:
            self._last.end()

    @property
    def _last(self) -> Move | None:
        return self._moves[-1] if self._moves else None

    def _rebuilding(self) -> Rebuilding | None:
        return None if self._last is None else self._last.rebuilding

    def _beside(self) -> Shown | None:
        """The daemon that fills the new collection, while there is one."""
        return None if self._last is None else self._last.beside

    def _start(self, wanted: Wanted, *, resumed: bool = False) -> Move:
        assert self._session is not None
        if self._last is not None and self._last.adopted:
            self._running = self._last.new
        assert self._running is not None
        number = 1 if self._last is None else self._last.number + 1
        move = Move(number, self._session, self._running, wanted, self._adding, resumed=resumed)
        self._moves = [*self._moves[-1:], move]
        return move

    def _begin(self, question: Mapping[str, Any]) -> dict[str, object]:
        catalog, _, daemon = self._board.running()
        same = (question["catalog"], question["engine"]) == (catalog.name, engine_of(self._settings))
        live = daemon.live and same
        if not live or "wanted" not in question:
            return {"live": live}
        require_undivided(self._settings)
        wanted = Wanted.from_json(question["wanted"])
        with self._lock:
            if self._session is None:
                raise IndexUnreachable("the daemon is still starting: try again in a moment")
            require_same_settings(self._settings, question["settings"])
            move = self._last
            if move is not None and move.wanted == wanted and (move.unclaimed or move.rebuilding is not None):
                move.unclaimed = False
            elif move is None or move.rebuilding is None:
                move = self._start(wanted)
            else:
                stop = command("recq-ingest", "rebuild", "--stop")
                raise UsageError(
                    f"catalog {catalog.name!r} is being moved to {move.label} already: wait for its end "
                    f"({command('recq-ingest', 'status')} shows how far it is), or give it up with {stop}"
                )
            return {"live": True, "move": move.number}

    def _progress(self, question: Mapping[str, Any]) -> dict[str, object]:
        for move in self._moves:
            if move.number == question["move"]:
                return move.progress()
        raise TargetNotFound(f"there is no rebuild {question['move']}")

    def _give_up(self, question: Mapping[str, Any]) -> dict[str, object]:  # noqa: ARG002 - a route's signature
        move = self._last
        return {"stopped": move is not None and move.rebuilding is not None and move.cancel()}
