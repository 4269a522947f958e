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
from typing import TYPE_CHECKING, NamedTuple, TypeVar

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
        self._root = root if root is not None else self
        """The session whose connection is used."""
        self._connection = connection
        self._decoder = decoder
        self._kept = ExitStack()
        self._guard = RLock()
        self._server: QdrantClient | None = None
        self._held = _Held()
        self._preparers: dict[bool, Preparer] = {}
        self._siblings: dict[str, Session] = {}
        self._closed = False
        self._elsewhere: dict[EmbeddingSpace, Preparer] = {}
        """Those of other spaces than the catalog's."""

    def sibling(self, name: str) -> Session:
        """The session of another catalog of the same index, with its own network."""
        if name == self.settings.catalog:
            return self
        with self._guard:
            self._require_open()
            if name not in self._siblings:
                other = Session(
                    self.settings.model_copy(update={"catalog": name}), root=self._root, decoder=self._decoder
                )
                self._siblings[name] = self._kept.enter_context(other)
            return self._siblings[name]

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """The index, for the length of the block. Raises what `recq.index.connect.connect` raises."""
        from recq.index.successor import connect_for_questions

        self._require_open()
        if self._root is not self:
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
        from recq.index.catalog import Catalog

        mine, now = self._held, time.monotonic()
        if mine.reuses and mine.known is not None and mine.known.client is client:
            if now - mine.known.at < KNOWN_FOR:
                return mine.known.catalog
            mine.known = None
        catalog = Catalog.open(client, self.settings.catalog, asked=True)
        root = self._root
        if root._connection is not None or client in (root._server, root._held.client):  # it outlives the question
            mine.known = _Known(client, catalog, now)
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
        root = self._root
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
        base = base and space is not catalog.space
        with self._guard:
            self._require_open()
            known = self._preparers.get(base)
            if known is None or (
                known.space != space and known.space.fingerprint != space.fingerprint
            ):  # rebuilt since
                made = Preparer(space, self.settings, decoder=self._decoder) if base else self._preparer_of(catalog)
                known = self._preparers[base] = self._kept.enter_context(made)
            return known

    def preparer_in(self, space: EmbeddingSpace) -> Preparer:
        """Makes queries in a space that is not the catalog's, to name pictures; its network is kept as well."""
        with self._guard:
            self._require_open()
            if space not in self._elsewhere:
                self._elsewhere[space] = self._kept.enter_context(Preparer(space, self.settings, decoder=self._decoder))
            return self._elsewhere[space]

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
            self._server, self._preparers = None, {}
            self._kept.close()
            self._elsewhere.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError(f"catalog {self.settings.catalog!r} has been closed: open it again")


@contextmanager
def opened(settings: Settings) -> Iterator[Catalog]:
    """The catalog that the settings name, for the length of the block."""
    with Session(settings) as session, session.opened() as catalog:
        yield catalog
