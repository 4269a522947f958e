"""The end of the road: one waited write per batch, and only of what still stands in the folder as it was read.

Runs in workers, one for each source: what touches a source's disk holds up no other. Metadata is taken from the folder
at the last moment. What an item would lose by that it keeps, until all that lose
something have been judged together (`reduce`); so does one that has moved, of what it had in its old place.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from ingest.events.pending import PendingPath
from ingest.index.isolation import Isolation, declare_each
from ingest.index.retrying import Retrier
from ingest.pipeline.last_look import last_look
from ingest.pipeline.refusals import refusals_kept
from ingest.pipeline.vectors import Vector
from ingest.reconcile.origins import Holders, origins
from ingest.source.files import FileState, Key
from ingest.source.metadata import CATEGORY, category_of, lost_fields
from ingest.source.watched_source import Description, WatchedSource
from recq import paths
from recq.errors import ImageError, Reason, RecqError
from recq.index.catalog import Catalog
from recq.index.points import ItemVector
from recq.index.problems import Problem, ProblemKind, few
from recq.index.schema import FieldType, Item, ItemError, Metadata, Value
from recq.paths import printable

_DESCRIBED_AT_ONCE = 100  # items whose fields are declared together


@dataclass(frozen=True, eq=False)
class Work:
    """An item on its way: without metadata, which comes last; no vector exactly when `item.error` is set.

    `state` is the file's as it was read, `carried` tells that the vector was not computed for it, `known` that the
    index had the item before, `attempt` which one this is to embed it, counting from one since it last could be found.
    """

    entry: PendingPath
    item: Item
    vector: Vector | None
    state: FileState
    carried: bool
    known: bool = False
    attempt: int = 1

    @property
    def key(self) -> Key:
        """The path."""
        return self.entry.key


@dataclass(frozen=True, eq=False)
class Touched:
    """An item whose bytes are the known ones although its ctime is another: `state` is the file's as it was read."""

    entry: PendingPath
    item_id: str
    state: FileState


@dataclass(frozen=True)
class Held:
    """So many items of a source have gone and stay in the index, or keep metadata, for the reason in `detail`.

    `hinted`: events reported some of them, which no comparison has judged.
    """

    source: str
    items: int
    detail: str
    metadata: bool = False
    hinted: bool = False


@dataclass(frozen=True)
class _Described:
    """An item with the metadata of now, the same with all of `lost` kept, and the fields that it loses."""

    now: Item
    kept: Item
    lost: Sequence[str]


Losing = tuple[Key, Item]
"""An item that would lose metadata, as the index has it (its file's facts alone count)."""


@dataclass(frozen=True)
class Written:
    """What became of a batch: written, changed meanwhile (look again), and refused by the index in every form (why).

    What was written may have failed meanwhile, or be without some of its metadata: the item tells. Of those written,
    `losing` have been written with metadata that the folder does not give them any more.
    """

    done: Sequence[Work]
    again: Sequence[Work]
    refused: Sequence[tuple[Work, ItemError]]
    losing: Sequence[Losing] = ()


@dataclass(frozen=True)
class Replaced:
    """Items with new metadata as they were written, those that the index refused in every form, and those that would
    be `losing` metadata and were left as they are."""

    done: Sequence[Item]
    refused: Sequence[tuple[Item, str]]
    losing: Sequence[Losing] = ()


