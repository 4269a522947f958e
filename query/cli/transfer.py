"""The commands of `recq` that carry a whole catalog: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from query.cli.options import FilterOption
from query.cli.progress import bar
from query.cli.shell import PROG, counted, load
from recq.cli_errors import complain
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption
from recq.transfer.transfer import ArchiveFormat, Transferred


def export(
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
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Write the whole catalog into a file: ids, metadata, vectors and what made them. `recq import` reads it."""
    settings = load(catalog, url, data_dir)
    from recq.transfer.transfer import export_from

    with bar() as progress:
        done = export_from(settings, file, form, filters, progress)
    complain(
        PROG, f"{_told(done)} of catalog {done.catalog} written to {file if str(file) != '-' else 'standard output'}"
    )
    if filters and not done.items:
        from recq.search.search import why_nothing_in

        complain(PROG, why_nothing_in(settings, filters) or "")


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="An export, of either format; - is standard input. Example: images.parquet",
        ),
    ],
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Write an export's items into a catalog, which is made where there is none. Nothing is embedded again."""
    settings = load(catalog, url, data_dir)
    from recq.transfer.transfer import import_into

    with bar() as progress:
        done = import_into(settings, file, progress)
    complain(PROG, f"{_told(done)} imported into catalog {done.catalog}")


def _told(done: Transferred) -> str:
    items = counted(done.items, "item")
    return f"{items} ({done.failed:,} of them failed)" if done.failed else items
