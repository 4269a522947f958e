"""Writes a whole catalog into a file, and a file into an index: `recq export`, `recq import`.

It moves a catalog to another engine, machine or program. Nothing is embedded again: the file has the vectors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

from recq.errors import ImageError, UsageError
from recq.output import replaced, require_place
from recq.paths import printable
from recq.progress import Progress, silent
from recq.search.no_results import NoResults, why_no_items
from recq.search.session import Session
from recq.settings import Settings

if TYPE_CHECKING:
    from recq.index.catalog import Catalog
    from recq.index.grammar import Condition
    from recq.index.points import ItemVector

STREAM = Path("-")
_BATCH = 100


class ArchiveFormat(StrEnum):
    """What a catalog is exported as."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Transferred:
    """What was transferred: the number of items, how many of them have failed and have no vector, the catalog's name.

    `no_items` explains why no item matches the filters; None where some do.
    """

    items: int
    failed: int
    catalog: str
    no_items: NoResults | None = None


ENDINGS = {
    ".jsonl": ArchiveFormat.JSONL,
    ".ndjson": ArchiveFormat.JSONL,
    ".parquet": ArchiveFormat.PARQUET,
    ".pq": ArchiveFormat.PARQUET,
}
"""The formats by the ending of a file's name."""


def format_of(path: Path, said: ArchiveFormat | None) -> ArchiveFormat:
    """The format `said`, else the format of the name's ending; JSON lines for a name without an ending.

    Raises UsageError for any other ending, which promises another content.
    """
    if said is not None:
        return said
    ending = path.suffix.lower()
    if ending and ending not in ENDINGS:
        *known, last = ENDINGS
        forms = " or ".join(ArchiveFormat)
        raise UsageError(
            f"{printable(str(path))} ends in {printable(path.suffix)}, which recq does not export: name it "
            f"{', '.join(known)} or {last}, or give --format {forms}"
        )
    return ENDINGS.get(ending, ArchiveFormat.JSONL)


def export_catalog(
    session: Session,
    path: Path,
    form: ArchiveFormat | None = None,
    filters: Sequence[str | Condition] | None = None,
    progress: Progress = silent,
) -> Transferred:
    """Write the session's catalog to `path` (`-`: standard output), which appears whole or not at all.

    Without filters every item is written, failed ones included; with filters the embedded items that match all.
    A daemon may go on writing meanwhile: the file has each item as it was before or after a change. Raises UsageError,
    FilterError.
    """
    from recq.transfer.archive import Head, JsonLines, Parquet

    form = format_of(path, form)
    if form is ArchiveFormat.PARQUET and path == STREAM:
        raise UsageError("Parquet cannot be written to a pipe: name a file, or use --format jsonl")
    if path != STREAM:
        require_place(path, "the export")
    with session.opened() as catalog:
        items = catalog.items.count(filters or ()) + (catalog.ledger.count_failed() if filters is None else 0)
        head = Head(catalog.name, catalog.space, catalog.sources.all(), catalog.fields.types(), items, catalog.trained)
        entries = catalog.items.entries(filters)
        done = failed = 0
        with _output(path) as stream:
            writer = (Parquet if form is ArchiveFormat.PARQUET else JsonLines)(stream, head)
            while batch := list(islice(entries, _BATCH)):
                writer.write(batch)
                done += len(batch)
                failed += sum(entry.vector is None for entry in batch)
                progress("exporting", done, items)
            writer.close()
        why = why_no_items(catalog, filters) if filters and not done else None
    return Transferred(done, failed, session.settings.catalog, why)


def import_catalog(settings: Settings, path: Path, progress: Progress = silent) -> Transferred:
    """Write the items of an export (`-`: on standard input) into the settings' catalog, which is made if it is missing.

    Items that it has already are replaced, others stay. Unknown sources are added. Raises UsageError
    for a file that is damaged, cut or no export (items before the damage are in), SpaceMismatch for a catalog in
    another embedding space.
    """
    from recq.index.catalog import Catalog
    from recq.index.connect import connect_or_make
    from recq.index.placement import Placement
    from recq.transfer.archive import read

    name = "standard input" if path == STREAM else str(path)
    with _input(path) as stream:
        head, entries = read(stream, name)
        with connect_or_make(settings) as client:
            placement = Placement.from_settings(settings)
            catalog = Catalog.create(client, settings.catalog, head.space, head.trained, placement)
            catalog.upgrade()
            catalog.fields.declare(head.types)
            for source in head.sources.values():
                catalog.sources.adopt(source)
            done = failed = 0
            try:
                while batch := [_without_predictions(entry) for entry in islice(entries, _BATCH)]:
                    catalog.writes.upsert(batch)
                    done += len(batch)
                    failed += sum(entry.vector is None for entry in batch)
                    progress("importing", done, head.items)
            except ImageError as error:
                raise UsageError(f"{name} has a vector that cannot be stored after item {done:,}: {error}") from error
            except UsageError as error:
                raise UsageError(f"{error} ({done:,} items before it were imported)") from error
            make_indexes(catalog, progress)
    return Transferred(done, failed, settings.catalog)


def _without_predictions(entry: ItemVector) -> ItemVector:
    """An export has no predictors: what they said of the item is left to those of the catalog."""
    return replace(entry, item=replace(entry.item, predicted={}))


def make_indexes(catalog: Catalog, progress: Progress) -> None:
    """Build the indexes of many new fields, which the items did not wait for: perhaps no daemon will run."""
    for made, waiting in enumerate(catalog.fields.make_all()):
        progress("making indexes", made, made + waiting.left)


@contextmanager
def _output(path: Path) -> Iterator[IO[bytes]]:
    """Standard output, or a file that replaces `path` when the block is left without an error."""
    if path == STREAM:
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:  # a notebook's standard output takes text alone; a program without a console has none
            raise UsageError("standard output takes no bytes here: name a file to export to")
        yield stream
        stream.flush()
        return
    with replaced(path, "the export") as stream:
        yield stream


@contextmanager
def _input(path: Path) -> Iterator[IO[bytes]]:
    if path == STREAM:
        stream = getattr(sys.stdin, "buffer", None)
        if stream is None or stream.isatty():
            raise UsageError("standard input has no data: name a file, or pipe an export in")
        yield stream
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
