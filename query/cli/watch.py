"""The command of `recq` that holds new pictures against the rules of recq.toml: watch."""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli.shell import PROG, emit
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped


@grouped
def watch(
    *,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="NAME", help="Only this rule; may be repeated. Example: --rule logos"),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when all that has changed was read and delivered. Example: --once")
    ] = False,
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="A rule that is new begins with all that is indexed, not with what comes. Example: --all"
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what matches; deliver and keep nothing. Example: --dry-run --once")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print what happens as JSON, a line each. Example: --json")
    ] = False,
    index: Index,
) -> None:
    """Run a command or post to an address when a new picture matches a rule of recq.toml, until a signal ends it."""
    settings = index.settings()
    from recq.watch.command import Wanted, watch_until_stopped

    wanted = Wanted(once=once, dry=dry_run, all_=all_)
    watch_until_stopped(
        settings,
        tuple(rule or ()),
        wanted,
        as_json=json_,
        tell=emit,
        ready=lambda text: complain(PROG, text),
    )
