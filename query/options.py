"""Arguments and options that several commands of `recq` have, each declared once; what filters look like, for help."""

from __future__ import annotations

from typing import Annotated

import typer

from query.render import Format

FILTERS = """\
Filters: all that are given must hold. Quote them, the shell has its own idea of < > | ! ?

'category=sofa'   'category=sofa|bed'   'category!=sofa'   'price<=50'   'title~leather tote'   'labels=Action'
'price?' (has one)   '!price?' (has none)

The same without characters of the shell: price=..100   price=10..50   category=sofa,bed   has:price   no:price

A literal comma or bar is written with a backslash: 'brand=Smith\\, Jones'"""
"""The epilog of every command that takes filters."""

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="An indexed file's name or path, a point id, any picture's path, or - for a picture on standard input. "
        "Example: sofa_226.jpg, or ./sofa_226.jpg for the file where you are.",
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        show_default=False,
        help="Only items that this holds for; may be given several times. Example: --filter 'category=sofa'",
    ),
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="How to print the answer. Example: --format paths, one absolute path a line."),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        metavar="SCORE",
        show_default=False,
        help="Leave out what is less similar (1 is the same picture). Example: --min-score 0.8",
    ),
]
