"""The command `recq`: finds the pictures that look like a given one, among those that match the filters.

The commands are in files of their own, `query/cli/NAME.py`, and are registered here. Each is one call
of the library and one of `query.text.render`. Modules that are slow to import (the index, models, Rich, Pillow) are
imported where it is used: `recq --help` needs none of it.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import recq
from query.cli.compare import compare
from query.cli.completion import in_bash
from query.cli.duplicates import duplicates
from query.cli.evaluate import evaluate
from query.cli.explain import explain
from query.cli.options import FILTERS, FILTERS_AND_GROUPS
from query.cli.search import recommend, search, similar
from query.cli.shell import PROG
from query.cli.show import catalogs, facets, fields, show
from query.cli.transfer import export, import_
from recq.cli_errors import run
from recq.cli_options import version_option

app = typer.Typer(
    name=PROG,
    help="Find what looks like a picture, among the pictures you filter for.",
    epilog="Try it: recq similar photo.jpg -k 5 --filter 'category=sofa'",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def recq_(
    version: Annotated[bool, version_option(PROG, recq.__version__)] = False,
) -> None:
    """Options of `recq` itself; Typer shows the app's own help."""


_WITH_WORDS = {"allow_extra_args": True}  # words that are no arguments: the command itself reports them

# In the order of `recq --help`.
app.command(epilog=FILTERS_AND_GROUPS)(similar)
app.command(epilog=FILTERS_AND_GROUPS, context_settings=_WITH_WORDS)(recommend)
app.command(epilog=FILTERS_AND_GROUPS, context_settings=_WITH_WORDS)(search)
app.command()(show)
app.command()(catalogs)
app.command()(fields)
app.command(epilog=FILTERS)(facets)
app.command()(explain)
app.command(epilog=FILTERS_AND_GROUPS)(compare)
app.command(epilog=FILTERS)(duplicates)
app.command(epilog=FILTERS)(evaluate)
app.command(epilog=FILTERS)(export)
app.command("import")(import_)


def main() -> None:
    """The console script."""
    if os.environ.get("_RECQ_COMPLETE") == "complete_bash":
        sys.exit(in_bash(os.environ, lambda: run(app, PROG, [])))
    sys.exit(run(app, PROG))
