"""The end of the road: one waited write per batch, and only of what still stands in the folder as it was read.

Runs in the commit worker. Metadata is taken from the folder at the last moment; deletions are checked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from ingest.files import FileState, Key
from ingest.guard import emptied, too_many
from ingest.metadata import CATEGORY
from ingest.patience import Patience
from ingest.pending import Entry as Waiting
from ingest.scan import Rules, look
from ingest.survivors import Holders, Survivors
from ingest.vectors import Vector
from ingest.watched import Watched
from recq.errors import ImageError, IndexRefused
from recq.index.catalog import Catalog, Entry
from recq.index.schema import FieldType, Item, ItemError

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
    """What became of a batch: written, changed meanwhile (look again), and refused by the index."""

    done: Sequence[Work]
    again: Sequence[Work]
    refused: Sequence[tuple[Work, str]]


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

    def declare(self, types: Mapping[str, FieldType]) -> None:
        """Fix the types of a table's columns before the first of its values is written."""
        self._patience(self._catalog.declare, types)

    def write(self, works: Sequence[Work]) -> Written:
        """One waited upsert of all that still stand as they were read; `ingested_at` is now."""
        current: list[Work] = []
        again: list[Work] = []
        for work in works:
            if self._state(work.key) == work.state:
                current.append(work)
            else:
                again.append(work)
        stamped = [self._stamped(work) for work in current]
        self._declare_category(stamped)
        refused: list[tuple[Work, str]] = []
        done = self._upsert(stamped, refused)
        return Written(done, again, refused)

    def replace(self, items: Sequence[tuple[Key, Item]]) -> Sequence[Item]:
        """Give items that the index has the metadata of now; vectors and file facts stay. Returns what was written."""
        fresh = [self._described(key, item) for key, item in items]
        self._patience(self._catalog.replace_metadata, fresh)
        return fresh

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
        for start in range(0, len(deleted), _DELETED_AT_ONCE):
            chunk = deleted[start : start + _DELETED_AT_ONCE]
            self._patience(self._catalog.delete, [removal.item_id for removal in chunk])
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

    def _upsert(self, works: Sequence[Work], refused: list[tuple[Work, str]]) -> Sequence[Work]:
        """One upsert; where that is refused, each alone, so that one item cannot keep the others out."""
        if not works:
            return works
        try:
            self._patience(self._catalog.upsert, [Entry(work.item, work.vector) for work in works])
        except (ImageError, IndexRefused) as error:
            if len(works) > 1:
                return [done for work in works for done in self._upsert([work], refused)]
            if isinstance(error, ImageError):
                return self._upsert([_without_vector(works[0], error)], refused)
            refused.append((works[0], str(error)))
            return []
        return works

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


def _without_vector(work: Work, error: ImageError) -> Work:
    failure = ItemError(error.reason, error.detail, datetime.now(UTC).isoformat(timespec="milliseconds"))
    return replace(work, item=replace(work.item, error=failure), vector=None)
