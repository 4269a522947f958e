"""The commands of `recq` that tell what there is: catalogs, fields, show, facets.

Thin shells, which `query.cli.main` makes part of the program: what is slow to import is imported where it is used.
"""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli import completion
from query.cli.option_groups import open_catalog
from query.cli.options import FilterOption, TargetArgument
from query.cli.shell import PROG, counted, emit, terminal
from query.text.render import FacetsFormat, ShowFormat, catalogs_text, facets_text, fields_text, shown_text
from recq.cli_errors import complain
from recq.cli_groups import Index, WholeIndex, grouped
from recq.cli_options import format_option
from recq.commands import command

ListFormatOption = Annotated[ShowFormat, format_option("them")]


@grouped
def catalogs(*, form: ListFormatOption = ShowFormat.TABLE, index: WholeIndex) -> None:
    """The catalogs of the index: items, failed ones, embedding space, sources, when one was indexed last."""
    settings = index.settings()
    from recq.face.opening import catalogs

    found = catalogs(settings=settings)
    emit(catalogs_text(found, form, terminal()))
    for each in found:
        if each.unfinished:
            left = counted(len(each.unfinished), "collection")
            complain(PROG, f"{each.name}: {left} of a rebuild that goes on or was interrupted")
    if not found:
        complain(PROG, f"there is no catalog here: {command('recq-ingest', 'run', 'FOLDER')} makes one")


@grouped
def fields(*, form: ListFormatOption = ShowFormat.TABLE, index: Index) -> None:
    """The fields that filters can ask for: type, how many items have one, its values or their range, an example."""
    with open_catalog(index) as catalog:
        found = catalog.fields()
    emit(fields_text(found, form, terminal()))


@grouped
def show(
    *,
    target: TargetArgument,
    form: Annotated[ShowFormat, format_option("it")] = (ShowFormat.TABLE),
    json_: Annotated[
        bool, typer.Option("--json", help="Short for --format json. Example: recq show sofa_226.jpg --json")
    ] = False,
    index: Index,
) -> None:
    """Everything known of one item, and for a failed one the reason."""
    with open_catalog(index) as catalog:
        item = catalog.show(target)
    emit(shown_text(item, ShowFormat.JSON if json_ else form, terminal()))


@grouped
def facets(
    *,
    field: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.field,
            metavar="FIELD",
            show_default=False,
            help="A metadata field, or one of file.*. Example: category",
        ),
    ],
    filters: FilterOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="How many values, at most. Example: --limit 200")
    ] = 50,
    form: Annotated[FacetsFormat, format_option("them")] = (FacetsFormat.TABLE),
    index: Index,
) -> None:
    """The values of a metadata field and how many items have each; ranges for numbers and dates."""
    with open_catalog(index) as catalog:
        found = catalog.facets(field, filters=filters or [], limit=limit)
    emit(facets_text(found, form, terminal()))
    if found.no_items is not None:
        complain(PROG, found.no_items.text)
