"""The command of `recq` that tells what changed in a catalog: changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from query.cli.option_groups import asked_first
from query.cli.shell import PROG, emit, terminal
from query.text.render import ChangesFormat, change_lines, changes_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import format_option
from recq.commands import command

if TYPE_CHECKING:
    from recq.settings import Settings

_LOOK_EVERY = 0.5  # seconds between two looks at the index
_AT_ONCE = 100  # changes that are read at a time


@grouped
def changes(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="CURSOR",
            show_default=False,
            help="Only what came after this cursor, the one of an earlier answer; 'now' gives a cursor alone. "
            "Example: --since now",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="The largest number of changes. Example: --limit 500")
    ] = _AT_ONCE,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="A line for each change as it comes, until a signal ends it; without --since from now on. "
            "Example: --follow",
        ),
    ] = False,
    form: Annotated[ChangesFormat, format_option("them")] = ChangesFormat.TABLE,
    json_: Annotated[
        bool, typer.Option("--json", help="Short for --format json, with --follow for jsonl. Example: --json")
    ] = False,
    index: Index,
) -> None:
    """What was indexed, changed, failed and went since a cursor, in the order of the writes."""
    if follow:
        _follow(index.settings(), since, ChangesFormat.JSONL if json_ else form)
        return
    with asked_first(index) as catalog:
        found = catalog.changes(since, limit=limit)
    emit(changes_text(found, ChangesFormat.JSON if json_ else form, terminal()))
    if form is ChangesFormat.TABLE and not json_:
        what = "there are more" if found.more else "what comes next"
        complain(PROG, f"{what}: {command(PROG, 'changes', '--since', str(found.cursor))}")


def _follow(settings: Settings, since: str | None, form: ChangesFormat) -> None:
    """Print what comes, until a signal. Raises CursorGone, and what is wrong with the index at the start."""
    from recq.errors import IndexError_
    from recq.face.catalog import ImageCatalog
    from recq.signals import Signals

    with Signals(0) as signals, ImageCatalog(settings) as catalog:
        signals.working(lambda: None)
        found = catalog.changes(since or "now", limit=_AT_ONCE)
        away = False
        while True:
            emit(change_lines(found, form))
            if not found.more and signals.stop.wait(_LOOK_EVERY):
                return
            try:
                found = catalog.changes(str(found.cursor), limit=_AT_ONCE)
                away = False
            except IndexError_ as error:  # a daemon starts or ends, or a server is away: it comes back
                if not away:
                    complain(PROG, f"{error}; trying again")
                found, away = type(found)((), found.cursor), True
