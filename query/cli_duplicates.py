"""The command of `recq` that looks for the same picture several times: duplicates."""

from __future__ import annotations

from typing import Annotated

import typer

from query.options import FilterOption, GridOption, OpenOption, PreviewOption
from query.pictures import Pictures
from query.progress import bar
from query.render import Format, duplicates_text
from query.shell import PROG, counted, emit, load, terminal
from recq.cli_errors import complain
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption


def duplicates(
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            show_default=False,
            help="From which cosine on two pictures are one; by default random pairs decide, mostly 0.95. "
            "Example: --min-score 0.9",
        ),
    ] = None,
    max_distance: Annotated[
        float | None,
        typer.Option(
            "--max-distance",
            metavar="DISTANCE",
            show_default=False,
            help="The same for a catalog that compares by distance. Example: --max-distance 4.5",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Only the same bytes; no vectors are read. Example: recq duplicates --exact")
    ] = False,
    filters: FilterOption = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="How to print the groups; paths are those of all but the first of each group. Example: --format jsonl",
        ),
    ] = Format.TABLE,
    grid: GridOption = None,
    preview: PreviewOption = False,
    open_: OpenOption = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Groups of items that are the same picture: the same bytes, or a copy that was resized, cropped or recompressed.

    The first of each group has the most pixels. Nothing is deleted.
    """
    settings = load(catalog, url, data_dir)
    pictures = Pictures(grid, preview, open_)
    from query.duplicates import duplicates_in

    with bar() as progress:
        found = duplicates_in(
            settings,
            min_score=min_score,
            max_distance=max_distance,
            exact=exact,
            filters=filters or [],
            progress=progress,
        )
    emit(duplicates_text(found, form, terminal()))
    how = "same bytes" if found.limit is None else f"limit {found.limit:.3f}"
    items = counted(found.items, "item")
    groups = counted(len(found.groups), "group")
    told = (
        f"{groups}, {found.superfluous:,} of {items} not the first of theirs"
        if found.groups
        else f"no duplicates among {items}"
    )
    complain(PROG, f"{told} ({how})")
    pictures.show(found, settings)
