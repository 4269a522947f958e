"""The command of `recq` that shows which regions make two pictures similar: explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from query.cli.option_groups import open_catalog
from query.cli.options import TargetArgument
from query.cli.regions import RegionsOption, parts
from query.cli.shell import PROG, emit
from query.text.render import ShowFormat, explanation_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped


@grouped
def explain(
    *,
    target: TargetArgument,
    result: Annotated[
        str,
        typer.Argument(
            metavar="RESULT",
            show_default=False,
            help="The picture that it is compared with, named like TARGET. Example: sofa_9.jpg",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.png",
            show_default=False,
            help="The picture to draw: both side by side, with the similar regions in colour. Example: --out why.png",
        ),
    ] = None,
    form: Annotated[
        ShowFormat,
        typer.Option("--format", help="How to print the score; json has the maps. Example: --format json"),
    ] = ShowFormat.TABLE,
    regions: RegionsOption = None,
    index: Index,
) -> None:
    """Which regions make two pictures similar, for each cell of the last feature map."""
    named = parts([target, result], regions)
    catalog = open_catalog(index)
    if out is not None:
        from recq.display.explanation import require_writable

        require_writable(out)
    with catalog:
        explanation = catalog.explain(named[0], named[1])
    emit(explanation_text(explanation, form))
    for note in explanation.notes:
        complain(PROG, note)
    if out is not None:
        from recq.display.explanation import write_picture

        write_picture(explanation, out)
        complain(PROG, f"picture written to {out}")
