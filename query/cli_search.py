"""The commands of `recq` that look for items: similar, search.

Thin shells, which `query.cli` makes part of the program: what is slow to import is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from query.options import FilterOption, FormatOption, MinScoreOption, TargetArgument
from query.render import Format, answer_text
from query.shell import PROG, emit, load, remark, terminal
from recq.cli_errors import complain
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption


def similar(
    target: TargetArgument,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many results, at most. Example: -k 20")] = 5,
    filters: FilterOption = None,
    min_score: MinScoreOption = None,
    form: FormatOption = Format.TABLE,
    grid: Annotated[
        Path | None,
        typer.Option(
            "--grid",
            metavar="FILE.png",
            show_default=False,
            help="Also draw target and results as one picture. Example: --grid shoes.png",
        ),
    ] = None,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """What looks most like TARGET. An indexed target is compared by its stored vector: no model is loaded."""
    settings = load(catalog, url, data_dir)
    if grid is not None:
        from query.grid import require_writable

        require_writable(grid)
    from query.search import similar_in

    answer = similar_in(settings, target, k, filters or [], min_score)
    emit(answer_text(answer, form, terminal()))
    remark(answer, "nothing matches: ask with fewer filters or a lower --min-score")
    if grid is not None:
        from query.grid import write_grid

        write_grid(answer, grid, settings)
        complain(PROG, f"picture grid written to {grid}")


def search(
    filters: FilterOption = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many items, at most. Example: -k 100")] = 20,
    form: FormatOption = Format.TABLE,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Items that all filters hold for, ordered by path; no picture is compared."""
    settings = load(catalog, url, data_dir)
    from query.search import search_in

    answer = search_in(settings, filters or [], k)
    emit(answer_text(answer, form, terminal()))
    remark(answer, "nothing matches: ask with fewer filters" if filters else "nothing is indexed yet")
