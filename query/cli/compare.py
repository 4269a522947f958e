"""The command of `recq` that asks several catalogs the same: compare."""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli.options import AnyOfOption, FilterOption, GridOption, KOption, OpenOption, PreviewOption, TargetArgument
from query.cli.picture_outputs import Pictures
from query.cli.shell import PROG, emit, load, terminal
from query.text.render import FacetsFormat, comparison_text
from recq.cli_errors import complain
from recq.cli_options import DataDirOption, DebugOption, UrlOption
from recq.index.parameters import Parameters


def compare(
    target: TargetArgument,
    catalogs: Annotated[
        list[str],
        typer.Option(
            "--catalog",
            metavar="NAME",
            show_default=False,
            help="A catalog to ask; two at least. Example: --catalog images --catalog images-mobilenet",
        ),
    ],
    k: KOption = 5,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    form: Annotated[FacetsFormat, typer.Option("--format", help="How to print it. Example: --format json")] = (
        FacetsFormat.TABLE
    ),
    grid: GridOption = None,
    preview: PreviewOption = False,
    open_: OpenOption = False,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """What several catalogs, such as one for each model, hold for most like TARGET, and what they have in common."""
    settings = load(None, url, data_dir)
    pictures = Pictures(grid, preview, open_)
    from recq.search.compare import compare_in

    comparison = compare_in(settings, target, catalogs, Parameters(k, 0, filters or [], any_of or []))
    emit(comparison_text(comparison, form, terminal()))
    for note in comparison.notes:
        complain(PROG, note)
    same = comparison.overlap()
    if same.of:
        complain(PROG, f"{same.told} results are the same in all catalogs")
    pictures.show(comparison, settings)
