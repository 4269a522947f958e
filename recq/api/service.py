"""What the routes share: the catalogs on one connection, the decoding processes, the thumbnails.

Questions run in threads, several at a time; those that read every item one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Semaphore
from typing import Any, TypeVar

from recq.api.errors import Busy
from recq.api.thumbnails import Thumbnails
from recq.closing import ClosedAtEnd
from recq.commands import Place, answering, current
from recq.errors import IndexError_, IndexFailing, IndexUnreachable
from recq.face.catalog import ImageCatalog
from recq.images.isolated import IsolatedDecoder
from recq.index.catalogs import names
from recq.index.kept_connection import KeptConnection
from recq.search.session import Session
from recq.settings import Settings

EXPLAINED_WITHIN = 20.0
"""Seconds that a question waits for the one before it, where each loads a network of its own."""

MOST_WAIT_FOR_IT = 2
"""Questions that wait so: each has one of the few threads that answer all others, too."""

READY_FOR = 1.0
"""Seconds that an answer of `readyz` holds: it needs no token, and asks the index."""

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """A catalog: as programs ask it, and as what keeps it is asked (`recq.operate`)."""

    catalog: ImageCatalog
    session: Session


class Service(ClosedAtEnd):
    """Answers questions about the catalogs of one index. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ending = Event()
        """Set when answers that wait for something are to end."""
        self.decoder = IsolatedDecoder(settings)
        self.thumbnails = Thumbnails(settings.cache_dir / "thumbnails", settings.thumbnail_cache)
        self._connection = KeptConnection(settings)
        self._served: dict[str, Served] = {}
        self._opening = Lock()
        self._alone = Lock()
        self._explaining = Lock()
        self._explaining_or_next = Semaphore(1 + MOST_WAIT_FOR_IT)
        self._ready = (-READY_FOR, False)

    def ask(self, name: str | None, question: Callable[[Served], T], place: Place | None = None) -> T:
        """The answer of the catalog `name`, by default that of the settings.

        It is asked twice where the connection breaks: a daemon may have started or ended. Commands that messages print
        are those for the catalog's own index, or for the shell at `place`. Raises what the question raises, UsageError
        for an impossible name.
        """
        settings = self.settings if name is None else self.settings.of_catalog(name)
        with answering(current().of(settings.catalog) if place is None else place):
            try:
                return self._asked(settings, question)
            except IndexFailing:
                raise
            except IndexUnreachable:
                return self._asked(settings, question)

    def _asked(self, settings: Settings, question: Callable[[Served], T]) -> T:
        served = self._of(settings)
        try:
            return question(served)
        finally:
            if served.session.gone:
                self._let_go(served)

    def ask_index(self, question: Callable[[Session], T], place: Place | None = None) -> T:
        """The answer of a question about the whole index, as `ask` gives it."""
        with (
            answering(current() if place is None else place),
            Session(self.settings, connection=self._connection) as session,
        ):
            try:
                return question(session)
            except IndexFailing:
                raise
            except IndexUnreachable:
                return question(session)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For a question that reads every item. Raises Busy while another one is answered."""
        with _taken(self._alone, 0.0):
            yield

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """For a question that loads a network of its own: they take turns.

        Raises Busy where that takes long, at once where `MOST_WAIT_FOR_IT` wait already.
        """
        with _taken(self._explaining_or_next, 0.0), _taken(self._explaining, EXPLAINED_WITHIN):
            yield

    def is_ready(self) -> bool:
        """Whether the index answers."""
        asked, ready = self._ready
        if time.monotonic() - asked < READY_FOR:
            return ready
        try:
            self.ask(None, _opened)
            ready = True
        except Exception:  # whatever it is, the service cannot answer
            ready = False
        self._ready = time.monotonic(), ready
        return ready

    def _of(self, settings: Settings) -> Served:
        """A catalog that exists: others leave nothing behind, however many are asked for or are dropped later."""
        found = self._served.get(settings.catalog)
        if found is not None:
            return found
        session = Session(settings, connection=self._connection, decoder=self.decoder)
        made = Served(ImageCatalog(settings, session=session), session)
        _opened(made)
        self._let_go_of_dropped(session)
        with self._opening:
            return self._served.setdefault(settings.catalog, made)

    def _let_go_of_dropped(self, session: Session) -> None:
        """For catalogs that nobody asks any more. Where the index cannot tell now, they are looked for another time."""
        before = list(self._served.values())
        if not before:
            return
        with suppress(IndexError_), session.client() as client:
            there = names(client)
            for each in before:
                if each.catalog.name not in there:
                    self._let_go(each)

    def _let_go(self, served: Served) -> None:
        """Not closed: questions under way have their answers, and the network is freed with the last of them."""
        with self._opening:
            if self._served.get(served.catalog.name) is served:
                del self._served[served.catalog.name]

    def close(self) -> None:
        """Close what is open; questions under way are waited for, but not for long."""
        self.ending.set()
        self._connection.close()
        self.decoder.close()
        for each in list(self._served.values()):
            each.session.close()


@contextmanager
def _taken(lock: Lock | Semaphore, within: float) -> Iterator[None]:
    if not lock.acquire(timeout=within):
        raise Busy
    try:
        yield
    finally:
        lock.release()


def _opened(served: Served) -> Any:
    """The embedding space. Raises what opening a catalog raises."""
    return served.catalog.space
