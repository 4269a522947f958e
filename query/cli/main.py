"""The command `recq`: finds the pictures that look like a given one, among those that match the filters.

The commands are in files of their own, `query/cli/NAME.py`, and are listed here. Each is one call of the library and
one of `query.text.render`. The file of a command is imported when the command runs, and modules that are slow to import
(the index, models, Rich, Pillow) where they are used: `recq --help` needs none of them.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import recq
from query.cli.shell import PROG
from recq.cli_commands import CommandsOnUse, Listed, ListedGroup, table
from recq.cli_errors import run
from recq.cli_options import version_option
from recq.start_up import begun, leaving

_FILTERS = "query.cli.options:FILTERS"
_FILTERS_AND_GROUPS = "query.cli.options:FILTERS_AND_GROUPS"
_WITH_WORDS = {"allow_extra_args": True}  # that are no arguments: the command itself says how to ask


class Recq(CommandsOnUse):
    """The commands in the order of `recq --help`."""

    table = table(
        Listed(
            "similar",
            "query.cli.search:similar",
            "What looks most like TARGET. An indexed target is compared by its stored vector: no model is loaded.",
            _FILTERS_AND_GROUPS,
        ),
        Listed(
            "recommend",
            "query.cli.search:recommend",
            "Items near to the pictures you like and far from those you dislike; none of these is among the results.",
            _FILTERS_AND_GROUPS,
            _WITH_WORDS,
        ),
        Listed(
            "search",
            "query.cli.search:search",
            "Items that match all filters, ordered by path or by a field; no picture is compared.",
            _FILTERS_AND_GROUPS,
            _WITH_WORDS,
        ),
        Listed(
            "show",
            "query.cli.show:show",
            "Everything that is known about one item, with the reason for a failed one.",
        ),
        Listed(
            "catalogs",
            "query.cli.show:catalogs",
            "The catalogs of the index: items, failed items, embedding space, sources, time of the last item.",
        ),
        Listed(
            "fields",
            "query.cli.show:fields",
            "The fields that filters can use: type, number of items, values or range, an example.",
        ),
        Listed(
            "facets",
            "query.cli.show:facets",
            "The values of a metadata field and the number of items of each; ranges for numbers and dates.",
            _FILTERS,
        ),
        Listed(
            "explain",
            "query.cli.explain:explain",
            "Which regions make two pictures similar, for each cell of the last feature map.",
        ),
        Listed(
            "compare",
            "query.cli.compare:compare",
            "What looks most like TARGET in several catalogs, such as one for each model, and what they have in "
            "common.",
            _FILTERS_AND_GROUPS,
        ),
        Listed(
            "predict",
            "query.cli.predict:predict",
            "What TARGET is, in the labels that a space was trained on, or in ImageNet's classes: probabilities, or "
            "that it is none of them.",
        ),
        ListedGroup(
            "labels",
            "Labels that can be trusted: likely mistakes, and which items to label next.",
            table(
                Listed(
                    "audit",
                    "query.cli.labels:audit",
                    "Likely mistakes in a field of labels, most certain first: neither classifier nor neighbours would "
                    "give the label.",
                    _FILTERS,
                ),
                Listed(
                    "suggest",
                    "query.cli.labels:suggest",
                    "Items without a label, the least certain first and no two alike, each with its probable label.",
                    _FILTERS,
                ),
            ),
        ),
        Listed(
            "duplicates",
            "query.cli.duplicates:duplicates",
            "Groups of items that are the same picture: the same bytes, or a copy that was resized, recompressed or "
            "cropped.",
            _FILTERS,
        ),
        Listed(
            "evaluate",
            "query.cli.evaluate:evaluate",
            "How often the nearest items have the same label: precision, recall and mAP, with every item as a query.",
            _FILTERS,
        ),
        Listed(
            "changes",
            "query.cli.changes:changes",
            "What was indexed, changed, failed and went since a cursor, in the order of the writes.",
        ),
        Listed("serve", "query.cli.serve:serve", "Answer the same questions over HTTP, until a signal ends it."),
        Listed(
            "watch",
            "query.cli.watch:watch",
            "Run a command or post to an address when a new picture matches a rule of recq.toml, until a signal ends "
            "it.",
        ),
        Listed(
            "export",
            "query.cli.transfer:export",
            "Write the whole catalog into a file, which `recq import` reads, or with --site as pages for a browser.",
            _FILTERS,
        ),
        Listed(
            "import",
            "query.cli.transfer:import_",
            "Write an export's items into a catalog, which is made if it is missing. Nothing is embedded again.",
        ),
    )


app = typer.Typer(
    name=PROG,
    cls=Recq,
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


def main() -> None:
    """The console script."""
    begun()
    if os.environ.get("_RECQ_COMPLETE") == "complete_bash":
        from query.cli.completion import in_bash

        code = in_bash(os.environ, lambda: run(app, PROG, []))
    else:
        code = run(app, PROG)
    leaving()
    sys.exit(code)
