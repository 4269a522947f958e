"""One catalog of an index for many questions: opens the index, releases it, and keeps what takes long to load.

    with Session(settings) as session:
        with session.opened() as catalog:
            catalog.count()

An embedded data folder has one user at a time. So each question opens it and releases it, twice where a picture is
embedded in between. A notebook that stays open for days keeps no daemon from starting, and a daemon that starts or
ends between two questions does no harm. The connection to a server and the network are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock, local
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from recq.closing import ClosedAtEnd
from recq.errors import IndexUnreachable, ModelUnavailable, RecqError, TargetError, TargetNotFound, UsageError
from recq.search.prepare import Preparer, Query
from recq.search.target import Given, IndexedTarget, read_once, resolve, text_of
from recq.settings import Settings
from recq.space import EmbeddingSpace, require_same

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from recq.images.fitting import Decoder
    from recq.index.catalog import Catalog
    from recq.index.kept_connection import KeptConnection

T = TypeVar("T")

KNOWN_FOR = 1.0
"""Seconds that what was read of a catalog when it was opened (space, fields, sources) serves later questions as well.
It takes two of four requests of an indexed picture's question."""

MOST_SIBLINGS = 20
"""Catalogs that are kept beside a session's own: those that were asked last."""

_Use = Literal["own", "base", "elsewhere"]
"""What a network is for: questions in the catalog's own space, in that of a trained one's network, in another one."""


class _Held(local):
    """The opening that the questions of a thread share."""

    client: QdrantClient | None = None
    known: _Known | None = None
    reuses = False
    """Whether a question is asked that `Session.asked` repeats."""


class _Known(NamedTuple):
    """A catalog as it was when it was opened, for questions that come soon after."""

    client: QdrantClient
    catalog: Catalog
    at: float


