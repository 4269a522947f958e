"""The options that both command lines have: which index, which catalog, tracebacks, the version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

CatalogOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        help="The catalog, 'images' unless RECQ_CATALOG names another. Example: --catalog products",
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        show_default=False,
        help="The Qdrant server to use, or several nodes of a cluster with commas between (RECQ_URL; its key in "
        "RECQ_API_KEY). Example: --url http://localhost:6333",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        show_default=False,
        help="Where the embedded index lives (RECQ_DATA_DIR); without --url it is used even if RECQ_URL is set. "
        "Example: --data-dir ~/recq-data",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Send the key to a server over plain http beyond private networks as well, where it can be read on the "
        "way. Example: --insecure",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. Example: --debug")]


def json_option(prog: str, command: str) -> Any:
    """`--json` of a command of a program."""
    return typer.Option("--json", help=f"Print JSON. Example: {prog} {command} --json")


def format_option(what: str) -> Any:
    """`--format` of a command that prints `what` ("it", "them")."""
    return typer.Option("--format", help=f"How to print {what}. Example: --format json")


def version_option(prog: str, version: str) -> Any:
    """The option `--version` of a program, which prints the version and ends it."""

    def show(asked: bool) -> None:
        if asked:
            typer.echo(f"{prog} {version}")
            raise typer.Exit

    return typer.Option(
        "--version", callback=show, is_eager=True, help=f"Print the version and exit. Example: {prog} --version"
    )
