"""The Catalog: every read and every write of the index, written once against `QdrantClient`, equal on every engine.

Its life and its writes stand here; the reads in `recq.index.ledger`, `reader` and `finder`, each one floor higher.

A catalog is an alias; behind it stands one collection per embedding space, named after the space's fingerprint. The
collection's metadata keeps the space, the payload's schema version and the sources. Writes are waited for: an item is
done only after its upsert was acknowledged, and the fixed point ids make every retry harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from recq.commands import command
from recq.errors import ImageError, Reason, RecqError, TargetNotFound, UsageError
from recq.index import background
from recq.index.background import Background
from recq.index.catalogs import missing
from recq.index.collection import behind, collection_name, others, point_alias, stored_space
from recq.index.collection import create as create_collection
from recq.index.collection import upgrade as upgrade_collection
from recq.index.errors import translated
from recq.index.fields import Misfit
from recq.index.finder import Finder
from recq.index.grammar import Where
from recq.index.ledger import item_of, vector_of, within
from recq.index.pending_fields import Missing, Waiting
from recq.index.problems import PROBLEMS_PREFIX
from recq.index.schema import VECTOR, FieldType, FieldTypes, Item, Value, stored_payload
from recq.index.sources import CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX, METADATA_PREFIX
from recq.space import EmbeddingSpace, require_same

_ENTRIES = 100
"""Items with their vectors that a scroll asks for at a time: some megabytes of JSON."""


NUMBERS_AT_ONCE = 1_000_000
"""The most numbers of one write: as JSON they take 20 MB, and a server takes 32 MB unless it is told otherwise."""


@dataclass(frozen=True)
class ItemVector:
    """One write: an item with its vector, float32 (dim,); no vector exactly when `item.error` is set."""

    item: Item
    vector: np.ndarray | None


def _ignore_misfit(field: str, value: Value, field_type: FieldType) -> None:
    """The default for `Catalog.on_misfit`."""


class Catalog(Finder):
    """A named set of indexed images. All methods raise only errors of `recq.errors`.

    `on_misfit(field, value, type)` is called once per field when a stored value does not fit the field's type: the
    value is kept, but filters on the field do not find it.
    """

    def __init__(self, client: QdrantClient, name: str, collection: str, space: EmbeddingSpace) -> None:
        self.name = name
        self.on_misfit: Misfit = _ignore_misfit
        super().__init__(client, collection, space)

    # -- life -----------------------------------------------------------------------------------------------------

    @classmethod
    @translated
    def open(cls, client: QdrantClient, name: str) -> Catalog:
        """The existing catalog. Raises TargetNotFound when there is none."""
        collection = behind(client, name)
        if collection is None:
            known = sorted(alias.alias_name for alias in client.get_aliases().aliases)
            told = missing(name, known)
            raise TargetNotFound(
                f"{told}{' Or fill' if told.endswith('?') else ': fill'} it with "
                f"{command('recq-ingest', 'run', 'FOLDER', catalog=name)}, "
                "or name another with --catalog, --data-dir or --url"
            )
        return cls(client, name, collection, stored_space(client, collection))

    @classmethod
    @translated
    def create(cls, client: QdrantClient, name: str, space: EmbeddingSpace) -> Catalog:
        """The catalog, made when it does not exist. Raises SpaceMismatch when it exists in another space."""
        collection = behind(client, name)
        if collection is not None:
            require_same(stored_space(client, collection), space, name)
        else:
            collection = collection_name(name, space)
            create_collection(client, collection, space)
            point_alias(client, name, collection)
        return cls(client, name, collection, space)

    @classmethod
    @translated
    def begin_rebuild(cls, client: QdrantClient, name: str, space: EmbeddingSpace) -> Catalog:
        """The catalog's next collection, in another space; queries go on in the old one until `finish_rebuild`.

        A rebuild that was interrupted is taken up where it stopped.
        """
        current = cls.open(client, name)
        if current.space.fingerprint == space.fingerprint:
            raise UsageError(f"catalog {name!r} already uses {space.label}: there is nothing to rebuild")
        catalog = cls(client, name, collection_name(name, space), space)
        create_collection(client, catalog._collection, space)
        for source in current.sources().values():
            catalog._write_source(source)
        return catalog

    @translated
    def finish_rebuild(self) -> None:
        """Move the alias to this collection in one step, then delete the one it stood for."""
        point_alias(self._client, self.name, self._collection)
        for old in others(
            self._client, self.name, self._collection
        ):  # also what an earlier one left when it was killed
            self._client.delete_collection(old)

    @translated
    def upgrade(self) -> int | None:
        """Bring an index that an older recq made up to date; the schema version it had, None when that was this one."""
        return upgrade_collection(self._client, self._collection)

    @translated
    def still_current(self) -> bool:
        """False once the alias stands for another collection: someone has rebuilt the catalog."""
        return behind(self._client, self.name) == self._collection

    @translated
    def exists(self) -> bool:
        """False once the catalog is gone altogether: someone has deleted its collection or its alias."""
        return behind(self._client, self.name) is not None

    def others(self) -> Iterator[tuple[str, Catalog]]:
        """The other catalogs of the same index that this recq can read, by name."""
        for name in self._other_names():
            with suppress(RecqError):
                yield name, Catalog.open(self._client, name)

    @translated
    def _other_names(self) -> list[str]:
        aliases = self._client.get_aliases().aliases
        return sorted(alias.alias_name for alias in aliases if alias.alias_name != self.name)

    # -- fields ---------------------------------------------------------------------------------------------------

    @translated
    def declare(self, types: FieldTypes) -> None:
        """Create the payload indexes of fields that have none yet; a known field keeps its type.

        Where many are new, they wait (`waiting`), and `make_index` is to be called for each.
        """
        self._fields.declare(types)

    @translated
    def make_index(self, missing: Missing) -> None:
        """Make one of the indexes that wait. It can be repeated, by several at the same time."""
        self._fields.make(missing)

    @translated
    def note_refused(self, missing: Missing, why: str) -> None:
        """Keep why one of the indexes that wait could not be made: nobody waits for it then."""
        self._fields.note_refused(missing, why)

    @translated
    def note_made(self) -> None:
        """Remove the records of fields whose indexes are all there. Due when nothing is left to be made."""
        self._fields.note_made()

    def make_indexes(self) -> Iterator[Waiting]:
        """Make all indexes that wait, but for those that the engine refused; gives what is left before each."""
        while (missing := (waiting := self._to_make()).next(self.known_waiting.refused)) is not None:
            yield waiting
            self.make_index(missing)
        self.note_made()

    def _to_make(self) -> Waiting:
        """What waits: as it is known here, and read anew when that is nothing."""
        return self.known_waiting if self.known_waiting.left else self.waiting(refresh=True)

    # -- writes ---------------------------------------------------------------------------------------------------

    @translated
    def upsert(self, entries: Sequence[ItemVector]) -> None:
        """Write items and vectors in one waited request; fields that are new get their payload index first.

        Long vectors (some `flatten`ed maps) take several requests: the items of those that went before are written when
        one fails. Raises ImageError(NO_SIGNAL) for a vector that is not finite, is all zeros or has the wrong length:
        the engines would take it in silence.
        """
        if not entries:
            return
        for entry in entries:
            self._check(entry)
        types = self._fields.declare_for([entry.item for entry in entries], self.on_misfit)
        points = [
            models.PointStruct(
                id=entry.item.id,
                vector={} if entry.vector is None else {VECTOR: entry.vector.tolist()},
                payload=stored_payload(entry.item, types),
            )
            for entry in entries
        ]
        for start in range(0, len(points), step := max(1, NUMBERS_AT_ONCE // self.space.dim)):
            self._client.upsert(self._collection, points=points[start : start + step], wait=True)

    def _check(self, entry: ItemVector) -> None:
        if (entry.vector is None) != (entry.item.error is not None):
            raise ValueError(f"{entry.item.file.path}: an item has a vector or an error, never both or neither")
        if entry.vector is None:
            return
        if entry.vector.shape != (self.space.dim,):
            raise ImageError(Reason.NO_SIGNAL, f"vector of shape {entry.vector.shape}, not ({self.space.dim},)")
        norm = float(np.linalg.norm(entry.vector))
        if not np.isfinite(norm) or norm == 0.0:
            raise ImageError(Reason.NO_SIGNAL, f"vector of norm {norm}")

    @translated
    def replace_metadata(self, items: Sequence[Item]) -> None:
        """Replace whole payloads (removed fields disappear); vectors stay untouched."""
        types = self._fields.declare_for(items, self.on_misfit)
        for item in items:
            self._client.overwrite_payload(
                self._collection, payload=stored_payload(item, types), points=[item.id], wait=True
            )

    @translated
    def delete(self, ids: Sequence[str]) -> None:
        """Delete points; unknown ids are no error."""
        if ids:
            points: list[models.ExtendedPointId] = [int(each) if each.isdecimal() else each for each in ids]
            self._client.delete(self._collection, points_selector=models.PointIdsList(points=points), wait=True)

    @translated
    def probe(self) -> None:
        """Ask the index for a write that changes nothing: whether it takes any. Raises IndexUnreachable."""
        nobody = models.PointIdsList(points=[str(uuid4())])
        self._client.delete(self._collection, points_selector=nobody, wait=True)

    def entries(self, filters: Sequence[Where] | None = None) -> Iterator[ItemVector]:
        """Every item with its vector, failed ones included; with filters, embedded items that all hold for. Streams."""
        wanted = models.Filter() if filters is None else self.compiled(filters)
        for record in self._scroll(wanted, payload=True, page=_ENTRIES, vectors=True):
            if (item := item_of(record)) is not None:
                yield ItemVector(item, vector_of(record))

    @translated
    def background(self) -> Background | None:
        """How alike random pairs of items are, the scale to read scores on; None where there are too few items.

        Kept with the collection, and measured anew when the catalog has grown or shrunk by `background.DRIFT`.
        """
        info = self._client.get_collection(self._collection)
        items = info.points_count or 0
        if items < background.FEWEST_ITEMS:
            return None
        kept = self._background_in(info)
        if kept is not None and not kept.is_stale(items):
            return kept
        embedded = self.compiled()
        better = self.space.higher_is_better
        fresh = background.measure(self._client, self._collection, embedded, items, higher_is_better=better)
        if fresh is not None:
            with suppress(UnexpectedResponse):  # a key that may only read: it serves this answer at least
                self._client.update_collection(self._collection, metadata={background.KEY: fresh.to_json()})
        return fresh

    @translated
    def kept_background(self) -> Background | None:
        """What was measured last, up to date or not; None where nothing is kept."""
        return self._background_in(self._client.get_collection(self._collection))

    def _background_in(self, info: models.CollectionInfo) -> Background | None:
        stored = (info.config.metadata or {}).get(background.KEY)
        return Background.from_json(stored, higher_is_better=self.space.higher_is_better) if stored else None

    @translated
    def drop_source(self, name: str) -> int:
        """Delete a source's points and record; returns how many points there were.

        With the last source the fields go, too: what is indexed next decides their types anew.
        """
        condition = within(models.Filter(), name)
        dropped = self._client.count(self._collection, count_filter=condition, exact=True).count
        self._client.delete(self._collection, points_selector=models.FilterSelector(filter=condition), wait=True)
        kept = (METADATA_PREFIX, CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX, PROBLEMS_PREFIX)
        gone = {prefix + name: None for prefix in kept}
        self._client.update_collection(self._collection, metadata=gone)
        if not self.sources():
            self._fields.forget()
        return dropped
