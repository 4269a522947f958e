"""Arguments and options that several commands of `recq` have, each declared once; what filters look like, for help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from query.cli import completion
from query.text.formats import FormatName, format_name
from recq.commands import command
from recq.errors import FilterError
from recq.index.grammar import escape, escape_field, parse_all
from recq.index.operators import OPERATORS, Operator, plain_examples, quoted_examples


def filters_help(table: Iterable[Operator]) -> str:
    """What filters look like, for help."""
    table = list(table)
    return f"""\
Filters: all that are given must hold. Quote them, the shell has its own idea of < > | ! ?

{quoted_examples(table)}

The same without characters of the shell: {plain_examples(table)}

A backslash makes any character literal, a comma, a bar, a space at an end: 'brand=Smith\\, Jones'"""


FILTERS = filters_help(OPERATORS)
"""The epilog of every command that takes filters."""

FILTERS_AND_GROUPS = f"""{FILTERS}

One of several: --any-of 'category=sofa || price<=50', or --any-of category=sofa,,price=..50"""
"""The epilog of those that take --any-of as well."""

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="An indexed file's name or path, a point id, any picture's path, or - for a picture on standard input. "
        "Example: sofa_226.jpg, or ./sofa_226.jpg for the file where you are.",
    ),
]
TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET...",
        show_default=False,
        help="An indexed file's name or path, a point id, any picture's path, or - for a picture on standard input; "
        "several have an answer each. Example: sofa_226.jpg, or ./sofa_226.jpg for the file where you are.",
    ),
]
TargetsOption = Annotated[
    str | None,
    typer.Option(
        "--targets",
        metavar="FILE",
        show_default=False,
        help="Also the targets in a file, one a line or ended by NULs; - reads them from standard input. "
        "Example: --targets wanted.txt",
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        autocompletion=completion.filters,
        show_default=False,
        help="Only items that this holds for; may be given several times. Example: --filter 'category=sofa'",
    ),
]
FormatOption = Annotated[
    FormatName,
    typer.Option(
        "--format",
        parser=format_name,
        help="How to print the answer. Example: --format paths, one absolute path a line.",
    ),
]
KOption = Annotated[int, typer.Option("-k", "--top-k", metavar="N", help="How many results, at most. Example: -k 20")]
OffsetOption = Annotated[
    int | None,
    typer.Option(
        "--offset", metavar="N", min=0, show_default=False, help="Leave out the first N results. Example: --offset 20"
    ),
]
PageOption = Annotated[
    int | None,
    typer.Option(
        "--page", metavar="N", min=1, show_default=False, help="The Nth page of -k results. Example: -k 20 --page 2"
    ),
]
AnyOfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--any-of",
        metavar="GROUP",
        autocompletion=completion.alternatives,
        show_default=False,
        help="Only items that one of these filters holds for; may be given several times, every group must hold. "
        "Example: --any-of 'category=sofa || price<=50'",
    ),
]
GroupByOption = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="FIELD",
        autocompletion=completion.field,
        show_default=False,
        help="Only the first item of each value of a field, such as one view of each product. Example: --group-by sku",
    ),
]
KeepOwnGroupOption = Annotated[
    bool,
    typer.Option(
        "--keep-own-group",
        help="With --group-by: show also what is in the group of the picture asked with, such as other views of the "
        "same product. Example: --group-by sku --keep-own-group",
    ),
]
DiversityOption = Annotated[
    float,
    typer.Option(
        "--diversity",
        metavar="0..1",
        help="From the nearest (0) to the most varied (1): leave out what looks like results before it. "
        "Example: --diversity 0.3",
    ),
]
KeepDuplicatesOption = Annotated[
    bool,
    typer.Option(
        "--keep-duplicates",
        help="Show files of the same bytes as results of their own, not as one. Example: --keep-duplicates",
    ),
]
SortOption = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="FIELD",
        autocompletion=completion.order,
        show_default=False,
        help="Order by a field, descending with :desc; items without it come last. Example: --sort price:desc",
    ),
]
FieldsOption = Annotated[
    str | None,
    typer.Option(
        "--fields",
        metavar="A,B",
        autocompletion=completion.several_fields,
        show_default=False,
        help="The metadata to show, and no other. Example: --fields title,price",
    ),
]
NullOption = Annotated[
    bool,
    typer.Option(
        "--null",
        "-0",
        help="With --format paths: end each with a NUL, safe for any name. Example: --format paths -0 | xargs -0 ls",
    ),
]
MaxDistanceOption = Annotated[
    str | None,
    typer.Option(
        "--max-distance",
        metavar="DISTANCE",
        show_default=False,
        help="Leave out what is farther away, in a catalog of Euclidean distances; auto: what random pairs often are "
        "as near as. Example: --max-distance 12.5",
    ),
]
GridOption = Annotated[
    Path | None,
    typer.Option(
        "--grid",
        metavar="FILE",
        show_default=False,
        help="Also put the pictures into one PNG, or one HTML page with their metadata. Example: --grid shoes.html",
    ),
]
PreviewOption = Annotated[
    bool,
    typer.Option(
        "--preview",
        help="Also show the pictures on a terminal that can: kitty, iTerm2, WezTerm, foot and others. "
        "Example: --preview",
    ),
]
OpenOption = Annotated[
    bool,
    typer.Option(
        "--open",
        help="Open the pictures in the system's viewer: FILE of --grid, else a temporary PNG. "
        "Example: --grid shoes.html --open",
    ),
]
MinScoreOption = Annotated[
    str | None,
    typer.Option(
        "--min-score",
        metavar="SCORE",
        show_default=False,
        help="Leave out what is less similar (1 is the same picture); auto: what random pairs often reach. "
        "Example: --min-score 0.8",
    ),
]


def asked_with_words(words: Sequence[str], texts: Sequence[str] | None) -> str:
    """What to say to `recq search WORDS`: filters are written behind --filter, words are searched in a field.

    `texts` are the catalog's fields of texts, None where they are not known.
    """
    try:
        parse_all(words)
    except FilterError:
        text = escape(" ".join(words))
        likely = ["title"] if texts is None else sorted(texts, key=lambda each: (each != "title", each == "category"))
        fields = [escape_field(likely[0])] if likely else []
        told = [command("recq", "search", "--filter", f"{field}~{text}") for field in (*fields, "file.name")]
        ask = f"ask for them in {f'a field, {told[0]}, or in ' if fields else ''}the file's name, {told[-1]}"
        similar = command("recq", "similar", "PICTURE")
        return f"search takes no words by themselves: {ask}; what looks like a picture is found by {similar}"
    options = [option for word in words for option in ("--filter", word)]
    return f"a filter stands behind --filter: {command('recq', 'search', *options)}"