class Session(ClosedAtEnd):
    """The catalog that the settings name. A context manager; several threads may ask it.

    A service has a `connection` that all its questions share, and a `decoder` for what strangers send; they stay the
    caller's. Without a decoder pictures are decoded in this process.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        root: Session | None = None,
        connection: KeptConnection | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.settings = settings
        self.gone = False
        """Whether the catalog did not exist when it was opened last."""
        self._root = root
        """The session whose connection is used; None for this one, which would keep itself in memory."""
        self._connection = connection
        self._decoder = decoder
        self._kept = ExitStack()
        self._guard = RLock()
        self._server: QdrantClient | None = None
        self._held = _Held()
        self._preparers: dict[_Use, Preparer] = {}
        """One for each use. Whoever has one may go on with it when it is replaced; its network is freed after that."""
        self._siblings: dict[str, Session] = {}
        """Those whose catalogs have been opened, the one that was asked last at the end."""
        self._closed = False

    @property
    def _top(self) -> Session:
        """The session whose connection is used, and which keeps the others of its index."""
        return self if self._root is None else self._root

    def sibling(self, name: str) -> Session:
        """The session of another catalog of the same index, with its own network.

        It is kept once that catalog has been opened: those that do not exist leave nothing behind. Raises UsageError
        for a name that no catalog can have.
        """
        if name == self.settings.catalog:
            return self
        if self._root is not None:
            return self._root.sibling(name)
        with self._guard:
            self._require_open()
            found = self._siblings.get(name)
        return found or Session(self.settings.of_catalog(name), root=self, decoder=self._decoder)

    def _keep(self, sibling: Session) -> None:
        """Keep what has just been opened, in place of the one that was asked least recently where there are many."""
        name = sibling.settings.catalog
        with self._guard:
            if self._closed:
                return
            self._siblings[name] = self._siblings.pop(name, sibling)
            while len(self._siblings) > MOST_SIBLINGS:
                del self._siblings[next(iter(self._siblings))]

    def _forget(self, name: str) -> None:
        with self._guard:
            self._siblings.pop(name, None)

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """The index, for the length of the block. Raises what `recq.index.connect.connect` raises."""
        from recq.index.successor import connect_for_questions

        self._require_open()
        if self._root is not None:
            with self._root.client() as client:
                yield client
        elif self._held.client is not None:
            yield self._held.client
        elif self._connection is not None:
            with self._connection.client() as client:
                yield client
        elif self.settings.url is None:
            with connect_for_questions(self.settings) as client:
                yield client
        else:
            with self._guard:
                if self._server is None:
                    self._server = self._kept.enter_context(connect_for_questions(self.settings))
            yield self._server

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        """The catalog, for the length of the block. Raises TargetNotFound as well, where there is none."""
        with self.client() as client:
            yield self._known_or_opened(client)

    def _known_or_opened(self, client: QdrantClient) -> Catalog:
        mine, now = self._held, time.monotonic()
        if mine.reuses and mine.known is not None and mine.known.client is client:
            if now - mine.known.at < KNOWN_FOR:
                return mine.known.catalog
            mine.known = None
        catalog = self._opened_now(client)
        root = self._top
        if root._connection is not None or client in (root._server, root._held.client):  # it outlives the question
            mine.known = _Known(client, catalog, now)
        return catalog

    def _opened_now(self, client: QdrantClient) -> Catalog:
        """The catalog, read anew. One that does not exist any more is given up, with its networks."""
        from recq.index.catalog import Catalog

        try:
            catalog = Catalog.open(client, self.settings.catalog, asked=True)
        except TargetNotFound:
            self.gone = True
            with self._guard:
                self._preparers.clear()
            if self._root is not None:
                self._root._forget(self.settings.catalog)
            raise
        self.gone = False
        if self._root is not None:
            self._root._keep(self)
        return catalog

    def asked(self, question: Callable[[], T]) -> T:
        """What a question answers, which may know the catalog from one asked within `KNOWN_FOR`, where both are asked
        of one connection or one opening (`held`).

        Where what was known may have led to an error, it is asked again of the catalog as it is now: fields may have
        come since, or another collection. A picture that cannot be read, a model that is missing or an index that does
        not answer is no such error, and standard input can be read once.
        """
        mine = self._held
        before, reused = mine.known, mine.reuses
        mine.reuses = before is not None
        try:
            return question()
        except RecqError as error:
            if before is None or mine.known is not before:  # it was opened anew
                raise
            unread = isinstance(error, TargetError) and not isinstance(error, TargetNotFound)
            if unread or isinstance(error, (ModelUnavailable, IndexUnreachable)):
                raise
        finally:
            mine.reuses = reused  # by a question that this one is a part of
        mine.known = None
        return question()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within the block, this thread's questions share one opening: no other process can use an embedded folder."""
        root = self._top
        with root.client() as client:
            before, root._held.client = root._held.client, client
            try:
                yield
            finally:
                root._held.client, self._held.known = before, None

    def preparer(self, catalog: Catalog, *, base: bool = False) -> Preparer:
        """Makes queries from targets in the space of the catalog, with the network once it is loaded.

        With `base` in the network's own space, where the catalog's is a trained one.
        """
        space = catalog.base if base else catalog.space
        if base and space is not catalog.space:
            return self._preparer_for("base", space, lambda: Preparer(space, self.settings, decoder=self._decoder))
        return self._preparer_for("own", space, lambda: self._preparer_of(catalog))

    def preparer_in(self, space: EmbeddingSpace) -> Preparer:
        """Makes queries in a space that is not the catalog's, to name pictures; the network of the last is kept."""
        return self._preparer_for("elsewhere", space, lambda: Preparer(space, self.settings, decoder=self._decoder))

    def _preparer_for(self, use: _Use, space: EmbeddingSpace, make: Callable[[], Preparer]) -> Preparer:
        """The one that is kept for a use, made anew where the catalog has moved to another space since.

        All networks from before are let go of then: those for the other uses belonged to that space as well.
        """
        with self._guard:
            self._require_open()
            known = self._preparers.get(use)
            if known is not None and (known.space == space or known.space.fingerprint == space.fingerprint):
                return known
            if known is not None:
                self._preparers.clear()
            made = self._preparers[use] = make()
            return made

    def _preparer_of(self, catalog: Catalog) -> Preparer:
        """In the catalog's own space; its head, which few questions need, is read from what the opening gave."""
        return Preparer(catalog.space, self.settings, lambda: catalog.projection, self._decoder)

    def decoder(self) -> Decoder:
        """What makes pixels of pictures."""
        from recq.images.fitting import decoder_of

        return decoder_of(self._decoder, self.settings)

    @contextmanager
    def prepared(
        self, targets: Sequence[Given], check: Callable[[Catalog], None]
    ) -> Iterator[tuple[Catalog, list[Query]]]:
        """The catalog, and the queries of the targets. The index is released while pictures are read and embedded.

        `check` raises for a question that cannot be answered, before a model is loaded. Where the catalog has moved to
        another space meanwhile, pictures are embedded in that one; raises SpaceMismatch where it moves once more.
        """
        for tries in range(2):
            with self.opened() as catalog:
                resolved = [(resolve(catalog.lookups, given), text_of(given)) for given in targets]
                space = catalog.space
                preparer = self.preparer(catalog)
                if all(isinstance(target, IndexedTarget) for target, _ in resolved):
                    yield catalog, [preparer.prepare(*each) for each in resolved]
                    return
                check(catalog)
            queries = [preparer.prepare(*each) for each in resolved]
            with self.opened() as catalog:
                if not tries and catalog.space.fingerprint != space.fingerprint:  # rebuilt meanwhile
                    targets = [read_once(given, query.content) for given, query in zip(targets, queries, strict=True)]
                    continue
                require_same(catalog.space, space, catalog.name)
                yield catalog, queries
                return

    def close(self) -> None:
        """Close the connection and free the network; every later question raises UsageError."""
        with self._guard:
            self._closed = True
            for sibling in self._siblings.values():
                self._kept.push(sibling)
            for preparer in self._preparers.values():
                self._kept.push(preparer)
            self._server, self._preparers, self._siblings = None, {}, {}
            self._kept.close()

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError(f"catalog {self.settings.catalog!r} has been closed: open it again")


@contextmanager
def opened(settings: Settings) -> Iterator[Catalog]:
    """The catalog that the settings name, for the length of the block."""
    with Session(settings) as session, session.opened() as catalog:
        yield catalog
