"""The command of `recq` that asks several catalogs the same question: compare."""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli.option_groups import PictureFiles
from query.cli.options import AnyOfOption, FilterOption, KOption, TargetArgument
from query.cli.regions import RegionsOption, parts
from query.cli.shell import PROG, emit, terminal
from query.text.render import FacetsFormat, comparison_text
from recq.catalog_names import catalog_and_space
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
            help="A catalog to ask, or one of its trained spaces, CATALOG@NAME; give at least two. "
            "Example: --catalog images --catalog images-mobilenet --catalog images@by-category",
        ),
    ],
    regions: RegionsOption = None,
    k: KOption = 5,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    form: Annotated[FacetsFormat, format_option("it")] = (FacetsFormat.TABLE),
    files: PictureFiles,
    index: WholeIndex,
) -> None:
    """What looks most like TARGET in several catalogs, such as one for each model, and what they have in common."""
    (picture,) = parts([target], regions)
    settings = index.settings()
    pictures = files.ready()
    from recq.api.client import AskedFirst

    first, space = catalog_and_space(catalogs[0], settings.catalog)
    with AskedFirst(settings.model_copy(update={"catalog": first})) as catalog:
        comparison = catalog.compare(
            picture, catalogs[1:], k=k, filters=filters or [], any_of=any_of or [], space=space
        )
    emit(comparison_text(comparison, form, terminal()))
    for note in comparison.notes:
        complain(PROG, note)
    same = comparison.overlap()
    if same.of:
        complain(PROG, f"{same.told} results are the same in all catalogs")
    pictures.show(comparison, settings)
