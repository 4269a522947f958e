"""The command of `recq` that measures: evaluate.

`query.cli.main` registers it. Modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from query.cli.option_groups import open_catalog
from query.cli.shell import PROG, counted, emit, terminal
from query.text.render import ShowFormat, evaluation_text, index_evaluation_text, judged_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import format_option
from recq.cli_progress import bar
from recq.errors import UsageError
from recq.paths import printable

if TYPE_CHECKING:
    from recq.evaluate.results import Evaluation

SAMPLE = 100
"""How many random items ask for each shape of filter, when nobody says otherwise."""


@grouped
def evaluate(
    *,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="FIELD",
            show_default=False,
            help="The metadata field, or one of file.*, whose equal values make two items relevant to each other. "
            "Example: --label category",
        ),
    ] = None,
    of_index: Annotated[
        bool,
        typer.Option(
            "--index",
            help="Measure the index in place of the network: which share of the exact answers it gives, under each "
            "shape of filter. Example: recq evaluate --index --sample 200",
        ),
    ] = False,
    judgements: Annotated[
        list[Path] | None,
        typer.Option(
            "--judgements",
            metavar="FILE",
            show_default=False,
            help="Measure by what people judged, as the page writes it: a file of JSON Lines; may be given several "
            "times. Example: --judgements likes.jsonl",
        ),
    ] = None,
    ks: Annotated[
        str,
        typer.Option(
            "-k",
            "--top-k",
            metavar="N,N",
            help="How many nearest items precision and recall look at; the largest counts for --index. Example: -k 5",
        ),
    ] = "1,5,10",
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="CATALOG",
            show_default=False,
            help="Another catalog of the same files, measured on the items that both have, or a trained space, "
            "@NAME or CATALOG@NAME; may be given several times. "
            "Example: --against images-mobilenet --against @by-category",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            min=1,
            show_default=False,
            help="Use only N random items as queries, 100 for --index when not given. Example: --sample 2000",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="The seed of all random choices: the same seed gives the same answer. Example: --seed 7",
        ),
    ] = 0,
    query_filters: Annotated[
        list[str] | None,
        typer.Option(
            "--query-filter",
            metavar="FILTER",
            show_default=False,
            help="Only matching items are queries; may be given several times. Example: --query-filter 'view=main'",
        ),
    ] = None,
    gallery_filters: Annotated[
        list[str] | None,
        typer.Option(
            "--gallery-filter",
            metavar="FILTER",
            show_default=False,
            help="Only matching items may be results; may be given several times; for --index one more shape. "
            "Example: --gallery-filter 'category!=sofa'",
        ),
    ] = None,
    form: Annotated[ShowFormat, format_option("it")] = (ShowFormat.TABLE),
    index: Index,
) -> None:
    """How often the nearest items have the same label: precision, recall and mAP, with every item as a query.

    With --index, how much of the exact answer a server's index gives; with --judgements, nDCG by likes and dislikes.
    """
    ways = {"--label": label is not None, "--index": of_index, "--judgements": bool(judgements)}
    chosen_ways = [name for name, is_given in ways.items() if is_given]
    if not chosen_ways:
        raise UsageError(
            "--label FIELD is missing, as in --label category (or --index, to measure the index, or --judgements FILE)"
        )
    if len(chosen_ways) > 1:
        raise UsageError(
            "--label measures the network, --index the index and --judgements the network by likes and dislikes: give "
            "one of them"
        )
    chosen = numbers(ks)
    if judgements:
        for name, value in (
            ("--sample", sample),
            ("--query-filter", query_filters),
            ("--gallery-filter", gallery_filters),
        ):
            if value:
                raise UsageError(f"--judgements says which items ask, {name} belongs to --label: leave it out")
        with open_catalog(index) as catalog, bar() as progress:
            judged = catalog.evaluate_judgements(
                judgements, ks=chosen, against=against or [], seed=seed, progress=progress
            )
        emit(judged_text(judged, form, terminal()))
        for remark in [judged.told, *judged.remarks]:
            complain(PROG, remark)
        return
    catalog = open_catalog(index)
    if label is None:
        for name, given in (("--against", against), ("--query-filter", query_filters)):
            if given:
                raise UsageError(f"--index measures one catalog's answers, {name} belongs to --label: leave it out")
        with catalog, bar() as progress:
            found = catalog.evaluate_index(
                k=max(chosen), sample=sample or SAMPLE, seed=seed, filters=gallery_filters or [], progress=progress
            )
        emit(index_evaluation_text(found, form, terminal()))
        complain(PROG, found.verdict)
        return
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
    """What was left out, one line for each reason."""
    left, label = evaluation.left_out, evaluation.label
    if left.unlabelled:
        yield f"{counted(left.unlabelled, 'item')} without a {label} left out"
    if left.elsewhere:
        yield f"{counted(left.elsewhere, 'item')} left out that not every catalog has"
    if left.alone:
        yield f"{counted(left.alone, 'item')} left out as queries: no other item has the same {label}"
    if left.copies:
        what = "1 copy was" if left.copies == 1 else f"{left.copies:,} copies were"
        yield f"{what} left out: the same bytes as the query"
    measured = [(evaluation.catalog, evaluation.space), *((each.catalog, each.space) for each in evaluation.against)]
    for catalog, space in measured:
        if space.trained_on is not None:
            yield (
                f"{printable(catalog)} has learned the {printable(space.trained_on)} of these items: "
                "new pictures are found less well, the report of its training says how well"
            )
