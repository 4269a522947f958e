"""The command of `recq` that measures: evaluate.

A thin shell, which `query.cli.main` makes part of the program: what is slow to import is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from query.cli.option_groups import open_catalog
from query.cli.progress import bar
from query.cli.shell import PROG, counted, emit, terminal
from query.text.render import ShowFormat, evaluation_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import format_option
from recq.errors import UsageError

if TYPE_CHECKING:
    from recq.evaluate.results import Evaluation


@grouped
def evaluate(
    *,
    label: Annotated[
        str,
        typer.Option(
            "--label",
            metavar="FIELD",
            show_default=False,
            help="The metadata field, or one of file.*, whose equal values make two items alike. "
            "Example: --label category",
        ),
    ],
    ks: Annotated[
        str,
        typer.Option(
            "-k", "--top-k", metavar="N,N", help="How many nearest items precision and recall look at. Example: -k 5"
        ),
    ] = "1,5,10",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="CATALOG",
            show_default=False,
            help="Another catalog of the same files, measured on the items that both have; may be given several times. "
            "Example: --against images-mobilenet",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            min=1,
            show_default=False,
            help="Ask for N random items only. Example: --sample 2000",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, help="Of everything random: the same seed, the same answer. Example: --seed 7"
        ),
    ] = 0,
    query_filters: Annotated[
        list[str] | None,
        typer.Option(
            "--query-filter",
            metavar="FILTER",
            show_default=False,
            help="Only items that this holds for ask; may be given several times. Example: --query-filter 'view=main'",
        ),
    ] = None,
    gallery_filters: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery-filter",
            metavar="FILTER",
            show_default=False,
            help="Only items that this holds for are found; may be given several times. "
            "Example: --gallery-filter 'category!=sofa'",
        ),
    ] = None,
    form: Annotated[ShowFormat, format_option("it")] = (ShowFormat.TABLE),
    index: Index,
) -> None:
    """How often what lies nearest shares a label: precision, recall and mAP, every item asking for all others."""
    catalog = open_catalog(index)
    chosen = numbers(ks)
    with catalog, bar() as progress:
        evaluation = catalog.evaluate(
            label,
            ks=chosen,
            against=against or [],
            sample=sample,
            seed=seed,
            query_filters=query_filters or [],
            gallery_filters=gallery_filters or [],
            progress=progress,
        )
    emit(evaluation_text(evaluation, form, terminal()))
    for remark in remarks(evaluation):
        complain(PROG, remark)


def numbers(text: str) -> list[int]:
    """The numbers of `-k`. Raises UsageError."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"-k {text} cannot be read: write numbers with commas, as in -k 1,5,10") from None


def remarks(evaluation: Evaluation) -> Iterator[str]:
    """What was left out, a line each."""
    left, label = evaluation.left_out, evaluation.label
    if left.unlabelled:
        yield f"{counted(left.unlabelled, 'item')} without a {label} left out"
    if left.elsewhere:
        yield f"{counted(left.elsewhere, 'item')} left out that not every catalog has"
    if left.alone:
        yield f"{counted(left.alone, 'item')} did not ask: nothing else to be found has the same {label}"
    if left.copies:
        what = "1 copy was" if left.copies == 1 else f"{left.copies:,} copies were"
        yield f"{what} left out: the same bytes as the item that asked"
