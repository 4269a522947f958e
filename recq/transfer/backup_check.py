"""Compares a catalog with a backup of it, and the backup with what was written into it: `recq-ingest check --backup`.

Nothing is written. What the catalog has written since the backup began is no difference: a backup is of its time. Its
stamp tells of it, but for what is noted of an item without one: where that alone differs, it is no difference either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from recq.errors import BackupDamaged, UsageError
from recq.index.catalog import Catalog
from recq.index.kept_connection import KeptConnection
from recq.index.points import ItemVector
from recq.index.schema import Item
from recq.progress import Progress, silent
from recq.search.session import Session
from recq.settings import Settings
from recq.transfer.backup_folder import Backup, BackupFolder
from recq.transfer.backup_list import Listed, as_written, content, number, seen

_PAGE = 500


class Kind(StrEnum):
    """How catalog and backup differ about an item."""

    NOT_IN_BACKUP = "not-in-backup"
    NOT_IN_INDEX = "not-in-index"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Difference:
    """An item about which catalog and backup differ. `path` is in text form; both None for an item of a damaged part,
    of which only the `id` is known."""

    kind: Kind
    id: str
    source: str | None
    path: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class Checked:
    """What a check of a backup found. `newer` items were written or removed by the catalog since; `damaged` has by
    file what is wrong with it."""

    made_at: str
    items: int
    newer: int
    differences: tuple[Difference, ...]
    damaged: Mapping[str, str]

    @property
    def is_well(self) -> bool:
        """Whether it can be restored, and has what the catalog had."""
        return not self.differences and not self.damaged

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "made_at": self.made_at,
            "items": self.items,
            "newer": self.newer,
            "differences": [each.to_json() for each in self.differences],
            "damaged": dict(self.damaged),
        }


def check_backup(settings: Settings, folder: Path, progress: Progress = silent) -> Checked:
    """Compare the settings' catalog with the backup in `folder`, and read every part of it.

    Raises UsageError for a folder without a backup or with one of another catalog, BackupDamaged for a manifest or list
    that cannot be used, and what a question raises.
    """
    files = BackupFolder(folder)
    backup = files.read()
    if backup.manifest.head.catalog != settings.catalog:
        raise UsageError(
            f"{folder} has a backup of catalog {backup.manifest.head.catalog!r}, not of {settings.catalog!r}: "
            "name the one with --catalog"
        )
    damaged = files.damaged(backup, progress)
    with closing(KeptConnection(settings)) as connection, Session(settings, connection=connection) as session:
        check = _Check(session, backup, progress)
        differences = [*check.of_index(), *check.of_both(files), *check.of_backup(files)]
    manifest = backup.manifest
    order = sorted(differences, key=lambda each: (each.source or "", each.path or "", each.id))
    return Checked(manifest.made_at, len(backup.listed.rows), check.newer, tuple(order), damaged)


class _Otherwise(NamedTuple):
    """An item that the catalog has otherwise than the backup, and the digest of it `as_written`."""

    difference: Difference
    written: str


class _Check:
    """One run. `newer` counts what has changed since the backup."""

    def __init__(self, session: Session, backup: Backup, progress: Progress) -> None:
        self.newer = 0
        self._session = session
        self._manifest, self._listed = backup
        self._progress = progress
        self._met: set[str] = set()
        self._otherwise: dict[str, _Otherwise] = {}

    def of_index(self) -> Iterator[Difference]:
        """What the catalog has alone. What it has otherwise than the backup, and has not written since, is noted."""
        start: Any = None
        while True:
            with self._session.opened() as catalog:
                items, start = catalog.items.page(start, _PAGE)
                yield from self._compared(catalog, items)
            self._progress("comparing", min(len(self._met), len(self._listed.rows)), len(self._listed.rows))
            if start is None:
                return

    def of_both(self, files: BackupFolder) -> Iterator[Difference]:
        """What the catalog has otherwise than the backup, after `of_index`."""
        left = dict(self._otherwise)
        for entry in _entries(files, self._listed, self._otherwise):
            if content(as_written(entry)) == left[entry.item.id].written:
                self.newer += 1
                del left[entry.item.id]
        yield from (each.difference for each in left.values())

    def of_backup(self, files: BackupFolder) -> Iterator[Difference]:
        """What the backup has alone."""
        left = [id_ for id_ in self._listed.rows if id_ not in self._met]
        missing: list[str] = []
        for begin in range(0, len(left), _PAGE):
            with self._session.opened() as catalog:
                gone = catalog.changes.gone(left[begin : begin + _PAGE])
            since = {id_ for id_, n in gone.items() if n > self._manifest.began}
            self.newer += len(since)
            missing += [id_ for id_ in left[begin : begin + _PAGE] if id_ not in since]
        names = {
            each.item.id: (each.item.file.source, each.item.file.path)
            for each in _entries(files, self._listed, missing)
        }
        for id_ in missing:
            source, path = names.get(id_, (None, None))
            yield Difference(Kind.NOT_IN_INDEX, id_, source, path)

    def _compared(self, catalog: Catalog, items: Sequence[Item]) -> Iterator[Difference]:
        rows = self._listed.rows
        others = []
        for item in items:
            self._met.add(item.id)
            row = rows.get(item.id)
            if row is not None:
                if row.seen != seen(item):
                    others.append(item.id)
            elif self._is_newer(item):
                self.newer += 1
            else:
                yield _difference(Kind.NOT_IN_BACKUP, item)
        entries = catalog.items.whole(others)
        self.newer += len(others) - len(entries)  # they have gone since they were seen
        for entry in entries:
            if content(entry) == rows[entry.item.id].content:
                continue
            if self._is_newer(entry.item):
                self.newer += 1
            else:
                difference = _difference(Kind.DIFFERS, entry.item)
                self._otherwise[entry.item.id] = _Otherwise(difference, content(as_written(entry)))

    def _is_newer(self, item: Item) -> bool:
        return number(item.stamp) > self._manifest.began


def _difference(kind: Kind, item: Item) -> Difference:
    return Difference(kind, item.id, item.file.source, item.file.path)


def _entries(files: BackupFolder, listed: Listed, wanted: Collection[str]) -> Iterator[ItemVector]:
    """The items of the backup that have these ids, a part at a time; of damaged parts none."""
    ids = frozenset(wanted)
    for part in sorted({listed.rows[id_].part for id_ in ids}):
        try:
            entries = files.entries(part)
        except BackupDamaged:
            continue
        yield from (each for each in entries if each.item.id in ids and listed.is_of(each.item.id, part))
