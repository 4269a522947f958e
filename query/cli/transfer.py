"""The commands of `recq` that transfer a whole catalog: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from query.cli.option_groups import open_catalog
from query.cli.options import FilterOption
from query.cli.shell import PROG, counted
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_progress import bar
from recq.transfer.transfer import ArchiveFormat, Transferred


@grouped
def export(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="The file to write; - is standard output. Example: images.parquet",
        ),
    ],
    form: Annotated[
        ArchiveFormat | None,
        typer.Option(
            "--format",
            show_default=False,
            help="jsonl or parquet, else what FILE ends in. Example: --format jsonl",
        ),
    ] = None,
    filters: FilterOption = None,
    index: Index,
) -> None:
    """Write the whole catalog into a file: ids, metadata, vectors and embedding space. `recq import` reads it."""
    with open_catalog(index) as catalog, bar() as progress:
        done = catalog.export(file, form=None if form is None else form.value, filters=filters, progress=progress)
    complain(
        PROG, f"{_told(done)} of catalog {done.catalog} written to {file if str(file) != '-' else 'standard output'}"
    )
    if done.no_items is not None:
        complain(PROG, done.no_items.text)


@grouped
def import_(
    *,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="An export, of either format; - is standard input. Example: images.parquet",
        ),
    ],
    index: Index,
) -> None:
    """Write an export's items into a catalog, which is made if it is missing. Nothing is embedded again."""
    settings = index.settings()
    from recq.face.opening import import_catalog

    with bar() as progress:
        done = import_catalog(file, settings=settings, progress=progress)
    complain(PROG, f"{_told(done)} imported into catalog {done.catalog}")


def _told(done: Transferred) -> str:
    items = counted(done.items, "item")
    return f"{items} ({done.failed:,} of them failed)" if done.failed else items
