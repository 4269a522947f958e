"""Commit, the last stage: one waited write per batch, of the items whose files are still as they were read.

Runs in workers, one for each source, so that a disk that hangs holds up no other source. Metadata is read from the
folder at the last moment. An item keeps metadata that it would lose until all losses have been judged together
(`reduce`). An item that has moved keeps what it had at its old path in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from ingest.events.pending import PendingPath
from ingest.index.isolation import Isolation, declare_each
from ingest.index.predictions import Attached, ItemRead, Predictions, Refreshed
from ingest.index.retrying import Retrier
from ingest.index.size import embedded_in
from ingest.pipeline.found_problems import problems_kept
from ingest.pipeline.last_look import last_look
from ingest.pipeline.vectors import Vector
from ingest.reconcile.origins import Holders, origins
from ingest.source.files import FileState, Key
from ingest.source.held import Held, Losing
from ingest.source.metadata import CATEGORY, category_of
from ingest.source.watched_source import Description, WatchedSource
from recq import paths
from recq.errors import ImageError, Reason, RecqError
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.problems import Problem, ProblemKind, few
from recq.index.schema import FieldType, Item, ItemError, Metadata, Value
from recq.models.embedder import Pass
from recq.paths import printable

_DESCRIBED_AT_ONCE = 100  # items whose fields are declared together


@dataclass(frozen=True, eq=False)
class Work:
    """An item on its way to the index. It has no metadata yet, and no vector exactly when `item.error` is set.

    `state` is the file's when it was read. `carried`: the vector was not computed for this file. `known`: the index has
    the item already. `attempt`: how often it was tried to embed the item since it was last searchable, this one
    included. `read`: all that the network gave, where a predictor needs it.
    """

    entry: PendingPath
    item: Item
    vector: Vector | None
    state: FileState
    carried: bool
    known: bool = False
    attempt: int = 1
    read: Pass | None = None

    @property
    def key(self) -> Key:
        """The path."""
        return self.entry.key


@dataclass(frozen=True, eq=False)
class Reread:
    """An item whose picture was read again for what is predicted of it: as the index had it, with what was found.
    `described`: its metadata is the folder's."""

    entry: PendingPath
    found: ItemRead
    described: bool


@dataclass(frozen=True, eq=False)
class Touched:
    """An item whose ctime has changed and whose bytes have not. `state` is the file's when it was read."""

    entry: PendingPath
    item_id: str
    state: FileState


@dataclass(frozen=True)
class _Described:
    """An item with its present metadata, the same item with all of `lost` kept, and the fields that it loses."""

    now: Item
    kept: Item
    lost: Sequence[str]


@dataclass(frozen=True)
class Written:
    """What became of a batch: written; to be looked at `again`, since the file changed; refused by the index in every
    form, with the reason.

    An item that was written may have failed, or lack some of its metadata: the item itself has that. `losing` are those
    that were written with metadata that the folder no longer gives them.
    """

    done: Sequence[Work]
    again: Sequence[Work]
    refused: Sequence[tuple[Work, ItemError]]
    losing: Sequence[Losing] = ()


@dataclass(frozen=True)
class Replaced:
    """Items that were written with new metadata, items that the index refused in every form, and items that would be
    `losing` metadata and were left as they are."""

    done: Sequence[Item]
    refused: Sequence[tuple[Item, str]]
    losing: Sequence[Losing] = ()


