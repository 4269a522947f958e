"""The command `recq`: what else looks like this one, among the things I filtered for?

A thin shell: each command is one call of `query.search` and one of `query.render`. Whatever is slow to import (the
index, models, Rich, Pillow) is imported where it is used: `recq --help` needs none of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from query.render import FacetsFormat, Format, ShowFormat, answer_text, facets_text, shown_text
from recq.cli_errors import complain, run
from recq.cli_options import CatalogOption, DataDirOption, DebugOption, UrlOption, version_option

if TYPE_CHECKING:
    from query.results import Answer
    from recq.settings import Settings

PROG = "recq"
FILTERS = """\
Filters: all that are given must hold. Quote them, the shell has its own idea of < > | ! ?

'category=sofa'   'category=sofa|bed'   'category!=sofa'   'price<=50'   'title~leather tote'   'labels=Action'
'price?' (has one)   '!price?' (has none)

The same without characters of the shell: price=..100   price=10..50   category=sofa,bed   has:price   no:price

A literal comma or bar is written with a backslash: 'brand=Smith\\, Jones'"""

app = typer.Typer(
    name=PROG,
    help="Find what looks like a picture, among the pictures you filter for.",
    epilog="Try it: recq similar photo.jpg -k 5 --filter 'category=sofa'",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


@app.callback()
def recq_(
    version: Annotated[bool, version_option(PROG)] = False,
) -> None:
    """Options of `recq` itself; Typer shows the app's own help."""


@app.command(epilog=FILTERS)
def similar(
    target: TargetArgument,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many results, at most. Example: -k 20")] = 5,
    filters: FilterOption = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="SCORE",
            show_default=False,
            help="Leave out what is less similar (1 is the same picture). Example: --min-score 0.8",
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
    grid: Annotated[
        Path | None,
        typer.Option(
            "--grid",
            metavar="FILE.png",
            show_default=False,
            help="Also draw target and results as one picture. Example: --grid shoes.png",
        ),
    ] = None,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """What looks most like TARGET. An indexed target is compared by its stored vector: no model is loaded."""
    settings = load(catalog, url, data_dir)
    if grid is not None:
        from query.grid import require_writable

        require_writable(grid)
    from query.search import similar_in

    answer = similar_in(settings, target, k, filters or [], min_score)
    emit(answer_text(answer, form, terminal()))
    remark(answer, "nothing matches: ask with fewer filters or a lower --min-score")
    if grid is not None:
        from query.grid import write_grid

        write_grid(answer, grid, settings)
        complain(PROG, f"picture grid written to {grid}")


@app.command(epilog=FILTERS)
def search(
    filters: FilterOption = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many items, at most. Example: -k 100")] = 20,
    form: FormatOption = Format.TABLE,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Items that all filters hold for, ordered by path; no picture is compared."""
    settings = load(catalog, url, data_dir)
    from query.search import search_in

    answer = search_in(settings, filters or [], k)
    emit(answer_text(answer, form, terminal()))
    remark(answer, "nothing matches: ask with fewer filters" if filters else "nothing is indexed yet")


@app.command()
def show(
    target: TargetArgument,
    form: Annotated[ShowFormat, typer.Option("--format", help="How to print it. Example: --format json")] = (
        ShowFormat.TABLE
    ),
    json_: Annotated[
        bool, typer.Option("--json", help="Short for --format json. Example: recq show sofa_226.jpg --json")
    ] = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Everything known of one item, and for a failed one the reason."""
    settings = load(catalog, url, data_dir)
    from query.search import show_in

    emit(shown_text(show_in(settings, target), ShowFormat.JSON if json_ else form, terminal()))


@app.command(epilog=FILTERS)
def facets(
    field: Annotated[
        str,
        typer.Argument(
            metavar="FIELD", show_default=False, help="A metadata field, or one of file.*. Example: category"
        ),
    ],
    filters: FilterOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="How many values, at most. Example: --limit 200")
    ] = 50,
    form: Annotated[FacetsFormat, typer.Option("--format", help="How to print them. Example: --format json")] = (
        FacetsFormat.TABLE
    ),
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """The values of a metadata field and how many items have each; ranges for numbers and dates."""
    settings = load(catalog, url, data_dir)
    from query.search import facets_in

    emit(facets_text(facets_in(settings, field, filters or [], limit), form, terminal()))


def load(catalog: str | None, url: str | None, data_dir: Path | None) -> Settings:
    """The settings in force."""
    from recq.settings import Settings

    return Settings.load(catalog=catalog, url=url, data_dir=data_dir)


def terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def emit(text: str) -> None:
    """The answer on standard output: UTF-8 whatever the locale, undecodable file names as the bytes they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def remark(answer: Answer, nothing: str) -> None:
    """What there is to say about an answer, on standard error; `nothing` when it is empty."""
    for note in answer.notes:
        complain(PROG, note)
    if not answer.results:
        complain(PROG, nothing)


def main() -> None:
    """The console script."""
    sys.exit(run(app, PROG))


if __name__ == "__main__":
    main()