class Stored(Holders, Protocol):
    """What is asked of the index before something is written or deleted."""

    def get_many(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """The items of those ids that exist, metadata included."""


class Committer:
    """Writes to one catalog, again while the index is away.

    `index` tells what is stored; with `rebuilding` also in the collection that is to be replaced: that must not be lost
    either.
    """

    def __init__(
        self,
        catalog: Catalog,
        retrier: Retrier,
        sources: Mapping[str, WatchedSource],
        index: Stored,
        *,
        rebuilding: bool = False,
    ) -> None:
        self._catalog = catalog
        self._rebuilding = rebuilding
        self._index = index
        self._retrier = retrier
        self._sources = sources
        self._writing = threading.RLock()  # fields are declared by one at a time; never held while a disk is asked
        self._isolation = Isolation(retrier, catalog.writes.probe)
        self._refusals: Counter[Key] = Counter()  # in a row

    def declare(self, types: Mapping[str, FieldType]) -> None:
        """Fix the types of a table's columns before the first of its values is written."""
        with self._writing:
            declare_each(self._catalog, self._isolation, types)

    def write(self, works: Sequence[Work]) -> Written:
        """One waited upsert of all that still stand as they were read; `ingested_at` is now."""
        with refusals_kept(self._sources, self._catalog, self._retrier):
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
        before = {**self._moved_metadata(current), **self._metadata([work.item.id for work in known])}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        stamped: list[Work] = []
        losing: dict[Key, Item] = {}
        for work in current:
            described = self._described(work.key, work.item, before.get(work.item.id, {}), ingested_at=now)
            stamped.append(replace(work, item=described.kept))
            if described.lost:
                losing[work.key] = described.kept
        with self._writing:
            done, refused = self._written(stamped)
        return Written(done, again, refused, [(work.key, losing[work.key]) for work in done if work.key in losing])

    def _written(self, stamped: Sequence[Work]) -> tuple[Sequence[Work], Sequence[tuple[Work, ItemError]]]:
        """What of these the index has now, in the best form that it takes, and what it takes in none."""
        self._declare_known([work.item for work in stamped])
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
        """Give items that the index has the metadata of now; vectors and file facts stay.

        An item that would lose metadata is left as it is until that is judged; where losses are held it gets what is
        new, and keeps the rest.
        """
        before = self._metadata([item.id for _, item in items])
        fresh: list[Item] = []
        losing: list[Losing] = []
        for key, item in items:
            stored = before.get(item.id, {})
            described = self._described(key, item, stored)
            if described.lost and not self._sources[key.source].losses.held:
                losing.append((key, item))
            elif not described.lost or described.kept.metadata != stored:
                fresh.append(described.kept)
        return replace(self._replaced(fresh), losing=losing)

    def _replaced(self, fresh: Sequence[Item]) -> Replaced:
        """Write the metadata of items, of each as much as the index takes."""
        with refusals_kept(self._sources, self._catalog, self._retrier), self._writing:
            self._declare_known(fresh)
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
            return Replaced(done, refused)

    def reduce(self, items: Sequence[Losing]) -> tuple[Replaced, Sequence[Held]]:
        """Let items lose what the folder does not give them any more, or none of a source where they are too many.

        Returns what was written, and what was held: that gets what is new, and keeps the rest. What is held already
        (an event may bring some of it here again) is held without another word, until a comparison finds otherwise.
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
                count = self._retrier(partial(self._catalog.items.count, source=name))
                watched.losses.grown(count - len(losing))  # where they have moved from may still be counted, too
            taken = not (losing and watched.losses.held) and watched.losses.takes(len(losing))
            if taken:
                fresh += [each.now for each in described.values()]
            else:
                fresh += [each.kept for each in described.values() if each.kept.metadata != before.get(each.kept.id)]
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
        """What items had where they were before, by their new id: a folder that was renamed may not cost it.

        The category that the old place alone gave goes with that place. Places that are equally likely and had
        different metadata tell nothing: better none than another picture's.
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
        """What is stored of those items that exist."""
        stored = self._index.get_many(ids) if ids else {}
        return {item_id: item.metadata for item_id, item in stored.items()}

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
        """Write what the index would not take as it is in the best form that it takes; None when it takes none.

        Without the metadata that is to blame, else as a failed item: whoever looks for it finds out why.
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
        """Why an item is none that can be found: the index refused it, so many times in a row."""
        return failed(Reason.REFUSED, str(error), max(work.attempt, self._refusals[work.key]))

    def _without_blamed(self, item: Item, error: RecqError, send: Callable[[Item], None]) -> Item | None:
        """Write an item that was refused without the metadata that is to blame; None where that is not the cause.

        Which fields these are is found by writing it with more and more of them: the index alone knows.
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
        if not takes(kept):  # the last one that it took may not have been the best
            kept = {}
            takes(kept)
        return form(kept)

    def _described(self, key: Key, item: Item, before: Metadata, ingested_at: str | None = None) -> _Described:
        """The item as the folder describes it now, from one reading, without and with what it would lose of `before`.

        `ingested_at` stays what it was where none is given.
        """
        description = self._sources[key.source].describe(key.path, before)
        lost = lost_fields(item.file.path, before, description.metadata)

        def described(by: Description) -> Item:
            file = replace(item.file, metadata_digest=by.digest, ingested_at=ingested_at or item.file.ingested_at)
            return replace(item, file=file, metadata=by.metadata, problems=by.problems)

        now = described(description)
        return _Described(now, described(description.keeping(before, lost)) if lost else now, lost)

    def _declare_known(self, items: Sequence[Item]) -> None:
        """Fix the types of fields that are no matter of their first values, before the first is written.

        A category is a word, whatever it looks like: folders named 2023 and 2024 are no numbers. Of others their source
        knows.
        """
        known: dict[str, FieldType] = {}
        for name in {item.file.source for item in items}:
            known |= self._sources[name].field_types
        if any(isinstance(item.metadata.get(CATEGORY), str) for item in items):
            known[CATEGORY] = FieldType.STRING
        if types := {name: kind for name, kind in known.items() if any(name in item.metadata for item in items)}:
            self.declare(types)


def failed(reason: Reason, detail: str, attempt: int) -> ItemError:
    """Why an item has no vector as of now; `attempt` is `Work.attempt`: how long the next one waits depends on it."""
    return ItemError(reason, detail, datetime.now(UTC).isoformat(timespec="milliseconds"), attempt)


def attempt_after(known: Item | None) -> int:
    """Which attempt to embed an item the next one is, by what the index has of it."""
    return 1 if known is None or known.error is None else 1 + known.error.attempts


def _without_category(metadata: Metadata, path: str) -> Metadata:
    """Metadata without the category that the place alone gave."""
    return {name: value for name, value in metadata.items() if name != CATEGORY or value != category_of(path)}


def _refused_fields(names: Sequence[str], error: RecqError) -> list[Problem]:
    """One for each field that an item is without since the index refused it."""
    why = f"is refused by the index ({error}); the picture is without it"
    return [Problem(ProblemKind.REFUSED, f"field '{printable(name)}' {why}", field=name) for name in names]
