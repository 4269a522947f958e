"""Writes what has changed in a catalog into a backup: `recq-ingest backup`.

Every item is looked at without its vector, a page at a time; what is not as the backup has it is read whole and written
into a new part. An embedded folder is left between two pages where somebody waits for it, such as a daemon that starts.
A daemon may write meanwhile: what it wrote since the beginning is looked at once more at the end
(`recq.index.change_log`), so that the backup has everything that was written up to then. A picture that moved meanwhile
is in it once, wherever the pages were.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq.errors import CursorGone, IndexBusy, UsageError
from recq.index.candidates import TRAINED_KEY
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.settings import Settings
from recq.transfer.archive import Head
from recq.transfer.backup_folder import BackupFolder, BackupWriter
from recq.transfer.backup_list import Listed, content, items_of_a_part, number, seen, worn
from recq.transfer.backup_manifest import Manifest

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.changes import Cursor
    from recq.index.points import ItemVector
    from recq.index.schema import Item

_PAGE = 500  # items that are looked at in one request
_AT_ONCE = 100  # items that are read with their vectors
_TRIES = 3  # to see what was written meanwhile, where more has gone than the catalog remembers


@dataclass(frozen=True)
class BackedUp:
    """A backup that was made: `items` it has, `failed` ones included, `written` of them anew, in `parts`; `gone` are
    those that it has no more. `bytes` were written, the list and the manifest included. `made_at` is ISO 8601 UTC."""

    catalog: str
    items: int
    failed: int
    written: int
    gone: int
    parts: int
    bytes: int
    made_at: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dict(vars(self))


def back_up(settings: Settings, folder: Path, *, verify: bool = False, progress: Progress = silent) -> BackedUp:
    """Write the settings' catalog into the backup in `folder`, which is made where it is missing.

    `verify` reads every part first, and what is damaged is written anew. Interrupted, it goes on where it stopped when
    it is run again; until it is done, the folder has the backup that it had before. Raises UsageError, IndexBusy for
    another process that writes there or a catalog that was rebuilt meanwhile, and what a question raises.
    """
    from recq.index.kept_connection import KeptConnection

    with closing(KeptConnection(settings)) as connection, Session(settings, connection=connection) as session:
        with session.opened():  # before the folder is made
            pass
        with BackupFolder(folder).writing() as writer:
            return _Backup(session, writer, progress).run(verify=verify)


class _Backup:
    """One run."""

    def __init__(self, session: Session, writer: BackupWriter, progress: Progress) -> None:
        self._session = session
        self._writer = writer
        self._progress = progress
        self._collection: str | None = None
        self._listed = Listed()
        self._worn: set[str] = set()
        self._met: set[str] = set()
        self._waiting: dict[str, ItemVector] = {}
        self._seen: dict[str, str] = {}
        self._failed: set[str] = set()
        self._most = 1
        self._written = self._gone = 0
        self._head: Head | None = None

    def run(self, *, verify: bool) -> BackedUp:
        began = time.time_ns() // 1000
        with self._opened() as catalog:
            writer, space = self._writer, catalog.space
            _require_same(writer.before, catalog.name)
            self._most = items_of_a_part(space.dim)
            self._listed = writer.begin(space.fingerprint, verify=verify)
            self._worn = worn(self._listed, self._most)
            cursor = catalog.changes.now() if catalog.changes.known else None
            total = catalog.items.count() + catalog.ledger.count_failed()
        for _ in range(_TRIES):
            self._look_at_all(total)
            try:
                if cursor is not None:
                    self._look_at_what_was_written(cursor)
                break
            except CursorGone:
                with self._opened() as catalog:
                    cursor = catalog.changes.now()
        with self._opened() as catalog:
            self._write_part(catalog, len(self._waiting))
            self._remove(set(self._listed.rows) - self._met)
            manifest = self._manifest(catalog, began)
        self._writer.finish(manifest)
        return BackedUp(
            manifest.head.catalog,
            manifest.head.items,
            manifest.failed,
            self._written,
            self._gone,
            self._writer.parts_written,
            self._writer.bytes_written,
            manifest.made_at,
        )

    @contextmanager
    def _opened(self) -> Iterator[Catalog]:
        """The catalog, which must be the collection that it was."""
        with self._session.opened() as catalog:
            if self._collection not in (None, catalog.collection):
                raise IndexBusy(f"catalog {catalog.name!r} was rebuilt meanwhile: run the backup again")
            self._collection = catalog.collection
            yield catalog

    def _look_at_all(self, total: int) -> None:
        start: Any = None
        done = 0
        self._met.clear()
        while True:
            with self._opened() as catalog:
                items, start = catalog.items.page(start, _PAGE)
                self._look_at(catalog, items)
            done += len(items)
            self._progress("backing up", min(done, total), total)
            if start is None:
                return

    def _look_at_what_was_written(self, cursor: Cursor) -> None:
        more = True
        while more:
            with self._opened() as catalog:
                found = catalog.changes.since(cursor)
                ids = [change.id for change in found.changes]
                items = catalog.ledger.get_many(ids)
                self._look_at(catalog, items.values())
                self._met -= set(ids) - items.keys()
                for id_ in set(ids) - items.keys():
                    self._waiting.pop(id_, None)
            cursor, more = found.cursor, found.more

    def _look_at(self, catalog: Catalog, items: Iterable[Item]) -> None:
        """Read those that are not as the backup has them, and write a part as soon as there are enough."""
        changed: list[str] = []
        for item in items:
            self._met.add(item.id)
            self._failed.discard(item.id)
            if item.error is not None:
                self._failed.add(item.id)
            row, now = self._listed.rows.get(item.id), seen(item)
            as_kept = row is not None and row.part not in self._worn and row.seen == now
            if not as_kept and not (item.id in self._waiting and self._seen[item.id] == now):
                changed.append(item.id)
        for start in range(0, len(changed), _AT_ONCE):
            self._take(catalog.items.whole(changed[start : start + _AT_ONCE]))
            while len(self._waiting) >= self._most:
                self._write_part(catalog, self._most)

    def _take(self, entries: Sequence[ItemVector]) -> None:
        again = []
        for entry in entries:
            id_, now = entry.item.id, seen(entry.item)
            row = self._listed.rows.get(id_)
            if row is not None and row.part not in self._worn and row.content == content(entry):
                self._waiting.pop(id_, None)
                again.append([id_, now, number(entry.item.stamp)])
                continue
            self._waiting[id_], self._seen[id_] = entry, now
        if again:
            self._writer.note({"seen": again})

    def _write_part(self, catalog: Catalog, count: int) -> None:
        chosen = list(self._waiting)[:count]
        if not chosen:
            return
        if self._head is None:
            self._head = _head(catalog, 0)
        self._writer.write(self._head, [self._waiting.pop(id_) for id_ in chosen], self._seen)
        self._written += len(chosen)
        for id_ in chosen:
            del self._seen[id_]

    def _remove(self, gone: set[str]) -> None:
        if gone:
            self._writer.note({"gone": sorted(gone)})
        self._gone = len(gone)

    def _manifest(self, catalog: Catalog, began: int) -> Manifest:
        items = len(self._listed.rows)
        trained = {} if catalog.trained is None else {TRAINED_KEY: catalog.trained.to_json()}
        return Manifest(
            _head(catalog, items),
            began,
            _iso(began / 1e6),
            _iso(time.time()),
            len(self._failed & self._listed.rows.keys()),
            list_name="",
            list_bytes=0,
            list_sha256="",
            records={**catalog.records.all(), **trained},
            aliases=catalog.other_names(),
        )


def _head(catalog: Catalog, items: int) -> Head:
    """The head of an export, without the trained space: that may be large, and is a record of the manifest's."""
    return Head(catalog.name, catalog.space, catalog.sources.all(), catalog.fields.types(), items)


def _require_same(before: Manifest | None, catalog: str) -> None:
    if before is not None and before.head.catalog != catalog:
        raise UsageError(
            f"the folder has a backup of catalog {before.head.catalog!r}: name another folder for {catalog!r}"
        )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
