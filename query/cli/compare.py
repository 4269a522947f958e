"""The command of `recq` that asks several catalogs the same question: compare."""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli.option_groups import PictureFiles
from query.cli.options import AnyOfOption, FilterOption, KOption, TargetArgument
from query.cli.shell import PROG, emit, terminal
from query.text.render import FacetsFormat, comparison_text
from recq.cli_errors import complain
from recq.cli_groups import WholeIndex, grouped
from recq.cli_options import format_option


@grouped
def compare(
    *,
    target: TargetArgument,
    catalogs: Annotated[
        list[str],
        typer.Option(
            "--catalog",
            metavar="NAME",
            show_default=False,
            help="A catalog to ask; give at least two. Example: --catalog images --catalog images-mobilenet",
        ),
    ],
    k: KOption = 5,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    form: Annotated[FacetsFormat, format_option("it")] = (FacetsFormat.TABLE),
    files: PictureFiles,
    index: WholeIndex,
) -> None:
    """What looks most like TARGET in several catalogs, such as one for each model, and what they have in common."""
    settings = index.settings()
    pictures = files.ready()
    from recq.face.catalog import ImageCatalog

    first, *against = catalogs
    with ImageCatalog(settings.model_copy(update={"catalog": first})) as catalog:
        comparison = catalog.compare(target, against, k=k, filters=filters or [], any_of=any_of or [])
    emit(comparison_text(comparison, form, terminal()))
    for note in comparison.notes:
        complain(PROG, note)
    same = comparison.overlap()
    if same.of:
        complain(PROG, f"{same.told} results are the same in all catalogs")
    pictures.show(comparison, settings)
