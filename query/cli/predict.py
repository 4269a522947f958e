"""The command of `recq` that names what a picture is: predict."""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli import completion
from query.cli.option_groups import asked_first
from query.cli.options import TargetsArgument, TargetsOption, space_option
from query.cli.regions import RegionsOption, parts
from query.cli.shell import PROG, emit, terminal
from query.text.render import FacetsFormat, predictions_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import format_option
from recq.commands import command
from recq.errors import ItemsFailed, UsageError
from recq.learn.prediction import Prediction
from recq.search.many import FailedTarget, read_targets


@grouped
def predict(
    *,
    targets: TargetsArgument = None,
    targets_file: TargetsOption = None,
    regions: RegionsOption = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="How many labels are shown. Example: --top 5")
    ] = 3,
    space: Annotated[
        str | None,
        space_option(
            "The trained space whose labels are predicted, needed where there are several, or imagenet.",
            completion.predictors,
        ),
    ] = None,
    form: Annotated[FacetsFormat, format_option("them")] = (FacetsFormat.TABLE),
    index: Index,
) -> int:
    """What TARGET is, in the labels that a space was trained on, or in ImageNet's classes: probabilities, or that it is
    none of them.

    ImageNet's 1,000 classes need no training: they answer where no space was trained, and with --space imagenet.
    """
    catalog = asked_first(index)
    named = [*parts(targets or [], regions), *(read_targets(targets_file) if targets_file is not None else [])]
    if not named:
        raise UsageError(
            f"nothing to predict: name a TARGET, as in {command('recq', 'predict', 'mine.jpg')}, or --targets FILE"
        )
    with catalog:
        found = catalog.predict(named, space=space, top=top)
    predictions = [each for each in found if isinstance(each, Prediction)]
    failed = [each for each in found if isinstance(each, FailedTarget)]
    emit(predictions_text(predictions, form, terminal()))
    for each in failed:
        complain(PROG, each.error)
    if failed and len(named) > 1:
        complain(PROG, f"{len(failed):,} of {len(named):,} targets have no answer")
    return ItemsFailed.exit_code if failed else 0