class Stored(Holders, Protocol):
    """What the committer asks the index before it writes."""

    def get_many(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, metadata included."""


class Committer:
    """Writes to one catalog, and repeats a request while the index is away.

    `index` tells what is stored. With `rebuilding` it also tells what the collection to be replaced stores, which must
    not be lost either. `predictions` are attached to all that is written.
    """

    def __init__(
        self,
        catalog: Catalog,
        retrier: Retrier,
        sources: Mapping[str, WatchedSource],
        index: Stored,
        *,
        rebuilding: bool = False,
        predictions: Predictions,
    ) -> None:
        self._catalog = catalog
        self._rebuilding = rebuilding
        self._index = index
        self._retrier = retrier
        self._sources = sources
        self._predictions = predictions
        self._writing = self._predictions.writing  # one thread at a time declares fields
        self._isolation = Isolation(retrier, catalog.writes.probe)
        self._refusals: Counter[Key] = Counter()  # in a row

    def adopt(self) -> None:
        """Its collection is the catalog's from now on."""
        self._rebuilding = False

    def declare(self, types: Mapping[str, FieldType]) -> None:
        """Fix the types of a table's columns before the first of its values is written."""
        with self._writing:
            declare_each(self._catalog, self._isolation, types)

    def write(self, works: Sequence[Work]) -> Written:
        """One waited upsert of the items whose files are still as they were read; `ingested_at` is now."""
        with problems_kept(self._sources, self._catalog, self._retrier):
            return self._write(works)

    def _write(self, works: Sequence[Work]) -> Written:
        current: list[Work] = []
        again: list[Work] = []
        for work in works:
            if self._last_look(work.key) == work.state:
                current.append(work)
            else:
                again.append(work)
        known = current if self._rebuilding else [work for work in current if work.known]
        stored = self._stored([work.item.id for work in known])
        before = {**self._moved_metadata(current), **{id_: item.metadata for id_, item in stored.items()}}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        stamped: list[Work] = []
        losing: dict[Key, Item] = {}
        for work in current:
            described = self._described(work.key, work.item, before.get(work.item.id, {}), ingested_at=now)
            stamped.append(_of(work, _carrying_stamp(described.kept, stored.get(work.item.id))))
            if described.lost:
                losing[work.key] = described.kept
        attached = self._predictions.of_new([ItemRead(work.item, work.vector, work.read) for work in stamped])
        with self._writing:
            done, refused = self._written(stamped, attached)
        self._predictions.written([(work.item, work.vector) for work in done])
        return Written(done, again, refused, [(work.key, losing[work.key]) for work in done if work.key in losing])

    def _written(
        self, stamped: Sequence[Work], attached: Attached
    ) -> tuple[Sequence[Work], Sequence[tuple[Work, ItemError]]]:
        """What the index has now of these, in the best form that it takes, and what it takes in no form."""
        self._declare_known([work.item for work in stamped])
        items = self._predictions.current(attached)
        stamped = [_of(work, item) for work, item in zip(stamped, items, strict=True)]
        written = self._isolation.each(self._upsert, stamped)
        done = list(written.done)
        refused: list[tuple[Work, ItemError]] = []
        for work, error in written.refused:
            settled = self._settled(work, error)
            if settled is None:
                refused.append((work, self._error(work, error)))
                self._sources[work.key.source].note_refusal(work.item.file.path, str(error))
            else:
                done.append(settled)
        for work in done:
            self._sources[work.key.source].clear_refusal(work.item.file.path)
            if work.item.error is None or work.item.error.reason != Reason.REFUSED:
                self._refusals.pop(work.key, None)
        return done, refused

    def replace(self, items: Sequence[tuple[Key, Item]]) -> Replaced:
        """Give known items their present metadata; vectors and the facts of files stay.

        An item that would lose metadata is left as it is until its loss is judged. Where losses are held, it gets what
        is new and keeps the rest.
        """
        before = self._metadata([item.id for _, item in items])
        fresh: list[Item] = []
        losing: list[Losing] = []
        for key, item in items:
            stored = before.get(item.id, {})
            described = self._described(key, item, stored)
            if described.lost and not self._sources[key.source].losses.held:
                losing.append((key, item))
            elif not described.lost or self._differs(key, described.kept, stored):
                fresh.append(described.kept)
        return replace(self._replaced(fresh), losing=losing)

    def _replaced(self, fresh: Sequence[Item]) -> Replaced:
        """Write the metadata of items, of each as much as the index takes."""
        with problems_kept(self._sources, self._catalog, self._retrier), self._writing:
            self._declare_known(fresh)
            fresh = self._predictions.kept(fresh)
            written = self._isolation.each(self._catalog.writes.replace_metadata, fresh)
            done = list(written.done)
            refused: list[tuple[Item, str]] = []
            for item, error in written.refused:
                kept = self._without_blamed(item, error, lambda each: self._catalog.writes.replace_metadata([each]))
                if kept is None:
                    refused.append((item, str(error)))
                    self._sources[item.file.source].note_refusal(item.file.path, f"its metadata: {error}")
                else:
                    done.append(kept)
            for item in done:
                self._sources[item.file.source].clear_refusal(item.file.path)
        self._predictions.written([(item, None) for item in done])
        return Replaced(done, refused)

    def predict(self, reread: Sequence[Reread]) -> Sequence[Refreshed]:
        """Write what is predicted of items whose pictures were read for it; of each field what was done."""
        return self._predictions.read_again([each.found for each in reread])

    def reduce(self, items: Sequence[Losing]) -> tuple[Replaced, Sequence[Held]]:
        """Let items lose metadata that the folder no longer gives, or hold a source's losses where they are too many.

        Returns what was written and what was held. An item whose loss is held gets what is new and keeps the rest.
        Where the losses of a source are held already, further ones are held without another report, until a comparison
        decides otherwise.
        """
        before = self._metadata([item.id for _, item in items])
        fresh: list[Item] = []
        held: list[Held] = []
        for name in sorted({key.source for key, _ in items}):
            watched = self._sources[name]
            own = [(key, item) for key, item in items if key.source == name]
            described = {key: self._described(key, item, before.get(item.id, {})) for key, item in own}
            losing = [key for key, each in described.items() if each.lost]
            if len(losing) > watched.losses.left:
                count = self._retrier(embedded_in, self._catalog, name, watched.part)
                watched.losses.grown(count - len(losing))  # where they have moved from may still be counted, too
            taken = not (losing and watched.losses.held) and watched.losses.takes(len(losing))
            if taken:
                fresh += [each.now for each in described.values()]
            else:
                fresh += [
                    each.kept
                    for key, each in described.items()
                    if self._differs(key, each.kept, before.get(each.kept.id, {}))
                ]
            if not taken and not watched.losses.held:
                watched.losses.hold()
                first = paths.to_text(losing[0].path)[0]
                detail = watched.hold_metadata(watched.held_metadata + len(losing), first, described[losing[0]].lost)
                held.append(Held(name, len(losing), detail, metadata=True))
        chunks = [fresh[start : start + _DESCRIBED_AT_ONCE] for start in range(0, len(fresh), _DESCRIBED_AT_ONCE)]
        written = [self._replaced(chunk) for chunk in chunks]
        done = [item for chunk in written for item in chunk.done]
        return Replaced(done, [pair for chunk in written for pair in chunk.refused]), held

    def _moved_metadata(self, works: Sequence[Work]) -> Mapping[str, Metadata]:
        """The metadata that items had at their old paths, by their new ids: renaming a folder must not lose it.

        A category that came from the old path alone is left out. Where several old paths are equally likely and had
        different metadata, nothing is taken over: no metadata is better than another picture's.
        """
        files = [work.item.file for work in works if work.carried and not work.known and work.item.file.sha256]
        found = origins(files, self._index, lambda key: self._last_look(key) is None) if files else {}
        stored = self._metadata([item.id for items in found.values() for item in items])
        moved: dict[str, Metadata] = {}
        for item_id, items in found.items():
            first, *others = [_without_category(stored.get(item.id, {}), item.file.path) for item in items]
            if all(other == first for other in others):
                moved[item_id] = first
        return moved

    def _metadata(self, ids: Sequence[str]) -> Mapping[str, Metadata]:
        """The metadata of those items that exist."""
        return {item_id: item.metadata for item_id, item in self._stored(ids).items()}

    def _stored(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """Those items that exist."""
        return self._index.get_many(ids) if ids else {}

    def keep_ctimes(self, touched: Sequence[Touched]) -> Sequence[Touched]:
        """Note the ctimes of files that still stand as they were read. Returns the others."""
        again = [each for each in touched if self._last_look(each.entry.key) != each.state]
        left = [each for each in touched if each not in again]
        ctimes = {each.item_id: each.state.ctime_ns for each in left if each.state.ctime_ns is not None}
        self._isolation.each(lambda some: self._catalog.ledger.keep_ctimes(dict(some)), list(ctimes.items()))
        return again

    def _last_look(self, key: Key) -> FileState | None:
        return last_look(self._sources[key.source], key.path)

    def _upsert(self, works: Sequence[Work]) -> None:
        self._catalog.writes.upsert([ItemVector(work.item, work.vector) for work in works])

    def _settled(self, work: Work, error: RecqError) -> Work | None:
        """Write a refused item in the best form that the index takes; None when it takes none.

        That is without the metadata that is to blame, else as a failed item, which is listed with the reason.
        """
        if isinstance(error, ImageError):
            failure = failed(error.reason, error.detail, work.attempt)
            work = replace(work, item=replace(work.item, error=failure), vector=None)
            refusal = self._isolation.refusal(self._upsert, [work])
            if refusal is None:
                return work
            error = refusal

        def send(item: Item) -> None:
            self._upsert([replace(work, item=item)])

        kept = self._without_blamed(work.item, error, send)
        if kept is not None:
            return replace(work, item=kept)
        self._refusals[work.key] += 1
        bare = replace(work, item=replace(work.item, metadata={}, error=self._error(work, error)), vector=None)
        return bare if self._isolation.refusal(self._upsert, [bare]) is None else None

    def _error(self, work: Work, error: RecqError) -> ItemError:
        """The error of an item that the index refused, with how many times in a row it did."""
        return failed(Reason.REFUSED, str(error), max(work.attempt, self._refusals[work.key]))

    def _without_blamed(self, item: Item, error: RecqError, send: Callable[[Item], None]) -> Item | None:
        """Write a refused item without the metadata that is to blame; None where metadata is not the cause.

        The fields to blame are found by writing the item with more and more of them: only the index knows.
        """

        def form(metadata: Metadata) -> Item:
            left_out = [name for name in item.metadata if name not in metadata]
            return replace(item, metadata=metadata, problems=few([*item.problems, *_refused_fields(left_out, error)]))

        def takes(metadata: Metadata) -> bool:
            return self._isolation.refusal(lambda items: send(items[0]), [form(metadata)]) is None

        if not item.metadata or not takes({}):
            return None
        kept: dict[str, Value] = {}

        def add(fields: Sequence[tuple[str, Value]]) -> None:
            if len(fields) > 1:
                middle = len(fields) // 2
                for half in (fields[:middle], fields[middle:]):
                    if takes({**kept, **dict(half)}):
                        kept.update(half)
                    else:
                        add(half)

        add(list(item.metadata.items()))
        if not takes(kept):  # the form that was written last may not be the best one
            kept = {}
            takes(kept)
        return form(kept)

    def _described(self, key: Key, item: Item, before: Metadata, ingested_at: str | None = None) -> _Described:
        """The item as the folder describes it now, from one reading, without and with what it would lose of `before`.

        Without `ingested_at` the item keeps its own.
        """
        watched = self._sources[key.source]
        description = watched.describe(key.path, before)
        lost = watched.lost(item.file.path, before, description.metadata)

        def described(by: Description) -> Item:
            file = replace(item.file, metadata_digest=by.digest, ingested_at=ingested_at or item.file.ingested_at)
            return replace(item, file=file, metadata=by.metadata, problems=by.problems)

        now = described(description)
        return _Described(now, described(description.keeping(before, lost)) if lost else now, lost)

    def _differs(self, key: Key, item: Item, stored: Metadata) -> bool:
        """Whether an item has other metadata than are stored of it."""
        return self._sources[key.source].as_stored(item.metadata) != stored

    def _declare_known(self, items: Sequence[Item]) -> None:
        """Fix the types of fields that do not depend on their first values, before the first value is written.

        A category is text, whatever it looks like: folders named 2023 and 2024 are not numbers. Other types are those
        that sources of metadata declare.
        """
        known: dict[str, FieldType] = {}
        for name in {item.file.source for item in items}:
            known |= self._sources[name].field_types
        if any(isinstance(item.metadata.get(CATEGORY), str) for item in items):
            known[CATEGORY] = FieldType.STRING
        if types := {name: kind for name, kind in known.items() if any(name in item.metadata for item in items)}:
            self.declare(types)


def _of(work: Work, item: Item) -> Work:
    return work if item is work.item else replace(work, item=item)


def failed(reason: Reason, detail: str, attempt: int) -> ItemError:
    """Why an item has no vector now; `attempt` is `Work.attempt`, which decides how long the next attempt waits."""
    return ItemError(reason, detail, datetime.now(UTC).isoformat(timespec="milliseconds"), attempt)


def _carrying_stamp(item: Item, stored: Item | None) -> Item:
    """The item with the stamp of what is stored of it, where its bytes were searchable already: they are not new."""
    if stored is None or item.error is not None or stored.error is not None or item.file.sha256 != stored.file.sha256:
        return item
    return replace(item, stamp=stored.stamp)


def attempt_after(known: Item | None) -> int:
    """The number of the next attempt to embed an item, from what the index has of it."""
    return 1 if known is None or known.error is None else 1 + known.error.attempts


def _without_category(metadata: Metadata, path: str) -> Metadata:
    """Metadata without a category that came from the path alone."""
    return {name: value for name, value in metadata.items() if name != CATEGORY or value != category_of(path)}


def _refused_fields(names: Sequence[str], error: RecqError) -> list[Problem]:
    """One for each field that is left out of an item because the index refused it."""
    why = f"is refused by the index ({error}); the picture is without it"
    return [Problem(ProblemKind.REFUSED, f"field '{printable(name)}' {why}", field=name) for name in names]
