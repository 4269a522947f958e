"""Arguments and options that several commands of `recq` share, each declared once, and the help on filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from query.cli import completion
from query.text.formats import FormatName, format_name
from recq.commands import command
from recq.errors import FilterError
from recq.index.grammar import escape, escape_field, parse_all
from recq.index.operators import OPERATORS, Operator, plain_examples, quoted_examples


def filters_help(table: Iterable[Operator]) -> str:
    """The help on filters."""
    table = list(table)
    return f"""\
Filters: an item must match all of them. Quote them: < > | ! ? mean something else to the shell.

{quoted_examples(table)}

The same without special characters of the shell: {plain_examples(table)}

A backslash makes any character literal, a comma, a bar, a space at an end: 'brand=Smith\\, Jones'"""


FILTERS = filters_help(OPERATORS)
"""The epilog of every command that takes filters."""

FILTERS_AND_GROUPS = f"""{FILTERS}

At least one of several: --any-of 'category=sofa || price<=50', or --any-of category=sofa,,price=..50"""
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
        "each of several gets its own answer. Example: sofa_226.jpg, or ./sofa_226.jpg for the file where you are.",
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
FieldArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.field,
        metavar="FIELD",
        show_default=False,
        help="A metadata field. Example: category",
    ),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        autocompletion=completion.filters,
        show_default=False,
        help="Only items that match this; may be given several times. Example: --filter 'category=sofa'",
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
KOption = Annotated[
    int, typer.Option("-k", "--top-k", metavar="N", help="The largest number of results. Example: -k 20")
]
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
        help="Only items that match one of these filters; may be given several times, each group must match. "
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
        help="With --group-by: show also items of the target's own group, such as other views of the "
        "same product. Example: --group-by sku --keep-own-group",
    ),
]
DiversityOption = Annotated[
    float,
    typer.Option(
        "--diversity",
        metavar="0..1",
        help="From the nearest (0) to the most varied (1): leave out items that look like earlier results. "
        "Example: --diversity 0.3",
    ),
]
KeepDuplicatesOption = Annotated[
    bool,
    typer.Option(
        "--keep-duplicates",
        help="Show every file of the same bytes, not only the first. Example: --keep-duplicates",
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
        help="The metadata fields to show; all by default. Example: --fields title,price",
    ),
]


def space_option(purpose: str, names: Callable[[typer.Context, str], list[str]] = completion.spaces) -> Any:
    """`--space` of a command that asks a trained space for that purpose; `names` completes it."""
    return typer.Option(
        "--space",
        metavar="NAME",
        autocompletion=names,
        show_default=False,
        help=f"{purpose} Example: --space by-category",
    )


SpaceOption = Annotated[
    str | None,
    space_option(
        "Put the 1,000 nearest into the order of a trained space of the catalog, to try it before switching to it."
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
        help="Leave out items that are farther away, in a catalog of Euclidean distances; auto: as far as random pairs "
        "often are. Example: --max-distance 12.5",
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
        help="Leave out less similar items (1 is the same picture); auto: those that score like random pairs. "
        "Example: --min-score 0.8",
    ),
]


def asked_with_words(words: Sequence[str], texts: Sequence[str] | None) -> str:
    """The message for `recq search WORDS`: filters are written after --filter, words are searched in a field.

    `texts` are the catalog's text fields, None where they are not known.
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
        return f"search takes no words by themselves: {ask}; {similar} finds what looks like a picture"
    options = [option for word in words for option in ("--filter", word)]
    return f"a filter is written after --filter: {command('recq', 'search', *options)}"
