"""The commands of `recq` that transfer a whole catalog: export, into a file or as a site, and import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from query.cli import completion
from query.cli.option_groups import field_list, open_catalog
from query.cli.options import FieldsOption, FilterOption
from query.cli.shell import PROG, counted, emit
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_progress import bar
from recq.errors import ItemsFailed, UsageError
from recq.json_text import json_text
from recq.paths import printable, to_text
from recq.transfer.transfer import STREAM, ArchiveFormat, Transferred

if TYPE_CHECKING:
    from recq.site.export import ExportedSite

MOST_NAMED = 20
"""Pictures without a file that are named on standard error; --json has all."""


@dataclass(frozen=True)
class SiteOptions:
    """What goes out with `--site`."""

    fields: FieldsOption = None
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="FIELD",
            autocompletion=completion.field,
            show_default=False,
            help="With --site: leave a field out, also file.path; may be given several times. "
            "Example: --without supplier",
        ),
    ] = None
    title: Annotated[
        str | None,
        typer.Option(
            "--title",
            metavar="TEXT",
            show_default=False,
            help="With --site: what stands above the page, the catalog's name if not given. "
            "Example: --title 'Shoes of 1990'",
        ),
    ] = None
    thumbnail: Annotated[
        int | None,
        typer.Option(
            "--thumbnail",
            metavar="PIXELS",
            min=64,
            max=2048,
            show_default=False,
            help="With --site: the longer side of the pictures, 320 if not given. Example: --thumbnail 640",
        ),
    ] = None

    def asked(self) -> dict[str, Any]:
        """The keywords of `export_site` that were given. Raises UsageError."""
        given = {
            "fields": field_list(self.fields),
            "without": self.without,
            "title": self.title,
            "thumbnail": self.thumbnail,
        }
        return {name: value for name, value in given.items() if value is not None}


@grouped
def export(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="The file to write; - is standard output. Example: images.parquet",
        ),
    ] = None,
    form: Annotated[
        ArchiveFormat | None,
        typer.Option(
            "--format",
            show_default=False,
            help="jsonl or parquet, else what FILE ends in. Example: --format jsonl",
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            "--site",
            metavar="DIR",
            show_default=False,
            help="In place of FILE: a folder to be opened in a browser without a server, with pictures, metadata and "
            "vectors. Example: --site shoes",
        ),
    ] = None,
    chosen: SiteOptions,
    filters: FilterOption = None,
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON. Example: --json")] = False,
    index: Index,
) -> int:
    """Write the whole catalog into a file, which `recq import` reads, or with --site as pages for a browser.

    A file has ids, metadata, vectors and embedding space. A site has small pictures, metadata and vectors; the files
    themselves are not copied.
    """
    asked = chosen.asked()
    if site is not None:
        if file is not None or form is not None:
            raise UsageError("--site writes a folder and no file: leave out FILE and --format")
        with open_catalog(index) as catalog, bar() as progress:
            written = catalog.export_site(site, filters=filters or [], progress=progress, **asked)
        return _tell_site(written, as_json=json_)
    if file is None:
        raise UsageError("FILE is missing, such as images.parquet; or name a folder for a site, --site DIR")
    if asked:
        raise UsageError(f"--{next(iter(asked))} is of a site, and {printable(str(file))} is a file: add --site DIR")
    if json_ and file == STREAM:
        raise UsageError("--json prints to standard output, where the export goes: name a file")
    with open_catalog(index) as catalog, bar() as progress:
        done = catalog.export(file, form=None if form is None else form.value, filters=filters, progress=progress)
    if json_:
        named = {"catalog": done.catalog, "file": to_text(str(file))[0]}
        emit(json_text(named | {"items": done.items, "failed": done.failed}, indent=2))
    else:
        place = printable(str(file)) if file != STREAM else "standard output"
        complain(PROG, f"{_told(done)} of catalog {done.catalog} written to {place}")
    if done.no_items is not None:
        complain(PROG, done.no_items.text)
    return 0


def _tell_site(written: ExportedSite, *, as_json: bool) -> int:
    """Report what was written, and what has no picture. Returns the exit code."""
    if as_json:
        emit(json_text(written.to_json() | {"site": to_text(str(written.folder))[0]}, indent=2))
    else:
        page = printable(str(written.folder / "index.html"))
        complain(PROG, f"{counted(written.items, 'item')} of catalog {written.catalog}: open {page} in a browser")
    for each in written.unpictured[:MOST_NAMED]:
        complain(PROG, f"no picture of {printable(each.path)}: {each.reason}")
    if not written.unpictured:
        return 0
    named = "" if len(written.unpictured) <= MOST_NAMED else ", of which --json names all"
    of = counted(written.items, "item")
    complain(PROG, f"{len(written.unpictured):,} of {of} have a placeholder for a picture{named}")
    return ItemsFailed.exit_code


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
