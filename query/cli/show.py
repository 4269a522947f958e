"""The commands of `recq` that list what is indexed: catalogs, fields, show, facets.

`query.cli.main` registers them. Modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli import completion
from query.cli.option_groups import asked_first
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
    """The catalogs of the index: items, failed items, embedding space, sources, time of the last item."""
    from recq.api.client import AskedFirst

    with AskedFirst(index.settings()) as asked:
        found = asked.catalogs()
    emit(catalogs_text(found, form, terminal()))
    for each in found:
        if each.unfinished:
            left = counted(len(each.unfinished), "collection")
            complain(PROG, f"{each.name}: {left} of a rebuild that is running or was interrupted")
        if each.kept is not None:
            pruned = command("recq-ingest", "prune", catalog=each.name)
            complain(PROG, f"{each.name}: kept to go back to: {each.kept.text}; {pruned} deletes it")
    if not found:
        complain(PROG, f"there is no catalog here: {command('recq-ingest', 'run', 'FOLDER')} makes one")


@grouped
def fields(*, form: ListFormatOption = ShowFormat.TABLE, index: Index) -> None:
    """The fields that filters can use: type, number of items, values or range, an example."""
    with asked_first(index) as catalog:
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
    """Everything that is known about one item, with the reason for a failed one."""
    with asked_first(index) as catalog:
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
        int, typer.Option("--limit", metavar="N", min=1, help="The largest number of values. Example: --limit 200")
    ] = 50,
    form: Annotated[FacetsFormat, format_option("them")] = (FacetsFormat.TABLE),
    index: Index,
) -> None:
    """The values of a metadata field and the number of items of each; ranges for numbers and dates."""
    with asked_first(index) as catalog:
        found = catalog.facets(field, filters=filters or [], limit=limit)
    emit(facets_text(found, form, terminal()))
    if found.no_items is not None:
        complain(PROG, found.no_items.text)
