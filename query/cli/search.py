"""The commands of `recq` that look for items: similar, recommend, search.

Thin shells, which `query.cli.main` makes part of the program: what is slow to import is imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from query.cli.options import (
    AnyOfOption,
    DiversityOption,
    FieldsOption,
    FilterOption,
    FormatOption,
    GridOption,
    GroupByOption,
    KeepDuplicatesOption,
    KeepOwnGroupOption,
    KOption,
    MaxDistanceOption,
    MinScoreOption,
    NullOption,
    OffsetOption,
    OpenOption,
    PageOption,
    PreviewOption,
    SortOption,
    TargetsArgument,
    TargetsOption,
    asked_with_words,
    parameters_of,
    require_null_fits,
)
from query.cli.picture_outputs import Pictures
from query.cli.shell import emit, load, remark, terminal
from query.text.formats import TABLE, FormatName, Printer
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption
from recq.commands import command
from recq.errors import UsageError
from recq.index.similarity import Strategy
from recq.search.output_format import Page

if TYPE_CHECKING:
    from recq.search.results import Answer
    from recq.settings import Settings


def similar(
    targets: TargetsArgument = None,
    targets_file: TargetsOption = None,
    k: KOption = 5,
    offset: OffsetOption = None,
    page: PageOption = None,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    min_score: MinScoreOption = None,
    max_distance: MaxDistanceOption = None,
    group_by: GroupByOption = None,
    keep_own_group: KeepOwnGroupOption = False,
    diversity: DiversityOption = 0.0,
    keep_duplicates: KeepDuplicatesOption = False,
    sort: SortOption = None,
    fields: FieldsOption = None,
    form: FormatOption = TABLE,
    null: NullOption = False,
    grid: GridOption = None,
    preview: PreviewOption = False,
    open_: OpenOption = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> int:
    """What looks most like TARGET. An indexed target is compared by its stored vector: no model is loaded."""
    parameters = parameters_of(
        k,
        offset,
        page,
        filters,
        any_of,
        group_by,
        diversity,
        keep_duplicates,
        sort,
        fields,
        min_score,
        max_distance,
        keep_own_group,
    )
    require_null_fits(null, form)
    settings = load(catalog, url, data_dir)
    pictures = Pictures(grid, preview, open_)
    if targets_file is not None or (targets is not None and len(targets) > 1):
        from query.cli.many import answer_many

        return answer_many(settings, targets or [], targets_file, parameters, form, null, pictures)
    if not targets:
        raise UsageError(
            f"nothing to compare with: name a TARGET, as in {command('recq', 'similar', 'sofa.jpg')}, or --targets FILE"
        )
    from recq.search.search import similar_in

    _tell(similar_in(settings, targets[0], parameters), form, null, pictures, settings)
    return 0


def recommend(
    ctx: typer.Context,
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="TARGET",
            show_default=False,
            help="A picture to be near to, as TARGET of recq similar; may be given several times. "
            "Example: --like sofa_226.jpg --like ./mine.jpg",
        ),
    ] = None,
    dislike: Annotated[
        list[str] | None,
        typer.Option(
            "--dislike",
            metavar="TARGET",
            show_default=False,
            help="A picture to be far from; may be given several times. Example: --dislike sofa_7.jpg",
        ),
    ] = None,
    strategy: Annotated[
        Strategy,
        typer.Option(
            "--strategy",
            help="Near to the middle of all that is liked, to the best of them, or to each a little. "
            "Example: --strategy best",
        ),
    ] = Strategy.AVERAGE,
    k: KOption = 5,
    offset: OffsetOption = None,
    page: PageOption = None,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    min_score: MinScoreOption = None,
    max_distance: MaxDistanceOption = None,
    group_by: GroupByOption = None,
    keep_own_group: KeepOwnGroupOption = False,
    diversity: DiversityOption = 0.0,
    keep_duplicates: KeepDuplicatesOption = False,
    sort: SortOption = None,
    fields: FieldsOption = None,
    form: FormatOption = TABLE,
    null: NullOption = False,
    grid: GridOption = None,
    preview: PreviewOption = False,
    open_: OpenOption = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """More like the pictures somebody chose, and unlike those they rejected; none of them is among the results."""
    if ctx.args:
        load(catalog, url, data_dir)
        meant = command("recq", "recommend", "--like", ctx.args[0])
        raise UsageError(f"recommend takes pictures behind --like and --dislike: {meant}")
    parameters = parameters_of(
        k,
        offset,
        page,
        filters,
        any_of,
        group_by,
        diversity,
        keep_duplicates,
        sort,
        fields,
        min_score,
        max_distance,
        keep_own_group,
    )
    require_null_fits(null, form)
    settings = load(catalog, url, data_dir)
    pictures = Pictures(grid, preview, open_)
    from recq.search.recommend import recommend_in

    _tell(recommend_in(settings, like or [], dislike or [], strategy, parameters), form, null, pictures, settings)


def search(
    ctx: typer.Context,
    filters: FilterOption = None,
    any_of: AnyOfOption = None,
    k: KOption = 20,
    offset: OffsetOption = None,
    page: PageOption = None,
    group_by: GroupByOption = None,
    diversity: DiversityOption = 0.0,
    keep_duplicates: KeepDuplicatesOption = False,
    sort: SortOption = None,
    fields: FieldsOption = None,
    form: FormatOption = TABLE,
    null: NullOption = False,
    grid: GridOption = None,
    preview: PreviewOption = False,
    open_: OpenOption = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Items that all filters hold for, ordered by path or by a field; no picture is compared."""
    if ctx.args:
        from recq.search.search import text_fields_in

        raise UsageError(asked_with_words(ctx.args, text_fields_in(load(catalog, url, data_dir))))
    parameters = parameters_of(k, offset, page, filters, any_of, group_by, diversity, keep_duplicates, sort, fields)
    require_null_fits(null, form)
    settings = load(catalog, url, data_dir)
    pictures = Pictures(grid, preview, open_)
    from recq.search.search import search_in

    _tell(search_in(settings, parameters), form, null, pictures, settings)


def _tell(answer: Answer, form: FormatName, null: bool, pictures: Pictures, settings: Settings) -> None:
    """The answer, remarks on it, and the picture where one is asked for."""
    emit(Printer(form, Page(terminal(), null)).answer(answer))
    remark(answer)
    pictures.show(answer, settings)
