"""The Catalog: one collection behind an alias, and the parts that read and write it, the same on every engine.

A catalog is an alias of one collection per embedding space, which is named after the space's fingerprint. The
collection's metadata has the space, the payload's schema version and the sources. The parts read and write, and each of
them can be made and tested alone; what needs several of them is done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from recq.commands import command
from recq.errors import SpaceMismatch, TargetNotFound, UsageError
from recq.index import background
from recq.index.background import Background
from recq.index.catalogs import holdings, kept, missing
from recq.index.change_log import ChangeLog
from recq.index.collection import (
    NEXT_KEY,
    behind,
    collection_name,
    note_previous,
    others,
    point_alias,
    previous,
    space_in,
    stored_space,
)
from recq.index.collection import create as create_collection
from recq.index.collection import upgrade as upgrade_collection
from recq.index.dated_records import DatedRecords
from recq.index.errors import translated
from recq.index.fields import Fields
from recq.index.finder import Finder
from recq.index.items import Items
from recq.index.kept import Kept
from recq.index.latest import Latest
from recq.index.ledger import Ledger
from recq.index.lookups import Lookups
from recq.index.nearest import ByEngine
from recq.index.nodes import node_of
from recq.index.part_records import PartRecords
from recq.index.parts import PART_PREFIX
from recq.index.placement import Placement
from recq.index.points import Points, within
from recq.index.predicting_records import PredictingRecords
from recq.index.problem_records import ProblemRecords
from recq.index.problems import PROBLEMS_PREFIX
from recq.index.quantisation import Quantised
from recq.index.reranked import Reranked
from recq.index.reviews import PREFIX as DECISIONS
from recq.index.reviews import Decision
from recq.index.searching import ByMatches
from recq.index.source_records import SourceRecords, sources_in
from recq.index.sources import CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX, METADATA_PREFIX, Source
from recq.index.taggings import PREFIX as TAGGINGS
from recq.index.taggings import Tagging
from recq.index.values import Values
from recq.index.writes import Writes
from recq.space import EmbeddingSpace, require_same

if TYPE_CHECKING:
    from recq.index.candidates import Candidate, Candidates, TrainedSpace
    from recq.index.carried_records import CarriedRecords
    from recq.index.projecting import Asking
    from recq.models.heads import Projection

_RECORDS = (METADATA_PREFIX, PROBLEMS_PREFIX, CONFIRMATION_PREFIX, METADATA_CONFIRMATION_PREFIX, PART_PREFIX)
"""Collection-metadata keys of what is known of sources, whatever space the vectors are of."""

_GIVEN = (DECISIONS, TAGGINGS)
"""Collection-metadata keys of what people gave, which they go on to give and take back until the alias moves."""

_REMOVED_AT_ONCE = 500  # items of a source that is removed


@dataclass(frozen=True)
class Tried:
    """A trained space of a catalog, and the questions that are answered in its order (`recq.index.reranked`)."""

    candidate: Candidate
    finder: Finder


class Catalog:
    """A named set of indexed images. All methods, and those of the parts, raise only errors of `recq.errors`.

    finder     questions that are answered in an order: rank, find
    latest     items that match filters, the newest first, a page at a time
    items      embedded items that match filters: count, rows, entries; vectors by id
    lookups    items by id, path or name, for TARGETs
    values     the values of fields: facets, extremes
    fields     the types of fields and their payload indexes
    writes     upsert, replace_metadata, delete
    ledger     the daemon's records: what is done, what failed, which bytes are known
    sources    the watched folders, and what was confirmed for each
    problems   what is wrong with sources and items
    parts      the parts of a source that several daemons share: who has them, what each has found
    candidates the trained spaces that the catalog carries beside its own
    predicting which fields are predicted, and by what
    reviews    what people decided about groups of the same picture
    taggings   the tags that people collected and that no patch has yet
    changes    what was indexed, changed, went and failed since a cursor
    """

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        collection: str,
        space: EmbeddingSpace,
        at_opening: models.CollectionInfo | None = None,
        *,
        asked: bool = False,
    ) -> None:
        self.name = name
        self.space = space
        self._client = client
        self._collection = collection
        self._at_opening = at_opening
        self._background: Background | None = None
        self._sources: Mapping[str, Source] | None = None
        self._tried: dict[str, Tried] = {}
        self._points = Points(client, collection, dim=space.dim)
        self.fields = Fields(client, collection, at_opening if asked else None)
        self.items = Items(self._points, self.fields)
        self.lookups = Lookups(client, collection, name)
        self.values = Values(self._points, self.fields, self.items)
        searching = ByMatches(client, collection, self.fields, space.dim, higher_is_better=space.higher_is_better)
        self._by_engine = ByEngine(space, self._points, searching)
        self.finder = Finder(self._by_engine, self._points, self.fields, self.items)
        self.latest = Latest(self._points, self.fields, self.items)
        self.writes = Writes(client, collection, space, self.fields)
        self.ledger = Ledger(client, collection, self._points)
        self.sources = SourceRecords(client, collection, name)
        self.problems = ProblemRecords(client, collection, self._points)
        self.parts = PartRecords(client, collection)
        self.predicting = PredictingRecords(client, collection)
        self.reviews = DatedRecords(client, collection, DECISIONS, Decision.from_json)
        self.taggings = DatedRecords(client, collection, TAGGINGS, Tagging.from_json)
        self.changes = ChangeLog(client, collection, name)

    @property
    def collection(self) -> str:
        """The collection that it reads and writes, by its own name."""
        return self._collection

    def tried(self, name: str) -> Tried:
        """The trained space of that name, and what answers in its order; read once.

        The one that the catalog's own vectors are of answers as the catalog does. Raises TargetNotFound, and
        SpaceMismatch for one that was learned in another space than the catalog's, or whose vectors are not stored.
        """
        if name not in self._tried:
            if self.trained is not None and self.trained.candidate.name == name:
                self._tried[name] = Tried(self.trained.candidate, self.finder)
                return self._tried[name]
            candidate = self.candidates.get(name)
            if self.trained is not None:
                raise SpaceMismatch(
                    f"catalog {self.name!r} is in the trained space {self.trained.candidate.name!r}, and does not have "
                    f"the vectors that {name!r} takes any more: ask without --space, or go back to them with "
                    f"{command('recq-ingest', 'rollback', catalog=self.name)}"
                )
            nearest = Reranked(self._by_engine, self._points, candidate.head, candidate.space(self.space))
            self._tried[name] = Tried(candidate, Finder(nearest, self._points, self.fields, self.items))
        return self._tried[name]

    @cached_property
    def candidates(self) -> Candidates:
        """The trained spaces; few questions are about them, so that their module is imported on first use."""
        from recq.index.candidates import Candidates

        return Candidates(self._client, self._collection, self.name)

    @cached_property
    def records(self) -> CarriedRecords:
        """The records that a backup carries; only those who write or read one need their module."""
        from recq.index.carried_records import CarriedRecords

        return CarriedRecords(self._client, self._collection)

    @cached_property
    @translated
    def trained(self) -> TrainedSpace | None:
        """The trained space that the vectors are of; None where they are a network's own.

        Raises SpaceMismatch where its head is not there: no picture can be compared with the catalog then.
        """
        if self.space.projection is None:
            return None
        from recq.index.candidates import trained_in

        info = self._at_opening or self._client.get_collection(self._collection)
        return trained_in(info.config.metadata or {}, self.space, self.name)

    @property
    @translated
    def placement(self) -> Placement:
        """How the catalog lies on the nodes of a server."""
        return Placement.of(self._at_opening or self._client.get_collection(self._collection))

    @property
    @translated
    def quantised(self) -> Quantised | None:
        """How a server keeps the vectors small, now; None where it does not."""
        return Quantised.of(self._client.get_collection(self._collection))

    @property
    def node(self) -> str | None:
        """The address that answers, of a server's nodes; None for the embedded engine."""
        return node_of(self._client)

    @property
    def base(self) -> EmbeddingSpace:
        """The network's space: that of what a head takes in a trained space, else the catalog's own."""
        return self.space if self.trained is None else self.trained.base

    @property
    def projection(self) -> Projection | None:
        """What the network's vectors are put through in a trained space, for `recq.models.open_embedder`."""
        return None if self.trained is None else self.trained.projection

    @classmethod
    @translated
    def open(cls, client: QdrantClient, name: str, *, asked: bool = False) -> Catalog:
        """The existing catalog. Raises TargetNotFound when there is none.

        With `asked`, for a question that comes now: the fields are known from the opening, and not read again.
        """
        collection = behind(client, name)
        if collection is None:
            known = sorted(alias.alias_name for alias in client.get_aliases().aliases)
            told = missing(name, known)
            raise TargetNotFound(
                f"{told}{' Or fill' if told.endswith('?') else ': fill'} it with "
                f"{command('recq-ingest', 'run', 'FOLDER', catalog=name)}, "
                "or name another with --catalog, --data-dir or --url"
            )
        info = client.get_collection(collection)
        return cls(client, name, collection, space_in(info, collection), info, asked=asked)

    @classmethod
    @translated
    def create(
        cls,
        client: QdrantClient,
        name: str,
        space: EmbeddingSpace,
        trained: TrainedSpace | None = None,
        placement: Placement | None = None,
    ) -> Catalog:
        """The catalog, made when it does not exist, with `trained` where its space is a trained one.

        Raises SpaceMismatch when it exists in another space.
        """
        collection = behind(client, name)
        if collection is not None:
            require_same(stored_space(client, collection), space, name)
        else:
            collection = collection_name(name, space)
            create_collection(client, collection, space, _records(trained), placement)
            point_alias(client, name, collection)
        return cls(client, name, collection, space)

    @classmethod
    @translated
    def begin_rebuild(cls, client: QdrantClient, name: str, space: EmbeddingSpace) -> Catalog:
        """The catalog's next collection, in another space; queries use the old one until `finish_rebuild`.

        An interrupted rebuild is resumed.
        """
        return cls._next(cls.open(client, name), space)

    @classmethod
    @translated
    def begin_switch(cls, client: QdrantClient, name: str, candidate: str) -> Catalog:
        """`begin_rebuild` in the space of a candidate, with all records of the catalog: problems, confirmations.

        It has the fields of the catalog, and no items yet (`fill_from`). Raises as `switched_to`.
        """
        current = cls.open(client, name)
        trained = current.switched_to(candidate)
        catalog = cls._next(current, trained.space, trained)
        own = client.get_collection(current._collection).config.metadata or {}
        records = {key: value for key, value in own.items() if key.startswith(_RECORDS)}
        client.update_collection(catalog._collection, metadata=records)
        catalog.fields.declare(current.fields.types())
        return catalog

    @translated
    def switched_to(self, candidate: str) -> TrainedSpace:
        """The trained space that `begin_switch` moves to. Raises TargetNotFound for an unknown candidate, SpaceMismatch
        for one of another space, UsageError in a catalog that is in a trained space."""
        from recq.index.candidates import TrainedSpace

        if self.trained is not None:
            raise UsageError(
                f"catalog {self.name!r} is in a trained space already, {self.trained.candidate.name!r}: go back to the "
                f"network's own vectors first, with {command('recq-ingest', 'rollback', catalog=self.name)} or "
                f"{command('recq-ingest', 'rebuild', '--model', self.base.model, catalog=self.name)}"
            )
        found = TrainedSpace(replace(self.candidates.get(candidate), near=()), self.space)
        found.candidate.space(self.space)
        return found

    @classmethod
    def _next(cls, current: Catalog, space: EmbeddingSpace, trained: TrainedSpace | None = None) -> Catalog:
        """The collection of another space, which has the catalog's sources."""
        client, name = current._client, current.name
        if current.space.fingerprint == space.fingerprint:
            raise UsageError(f"catalog {name!r} already uses {space.label}: there is nothing to rebuild")
        catalog = cls(client, name, collection_name(name, space), space)
        info = client.get_collection(current._collection)
        placement, quantised = Placement.of(info), Quantised.of(info)
        if quantised is not None:
            quantised = quantised.elsewhere
        create_collection(client, catalog._collection, space, _records(trained), placement, quantised)
        upgrade_collection(client, catalog._collection)  # it may have been kept since an older recq
        catalog._take_sources_of(current)
        catalog.predicting.choose(current.predicting.all())
        return catalog

    def fill_from(self, old: Catalog, projection: Projection, asking: Asking) -> Iterator[int]:
        """Make the items equal to those of `old`, with its vectors put through `projection` (`recq.index.projecting`).

        Each request goes through `asking`. Gives the number of items of each page that was looked at.
        """
        from recq.index.projecting import Projecting

        return Projecting(old._points, self._points, self.writes, projection, asking).run()

    @translated
    def finish_rebuild(self) -> None:
        """Move the alias to this collection in one step. The one that has answered until now is kept (`rollback`).

        What was kept before is deleted, as is what an earlier rebuild left when it was killed.
        """
        before = behind(self._client, self.name)
        if before is not None and before != self._collection:
            note_previous(self._client, self._collection, before, _now())
        self._point_alias(before)
        kept = previous(self._client, self._collection)
        for other in others(self._client, self.name, self._collection):
            if kept is None or other != kept[0]:
                self._client.delete_collection(other)

    @classmethod
    @translated
    def rollback(cls, client: QdrantClient, name: str) -> Catalog:
        """The catalog as it was before the last rebuild: the alias moves back in one step.

        What has answered until now is kept in its turn, so that the next one undoes this. Sources, decisions, tags and
        what is predicted are as they are today; files that have changed since are found by the next comparison. Raises
        TargetNotFound where nothing is kept.
        """
        current = cls.open(client, name)
        catalog = cls._kept(current)
        note_previous(client, catalog._collection, current._collection, _now())
        catalog._point_alias(current._collection)
        return catalog

    @classmethod
    @translated
    def begin_rollback(cls, client: QdrantClient, name: str) -> Catalog:
        """What the last rebuild replaced, as `_kept`, to be brought up to date before `finish_rebuild`.

        Raises TargetNotFound where nothing is kept.
        """
        catalog = cls._kept(cls.open(client, name))
        upgrade_collection(client, catalog._collection)
        return catalog

    @classmethod
    def _kept(cls, current: Catalog) -> Catalog:
        """The kept collection, with the sources and predicted fields of today. Raises TargetNotFound where nothing is
        kept."""
        client, name = current._client, current.name
        kept = previous(client, current._collection)
        if kept is None:
            raise TargetNotFound(
                f"catalog {name!r} has nothing to go back to: it was not rebuilt, or what was kept of it was pruned"
            )
        catalog = cls(client, name, kept[0], stored_space(client, kept[0]))
        catalog._take_sources_of(current)
        catalog.predicting.choose(current.predicting.all())
        return catalog

    def _point_alias(self, before: str | None) -> None:
        """Move the alias from the collection `before`, with what people gave until then; what that one was to be moved
        to is forgotten in both."""
        forgotten = {NEXT_KEY: None}
        self._client.update_collection(self._collection, metadata=forgotten)  # it may have been left when it was kept
        if before is not None:
            self._take_what_people_gave(before)  # at the last moment: what comes between is lost
        point_alias(self._client, self.name, self._collection)
        if before is not None:
            self._client.update_collection(before, metadata=forgotten)

    @translated
    def note_next(self, wanted: Mapping[str, Any] | None) -> None:
        """Note what a daemon moves the catalog to, so that the next one goes on with it; None: nothing any more."""
        self._client.update_collection(self._collection, metadata={NEXT_KEY: wanted})

    @translated
    def next(self) -> Mapping[str, Any] | None:
        """What `note_next` noted."""
        return (self._client.get_collection(self._collection).config.metadata or {}).get(NEXT_KEY)

    @translated
    def remove_what_has_gone_from(self, old: Catalog, asking: Asking) -> None:
        """Delete the items that `old` does not have, each request through `asking`: they have gone since."""
        from recq.index.projecting import remove_gone

        remove_gone(old._points, self._points, self.writes, asking)

    @translated
    def abandon(self) -> None:
        """Delete this collection, which a rebuild has begun, unless it answers or is kept."""
        current = behind(self._client, self.name)
        kept = None if current is None else previous(self._client, current)
        if self._collection != current and (kept is None or kept[0] != self._collection):
            self._client.delete_collection(self._collection)

    @translated
    def is_being_indexed(self) -> bool:
        """Whether the engine is still making graphs of vectors, without which a server compares them one by one."""
        return self._client.get_collection(self._collection).status == models.CollectionStatus.YELLOW

    def _take_sources_of(self, current: Catalog) -> None:
        """Have the sources of another collection of the catalog: those that it has no more are forgotten here, too."""
        sources = current.sources.all()
        for name in self.sources.all():
            if name not in sources:
                self.drop_source(name)
        for source in sources.values():
            self.sources.write(source)

    def _take_what_people_gave(self, collection: str) -> None:
        """Have the decisions and tags of another collection of the catalog, and no others, in one write."""
        mine, theirs = (
            self._client.get_collection(each).config.metadata or {} for each in (self._collection, collection)
        )
        keys = [key for key in {**mine, **theirs} if key.startswith(_GIVEN) and mine.get(key) != theirs.get(key)]
        if keys:
            self._client.update_collection(self._collection, metadata={key: theirs.get(key) for key in keys})

    def other_names(self) -> tuple[str, ...]:
        """Other aliases of the catalog's collection, which other programs may use."""
        return holdings(self._client, self.name).also

    @translated
    def take_name(self, name: str) -> bool:
        """Let another alias name the collection as well; False where that name is taken."""
        if behind(self._client, name) is not None or self._client.collection_exists(name):
            return behind(self._client, name) == self._collection
        made = models.CreateAlias(collection_name=self._collection, alias_name=name)
        self._client.update_collection_aliases([models.CreateAliasOperation(create_alias=made)])
        return True

    def kept(self) -> Kept | None:
        """The collection that the last rebuild replaced, while it is kept."""
        return kept(self._client, self.name)

    @translated
    def upgrade(self) -> int | None:
        """Upgrade an index that an older recq made. Returns its old schema version, None where it was up to date."""
        return upgrade_collection(self._client, self._collection)

    @translated
    def still_current(self) -> bool:
        """False once the alias names another collection: the catalog was rebuilt."""
        return behind(self._client, self.name) == self._collection

    @translated
    def exists(self) -> bool:
        """False once the catalog no longer exists: its collection or its alias was deleted."""
        return behind(self._client, self.name) is not None

    @translated
    def background(self) -> Background | None:
        """How alike random pairs of items are now, the scale of scores; None where there are too few items."""
        better = self.space.higher_is_better
        return background.current(self._client, self._collection, higher_is_better=better, serves=0.0)

    @translated
    def background_at_opening(self) -> Background | None:
        """The scale of scores as the collection was when the catalog was opened, or lately: for a question, which opens
        it."""
        if self._background is None:
            better = self.space.higher_is_better
            self._background = background.current(
                self._client, self._collection, higher_is_better=better, info=self._at_opening
            )
        return self._background

    def sources_at_opening(self) -> Mapping[str, Source]:
        """`sources.all()` when the catalog was opened: for a question, which opens it."""
        info = self._at_opening
        if info is None:
            return self.sources.all()
        if self._sources is None:
            self._sources = sources_in(info.config.metadata or {})
        return self._sources

    @translated
    def in_graphs(self) -> int:
        """To how many vectors a graph leads: 0 where the engine compares all that match."""
        return self._client.get_collection(self._collection).indexed_vectors_count or 0

    @translated
    def drop_source(self, name: str) -> int:
        """Delete a source's points and its record. Returns the number of points.

        With the last source the fields are deleted as well: the next metadata decides their types.
        """
        condition = within(models.Filter(), name)
        dropped = self._points.count(condition)
        items = self.ledger.scan(name)
        while self.changes.known and (page := [item.gone() for item in islice(items, _REMOVED_AT_ONCE)]):
            self.writes.remove(page)
        self._client.delete(self._collection, points_selector=models.FilterSelector(filter=condition), wait=True)
        self.parts.forget(name, [each.part for each in self.parts.all(name)])
        self.problems.forget(name)
        self.sources.forget(name)  # last: while it is recorded, an interrupted removal can be repeated
        if not self.sources.all():
            self.fields.forget()
        return dropped


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _records(trained: TrainedSpace | None) -> dict[str, Any]:
    """The metadata that a collection in a trained space has from its first moment on."""
    if trained is None:
        return {}
    from recq.index.candidates import TRAINED_KEY

    return {TRAINED_KEY: trained.to_json()}
