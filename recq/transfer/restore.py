"""Writes the items of a backup into a catalog, which may be empty, or running: `recq-ingest restore`.

The folder of pictures remains the truth: what is restored is brought up to date by the next comparison, as ever. So a
restore takes nothing away, and by itself replaces nothing that the catalog has written later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recq.errors import BackupDamaged, ImageError
from recq.index.candidates import TRAINED_KEY, TrainedSpace
from recq.progress import Progress, silent
from recq.settings import Settings
from recq.transfer.backup_folder import Backup, BackupFolder
from recq.transfer.backup_list import as_written, content, number
from recq.transfer.transfer import make_indexes

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.points import ItemVector

_BATCH = 100


class Fate(StrEnum):
    """What a restore does with an item of the backup."""

    RESTORED = "restored"
    SAME = "same"  # the catalog has it as the backup has it, but perhaps for what leaves no stamp (`as_written`)
    NEWER = "newer"  # the catalog has written it since, and keeps it


@dataclass(frozen=True)
class Restored:
    """What was done with the items of a backup; `damaged` are files whose items could not be, `lost` their number."""

    catalog: str
    made_at: str
    restored: int
    same: int
    newer: int
    damaged: tuple[str, ...] = ()
    lost: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "damaged": list(self.damaged)}


def fate(of: ItemVector, n: int, now: ItemVector | None, *, overwrite: bool) -> Fate:
    """What a restore does with an item whose last write had the number `n`; `now` is what the catalog has of it."""
    if now is None:
        return Fate.RESTORED
    if content(now) == content(of):
        return Fate.SAME
    if overwrite:
        return Fate.RESTORED
    if number(now.item.stamp) > n:
        return Fate.NEWER
    return Fate.SAME if content(as_written(now)) == content(as_written(of)) else Fate.RESTORED


def catalog_of(folder: Path) -> str:
    """The name of the catalog that a backup is of. Raises UsageError, BackupDamaged."""
    return BackupFolder(folder).read().manifest.head.catalog


def restore(settings: Settings, folder: Path, *, overwrite: bool = False, progress: Progress = silent) -> Restored:
    """Write the backup's items and records into the settings' catalog, which is made if it is missing.

    Items that the catalog has written later stay as they are, unless `overwrite`; items that only the catalog has stay.
    Interrupted, it can be repeated. A part that is damaged is left out, and all others are restored. Raises UsageError,
    BackupDamaged for a manifest, list or record that cannot be used, SpaceMismatch for a catalog in another space.
    """
    from recq.index.catalog import Catalog
    from recq.index.connect import connect_or_make
    from recq.index.placement import Placement

    files = BackupFolder(folder)
    backup = files.read()
    manifest = backup.manifest
    records = {**manifest.records, **{key: files.record(sha256) for key, sha256 in manifest.blobs.items()}}
    trained = TrainedSpace.from_json(records[TRAINED_KEY]) if TRAINED_KEY in records else None
    placement = Placement.from_settings(settings)
    with connect_or_make(settings) as client:
        catalog = Catalog.create(client, settings.catalog, manifest.head.space, trained, placement)
        catalog.upgrade()
        catalog.fields.declare(manifest.head.types)
        catalog.records.take(records, overwrite=overwrite)
        done = _Restore(catalog, files, backup, progress, overwrite=overwrite).run()
        make_indexes(catalog, progress)
        for name in manifest.aliases:
            catalog.take_name(name)
    return done


class _Restore:
    """One run."""

    def __init__(
        self, catalog: Catalog, files: BackupFolder, backup: Backup, progress: Progress, *, overwrite: bool
    ) -> None:
        self._catalog = catalog
        self._files = files
        self._manifest, self._listed = backup
        self._progress = progress
        self._overwrite = overwrite
        self._done: Counter[Fate] = Counter()
        self._lost = 0

    def run(self) -> Restored:
        total, damaged = len(self._listed.rows), []
        live = self._listed.live()
        for part in self._listed.in_use():
            try:
                entries = self._files.entries(part.name)
            except BackupDamaged as error:
                damaged.append(str(error))
                self._lost += live[part.name]
                continue
            while batch := list(islice(entries, _BATCH)):
                self._take([each for each in batch if self._listed.is_of(each.item.id, part.name)])
                self._progress("restoring", self._done.total() + self._lost, total)
        return Restored(
            self._catalog.name,
            self._manifest.made_at,
            restored=self._done[Fate.RESTORED],
            same=self._done[Fate.SAME],
            newer=self._done[Fate.NEWER],
            damaged=tuple(damaged),
            lost=self._lost,
        )

    def _take(self, entries: Sequence[ItemVector]) -> None:
        present = {each.item.id: each for each in self._catalog.items.whole([each.item.id for each in entries])}
        chosen = []
        for entry in entries:
            now = present.get(entry.item.id)
            decided = fate(entry, self._listed.rows[entry.item.id].n, now, overwrite=self._overwrite)
            self._done[decided] += 1
            if decided is Fate.RESTORED:
                chosen.append(_with_stamp_of(now, entry))
        try:
            self._catalog.writes.upsert(chosen)
        except ImageError as error:
            raise BackupDamaged(f"{self._files.folder} has a vector that cannot be stored: {error}") from error


def _with_stamp_of(now: ItemVector | None, entry: ItemVector) -> ItemVector:
    """The entry as a change of what the catalog has, where the bytes are the same."""
    if now is None or now.item.file.sha256 != entry.item.file.sha256:
        return entry
    return replace(entry, item=replace(entry.item, stamp=now.item.stamp))
