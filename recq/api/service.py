"""What the routes share: the catalogs on one connection, the decoding processes, the thumbnails.

Questions run in threads, several at a time; those that read every item one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, TypeVar

from recq.api.errors import Busy
from recq.api.thumbnails import Thumbnails
from recq.closing import ClosedAtEnd
from recq.commands import Place, answering, current
from recq.errors import IndexFailing, IndexUnreachable
from recq.face.catalog import ImageCatalog
from recq.images.isolated import IsolatedDecoder
from recq.index.kept_connection import KeptConnection
from recq.search.session import Session
from recq.settings import Settings

EXPLAINED_WITHIN = 20.0
"""Seconds that a question waits for the one before it, where each loads a network of its own."""

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
        self._sessions = ExitStack()
        self._opening = Lock()
        self._alone = Lock()
        self._explaining = Lock()
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
                return question(self._of(settings))
            except IndexFailing:
                raise
            except IndexUnreachable:
                return question(self._of(settings))

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
        """For a question that loads a network of its own: they take turns. Raises Busy where that takes long."""
        with _taken(self._explaining, EXPLAINED_WITHIN):
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
        """A catalog that exists: others leave nothing behind, however many are asked for."""
        found = self._served.get(settings.catalog)
        if found is not None:
            return found
        session = Session(settings, connection=self._connection, decoder=self.decoder)
        made = Served(ImageCatalog(settings, session=session), session)
        _opened(made)
        with self._opening:
            if settings.catalog not in self._served:
                self._sessions.callback(session.close)
                self._served[settings.catalog] = made
            return self._served[settings.catalog]

    def close(self) -> None:
        """Close what is open; questions under way are waited for, but not for long."""
        self.ending.set()
        self._connection.close()
        self.decoder.close()
        self._sessions.close()


@contextmanager
def _taken(lock: Lock, within: float) -> Iterator[None]:
    if not lock.acquire(timeout=within):
        raise Busy
    try:
        yield
    finally:
        lock.release()


def _opened(served: Served) -> Any:
    """The embedding space. Raises what opening a catalog raises."""
    return served.catalog.space
