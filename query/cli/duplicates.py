"""The command of `recq` that looks for the same picture several times: duplicates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from query.cli.option_groups import PictureFiles, open_catalog, require_paths
from query.cli.options import FilterOption, NullOption
from query.cli.shell import PROG, counted, emit, terminal
from query.text.render import Format, duplicates_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_progress import bar
from recq.duplicates.kinds import Kind
from recq.errors import UsageError
from recq.search.output_format import Page


class _Wanted(StrEnum):
    """The kinds that `--kind` takes; the same bytes are always one picture."""

    COPY = Kind.COPY
    CROP = Kind.CROP
    MIRROR = Kind.MIRROR


@grouped
def duplicates(
    *,
    kinds: Annotated[
        list[_Wanted] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            show_default=False,
            help="What is the same picture besides the same bytes: copy (resized, recompressed, another format), crop, "
            "mirror (left and right exchanged); repeatable, copy and crop when none is given. "
            "Example: --kind copy --kind mirror",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            show_default=False,
            help="The least cosine of two pictures that are compared, 0.6 by default: a higher one is faster and finds "
            "less. Example: --min-score 0.9",
        ),
    ] = None,
    max_distance: Annotated[
        float | None,
        typer.Option(
            "--max-distance",
            metavar="DISTANCE",
            show_default=False,
            help="The same for a catalog of Euclidean distances: the greatest distance; any by default. "
            "Example: --max-distance 4.5",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Only the same bytes; neither vectors nor pictures are read. Example: recq duplicates --exact",
        ),
    ] = False,
    filters: FilterOption = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="How to print the groups; paths are those of all but the first of each group. Example: --format jsonl",
        ),
    ] = Format.TABLE,
    null: NullOption = False,
    files: PictureFiles,
    index: Index,
) -> None:
    """Groups of items that are the same picture: the same bytes, or a copy that was resized, recompressed or cropped.

    Pictures with near vectors are read and compared. The first of each group is the one to keep. Nothing is deleted.
    """
    if exact and kinds:
        raise UsageError("--exact compares only bytes: leave out --kind, or --exact")
    require_paths(form, null)
    catalog = open_catalog(index)
    pictures = files.ready()
    from recq.face.catalog import DEFAULT_KINDS

    with catalog, bar() as progress:
        found = catalog.duplicates(
            kinds=list(kinds) if kinds else DEFAULT_KINDS,
            exact=exact,
            min_score=min_score,
            max_distance=max_distance,
            filters=filters or [],
            progress=progress,
        )
    emit(duplicates_text(found, form, Page(terminal(), null)))
    how = ", ".join(["same bytes", *(str(kind) for kind in Kind if kind in found.kinds)])
    items = counted(found.items, "item")
    groups = counted(len(found.groups), "group")
    told = (
        f"{groups}, {found.superfluous:,} of {items} not the first of theirs"
        if found.groups
        else f"no duplicates among {items}"
    )
    complain(PROG, found.no_items.text if found.no_items is not None else f"{told} ({how})")
    if found.unread:
        count = sum(found.unread.values())
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(found.unread.items()))
        complain(PROG, f"of {counted(count, 'picture')} only the bytes were compared: {reasons}")
    pictures.show(found, catalog.settings)
