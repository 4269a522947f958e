"""Compares the index with its folders and with a backup, and writes nothing: `recq-ingest check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.service.dry_run import Planned, counted, dry_run
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.paths import printable
from recq.progress import Progress, silent
from recq.settings import Settings
from recq.transfer.backup_check import Checked, check_backup


@dataclass(frozen=True)
class Compared:
    """What would make the index equal to its folders, None where no source is on this host; and what was found about a
    backup, None where none was named."""

    folders: Sequence[Planned] | None
    backup: Checked | None

    @property
    def is_well(self) -> bool:
        """Whether nothing differs but what has changed since the backup."""
        return not self.folders and (self.backup is None or self.backup.is_well)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "equal": self.is_well,
            "folders": None if self.folders is None else [step.to_json() for step in self.folders],
            "backup": None if self.backup is None else self.backup.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """For people: each difference, and what there is in all."""
        yield from (step.text for step in self.folders or ())
        if self.folders is None:
            yield "folders: no source is on this host"
        else:
            steps = ", ".join(f"{count:,} to {step}" for step, count in counted(self.folders).items())
            yield f"folders: {steps or 'the index is as they are'}"
        if self.backup is None:
            return
        for each in self.backup.differences:
            where = each.id if each.path is None else f"{printable(each.source or '')}: {printable(each.path)}"
            yield f"{each.kind}  {where}"
        yield from (f"damaged  {file}: {why}" for file, why in self.backup.damaged.items())
        kinds = Counter(each.kind for each in self.backup.differences)
        found = [f"{count:,} {kind}" for kind, count in sorted(kinds.items())]
        found += [f"{len(self.backup.damaged):,} damaged"] if self.backup.damaged else []
        yield (
            f"backup of {self.backup.made_at}: {self.backup.items:,} items, {self.backup.newer:,} changed since; "
            f"{', '.join(found) or 'all else is as it was'}"
        )


def check(settings: Settings, backup: Path | None, *, verify: bool, progress: Progress = silent) -> Compared:
    """Compare all sources on this host with the index (`verify`: every file's bytes), and the index with a backup.

    Raises UsageError where there is neither a source here nor a backup, and as `dry_run` and `check_backup`.
    """
    with connect(settings) as client:
        sources = Catalog.open(client, settings.catalog).sources.all()
    here = any(source.root_here() is not None for source in sources.values())
    folders = dry_run(settings, table=None, verify=verify) if here or backup is None else None
    return Compared(folders, None if backup is None else check_backup(settings, backup, progress))
