"""The end of the road: one waited write per batch, and only of what still stands in the folder as it was read.

Runs in the commit worker. Metadata is taken from the folder at the last moment; deletions are checked once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from ingest.files import FileState, Key
from ingest.guard import emptied, too_many
from ingest.isolation import Isolation
from ingest.metadata import CATEGORY
from ingest.patience import Patience
from ingest.pending import Entry as Waiting
from ingest.scan import Rules, look
from ingest.survivors import Holders, Survivors
from ingest.vectors import Vector
from ingest.watched import Watched
from recq.errors import ImageError, Reason, RecqError
from recq.index.catalog import Catalog, Entry
from recq.index.problems import Problem, ProblemKind, few
from recq.index.schema import FieldType, FieldTypes, Item, ItemError, Metadata, Value
from recq.paths import printable, to_text

_DELETED_AT_ONCE = 500  # points in one request


@dataclass(frozen=True, eq=False)
class Work:
    """An item on its way: without metadata, which comes last; no vector exactly when `item.error` is set.

    `state` is the file's as it was read, `carried` tells that the vector was not computed for it.
    """

    entry: Waiting
    item: Item
    vector: Vector | None
    state: FileState
    carried: bool

    @property
    def key(self) -> Key:
        """The path."""
        return self.entry.key


@dataclass(frozen=True)
class Removal:
    """A point that has to go: nothing stands at its path, or in `state` something that is no item.

    `witnessed`: the kernel itself reported the removal. `size` is the item's, `sha256` too (None: it had failed).
    """

    key: Key
    item_id: str
    size: int
    state: FileState | None
    witnessed: bool
    sha256: str | None = None


@dataclass(frozen=True)
class Held:
    """So many items of a source have gone and stay in the index, for the reason in `detail`."""

    source: str
    items: int
    detail: str


@dataclass(frozen=True)
class Written:
    """What became of a batch: written, changed meanwhile (look again), and refused by the index in every form (why).

    What was written may have failed meanwhile, or be without some of its metadata: the item tells.
    """

    done: Sequence[Work]
    again: Sequence[Work]
    refused: Sequence[tuple[Work, ItemError]]


@dataclass(frozen=True)
class Replaced:
    """Items with new metadata as they were written, and those that the index refused in every form."""

    done: Sequence[Item]
    refused: Sequence[tuple[Item, str]]


class Committer:
    """Writes to one catalog, with patience. `flush` shortens the embedded engine's journal; None for a server."""

    def __init__(
        self,
        catalog: Catalog,
        patience: Patience,
        sources: Mapping[str, Watched],
        rules: Rules,
        flush: Callable[[], None] | None,
        index: Holders,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._patience = patience
        self._sources = sources
        self._rules = rules
        self._flush = flush
        self._isolation = Isolation(patience, catalog.probe)
        self._refusals: Counter[Key] = Counter()  # in a row

    def declare(self, types: Mapping[str, FieldType]) -> None:
        """Fix the types of a table's columns before the first of its values is written."""
        declare_each(self._catalog, self._patience, types)

    def write(self, works: Sequence[Work]) -> Written:
        """One waited upsert of all that still stand as they were read; `ingested_at` is now."""
        with self._refusals_kept():
            return self._write(works)

    def _write(self, works: Sequence[Work]) -> Written:
        current: list[Work] = []
        again: list[Work] = []
        for work in works:
            if self._state(work.key) == work.state:
                current.append(work)
            else:
                again.append(work)
        stamped = [self._stamped(work) for work in current]
        self._declare_category(stamped)
        written = self._isolation.each(self._upsert, stamped)
        done = list(written.done)
        refused: list[tuple[Work, ItemError]] = []
        for work, error in written.refused:
            settled = self._settled(work, error)
            if settled is None:
                refused.append((work, self._error(work.key, error)))
                self._sources[work.key.source].note_refusal(work.item.file.path, str(error))
            else:
                done.append(settled)
        for work in done:
            self._sources[work.key.source].clear_refusal(work.item.file.path)
            if work.item.error is None or work.item.error.reason != Reason.REFUSED:
                self._refusals.pop(work.key, None)
        return Written(done, again, refused)

    def replace(self, items: Sequence[tuple[Key, Item]]) -> Replaced:
        """Give items that the index has the metadata of now; vectors and file facts stay."""
        with self._refusals_kept():
            return self._replace(items)

    def _replace(self, items: Sequence[tuple[Key, Item]]) -> Replaced:
        fresh = [self._described(key, item) for key, item in items]
        written = self._isolation.each(self._catalog.replace_metadata, fresh)
        done = list(written.done)
        refused: list[tuple[Item, str]] = []
        for item, error in written.refused:
            kept = self._without_blamed(item, error, lambda each: self._catalog.replace_metadata([each]))
            if kept is None:
                refused.append((item, str(error)))
                self._sources[item.file.source].note_refusal(item.file.path, f"its metadata: {error}")
            else:
                done.append(kept)
        for item in done:
            self._sources[item.file.source].clear_refusal(item.file.path)
        return Replaced(done, refused)

    def delete(self, removals: Sequence[Removal]) -> tuple[Sequence[Removal], Sequence[Held]]:
        """Delete what is still as it was. Returns what was deleted, and what was held.

        Held is what has gone with its root, and all that a source has really lost when that is too much at once: bytes
        that are still in the index at another path are not lost.
        """
        deleted: list[Removal] = []
        held: list[Held] = []
        for name in sorted({removal.key.source for removal in removals}):
            watched = self._sources[name]
            trusted = self._trusts(watched)
            gone = [each for each in removals if each.key.source == name and self._state(each.key) == each.state]
            believed = [removal for removal in gone if trusted(removal)]
            if len(believed) < len(gone):
                held.append(Held(name, len(gone) - len(believed), emptied(name, watched.root)))
            spared, lost = self._split(believed)
            deleted += spared
            if len(lost) > watched.guard.left:
                watched.guard.grown(self._patience(partial(self._catalog.count, source=name)))
            if watched.guard.takes(len(lost)):
                deleted += lost
            else:
                held.append(Held(name, len(lost), too_many(name)))
        for chunk in [deleted[start : start + _DELETED_AT_ONCE] for start in range(0, len(deleted), _DELETED_AT_ONCE)]:
            with self._refusals_kept():
                outcome = self._isolation.each(self._delete, chunk)
                for removal in outcome.done:
                    self._sources[removal.key.source].clear_refusal(to_text(removal.key.path)[0])
                for removal, error in outcome.refused:
                    detail = f"it has gone, and cannot be deleted: {error}"
                    self._sources[removal.key.source].note_refusal(to_text(removal.key.path)[0], detail)
                    deleted.remove(removal)
        return deleted, held

    def _split(self, removals: Sequence[Removal]) -> tuple[list[Removal], list[Removal]]:
        """What costs nothing (the same bytes are elsewhere, or it had failed), and what is lost with its item."""
        survivors = Survivors(self._index, self._sources, self._rules)
        spared: list[Removal] = []
        lost: list[Removal] = []
        for start in range(0, len(removals), _DELETED_AT_ONCE):
            chunk = removals[start : start + _DELETED_AT_ONCE]
            living = survivors.among({removal.sha256 for removal in chunk if removal.sha256 is not None})
            for removal in chunk:
                (spared if removal.sha256 is None or removal.sha256 in living else lost).append(removal)
        return spared, lost

    def flush(self) -> None:
        """Make the next opening fast."""
        if self._flush is not None:
            self._flush()

    @contextmanager
    def _refusals_kept(self) -> Iterator[None]:
        """What the index takes in no form can stand in no point: it is kept with the source, as it changes."""
        before = {name: watched.refused for name, watched in self._sources.items()}
        yield
        for name, watched in self._sources.items():
            if watched.refused != before[name]:
                self._patience(self._catalog.record_problems, name, watched.own_problems())

    def _upsert(self, works: Sequence[Work]) -> None:
        self._catalog.upsert([Entry(work.item, work.vector) for work in works])

    def _delete(self, removals: Sequence[Removal]) -> None:
        self._catalog.delete([removal.item_id for removal in removals])

    def _settled(self, work: Work, error: RecqError) -> Work | None:
        """Write what the index would not take as it is in the best form that it takes; None when it takes none.

        Without the metadata that is to blame, else as a failed item: whoever looks for it finds out why.
        """
        if isinstance(error, ImageError):
            work = replace(work, item=replace(work.item, error=_item_error(error.reason, error.detail)), vector=None)
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
        failed = replace(work, item=replace(work.item, metadata={}, error=self._error(work.key, error)), vector=None)
        return failed if self._isolation.refusal(self._upsert, [failed]) is None else None

    def _error(self, key: Key, error: RecqError) -> ItemError:
        """Why an item is none that can be found: the index refused it, so many times in a row."""
        return _item_error(Reason.REFUSED, str(error), attempts=self._refusals[key])

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

    def _stamped(self, work: Work) -> Work:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return replace(work, item=self._described(work.key, work.item, ingested_at=now))

    def _described(self, key: Key, item: Item, ingested_at: str | None = None) -> Item:
        """The item with the metadata of now; `ingested_at` stays what it was where none is given."""
        description = self._sources[key.source].describe(key.path)
        return replace(
            item,
            file=replace(
                item.file,
                metadata_digest=description.digest,
                ingested_at=ingested_at or item.file.ingested_at,
            ),
            metadata=description.metadata,
            problems=description.problems,
        )

    def _declare_category(self, works: Sequence[Work]) -> None:
        """A category is a word, whatever it looks like: folders named 2023 and 2024 are no numbers."""
        if any(isinstance(work.item.metadata.get(CATEGORY), str) for work in works):
            self.declare({CATEGORY: FieldType.STRING})

    def _state(self, key: Key) -> FileState | None:
        try:
            seen = look(self._sources[key.source].root, key.path, self._rules)
        except OSError:
            return FileState(-1, -1)  # something is there, in no state that was ever read
        return seen.state if seen is not None else None

    @staticmethod
    def _trusts(watched: Watched) -> Callable[[Removal], bool]:
        """Whether an absence may be believed: a root that has gone, changed or lost everything has lost no item."""
        same = watched.is_same_root()
        filled = same and (watched.guard.confirmed or watched.has_content())
        return lambda removal: removal.state is not None or (same and (removal.witnessed or filled))


def declare_each(catalog: Catalog, patience: Patience, types: FieldTypes) -> None:
    """Create the payload indexes of fields. One that is refused costs the others nothing, and no start.

    What is wrong with it is found again, and listed, with the first item that has it.
    """
    isolation = Isolation(patience, catalog.probe)
    isolation.each(lambda names: catalog.declare({name: types[name] for name in names}), list(types))


def _item_error(reason: Reason, detail: str, attempts: int = 1) -> ItemError:
    return ItemError(reason, detail, datetime.now(UTC).isoformat(timespec="milliseconds"), attempts)


def _refused_fields(names: Sequence[str], error: RecqError) -> list[Problem]:
    """One for each field that an item is without since the index refused it."""
    why = f"is refused by the index ({error}); the picture is without it"
    return [Problem(ProblemKind.REFUSED, f"field '{printable(name)}' {why}", field=name) for name in names]
