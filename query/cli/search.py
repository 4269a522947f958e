"""The commands of `recq` that look for items: similar, recommend, search.

`query.cli.main` registers them. Modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from query.cli.option_groups import Matched, Output, PictureFiles, Ranked, asked, asked_first
from query.cli.options import TargetsArgument, TargetsOption, asked_with_words
from query.cli.regions import RegionsOption, parts
from query.cli.shell import emit, remark, terminal
from query.text.formats import Printer
from recq.cli_groups import Index, grouped
from recq.commands import command
from recq.errors import RecqError, UsageError
from recq.index.similarity import Strategy
from recq.search.output_format import Page

if TYPE_CHECKING:
    from query.cli.picture_outputs import Pictures
    from recq.search.results import Answer
    from recq.settings import Settings


@grouped
def similar(
    *,
    targets: TargetsArgument = None,
    targets_file: TargetsOption = None,
    regions: RegionsOption = None,
    question: Ranked,
    output: Output,
    files: PictureFiles,
    index: Index,
) -> int:
    """What looks most like TARGET. An indexed target is compared by its stored vector: no model is loaded."""
    wanted = asked(question)
    output.require_sane()
    named = parts(targets or [], regions)
    catalog = asked_first(index)
    pictures = files.ready()
    with catalog:
        if targets_file is not None or len(named) > 1:
            from query.cli.many import answer_many

            return answer_many(catalog, named, targets_file, wanted, output, pictures)
        if not named:
            example = command("recq", "similar", "sofa.jpg")
            raise UsageError(f"nothing to compare with: name a TARGET, as in {example}, or --targets FILE")
        answer = catalog.similar(named[0], **wanted)
    _tell(answer, output, pictures, catalog.settings)
    return 0


@grouped
def recommend(
    *,
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
            help="How liked and disliked pictures become one score: by the mean of their vectors, by the nearest of "
            "them, or by the sum of their scores. "
            "Example: --strategy best",
        ),
    ] = Strategy.AVERAGE,
    regions: RegionsOption = None,
    question: Ranked,
    output: Output,
    files: PictureFiles,
    index: Index,
) -> None:
    """Items near to the pictures you like and far from those you dislike; none of these is among the results."""
    if ctx.args:
        index.settings()
        meant = command("recq", "recommend", "--like", ctx.args[0])
        raise UsageError(f"recommend takes pictures after --like and --dislike: {meant}")
    wanted = asked(question)
    output.require_sane()
    named = parts([*(like or []), *(dislike or [])], regions)
    liked = len(like or [])
    catalog = asked_first(index)
    pictures = files.ready()
    with catalog:
        answer = catalog.recommend(named[:liked], named[liked:], strategy=strategy.value, **wanted)
    _tell(answer, output, pictures, catalog.settings)


@grouped
def search(*, ctx: typer.Context, question: Matched, output: Output, files: PictureFiles, index: Index) -> None:
    """Items that match all filters, ordered by path or by a field; no picture is compared."""
    if ctx.args:
        texts = None
        with asked_first(index) as catalog, suppress(RecqError):
            texts = catalog.text_fields()
        raise UsageError(asked_with_words(ctx.args, texts))
    wanted = asked(question)
    output.require_sane()
    catalog = asked_first(index)
    pictures = files.ready()
    with catalog:
        answer = catalog.search(**wanted)
    _tell(answer, output, pictures, catalog.settings)


def _tell(answer: Answer, output: Output, pictures: Pictures, settings: Settings) -> None:
    """Print the answer and the remarks on it, and write the picture if it is wanted."""
    emit(Printer(output.form, Page(terminal(), output.null)).answer(answer))
    remark(answer)
    pictures.show(answer, settings)
