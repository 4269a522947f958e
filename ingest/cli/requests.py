"""The commands of `recq-ingest` that request something: retry, confirm, problems, reconcile, drop.

`ingest.cli.main` adds them to the program. As there, modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.report import LogFormat
from recq.cli_groups import Index, WholeIndex, grouped
from recq.cli_options import json_option
from recq.commands import command
from recq.errors import UsageError
from recq.paths import printable
from recq.signals import INTERRUPTED

if TYPE_CHECKING:
    from ingest.service.outcome import Outcome
    from recq.operate.requests import Asked
    from recq.settings import Settings

SourceArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SOURCE]", show_default=False, help="One source, else all. Example: Pictures"),
]
MetadataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="A table to use instead of the folder's metadata.csv. Example: --metadata products.csv",
    ),
]
LogOption = Annotated[
    LogFormat | None,
    typer.Option(
        show_default=False,
        help="One line per event, as key=value text or as JSON; without it a terminal gets a progress bar. "
        "Example: --log-format json",
    ),
]

_DONE = {
    "indexed": "embedded",
    "reused": "with known bytes",
    "failed": "failed",
    "deleted": "deleted",
    "metadata": "described anew",
    "held": "held",
    "refused": "refused by the index",
}


@grouped
def retry(
    *,
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            show_default=False,
            help="Only items whose path, or SOURCE/path, looks like this. Example: 'scans/*.tif'",
        ),
    ] = None,
    json_: Annotated[bool, json_option("recq-ingest", "retry")] = False,
    index: Index,
) -> None:
    """Try failed items again, although their files have not changed. A running daemon begins at once."""
    settings = index.settings()
    from recq.operate.requests import retry as ask_for_retry
    from recq.search.session import Session

    with Session(settings) as session:
        asked = ask_for_retry(session, pattern)
    _print_asked(asked, "{items} will be tried again by {who}", nothing="nothing failed", json_=json_)


@grouped
def confirm(
    *,
    source: SourceArgument = None,
    json_: Annotated[bool, json_option("recq-ingest", "confirm")] = False,
    index: Index,
) -> None:
    """Let happen what was held because it was too much at once: deletions, and losses of metadata.

    What has gone is deleted from the index, what lost its metadata in the folder loses it there. Files are not touched.
    """
    settings = index.settings()
    from recq.operate.confirmation import confirm as ask_for_confirmation
    from recq.search.session import Session

    with Session(settings) as session:
        asked = ask_for_confirmation(session, source)
    line = "{who} deletes {items} from the index"
    metadata = "{who} takes from {items} the metadata that the folder does not give any more"
    _print_asked(asked, line, metadata, nothing="nothing is held", json_=json_)


@grouped
def problems(
    *,
    source: SourceArgument = None,
    json_: Annotated[bool, json_option("recq-ingest", "problems")] = False,
    csv_: Annotated[
        bool, typer.Option("--csv", help="Print CSV with a header. Example: recq-ingest problems --csv > problems.csv")
    ] = False,
    index: Index,
) -> None:
    """What is wrong with metadata, and what is skipped: listed until it is mended."""
    if json_ and csv_:
        raise UsageError("--json and --csv are two forms of the same: choose one")
    settings = index.settings()
    from recq.operate.problems import list_problems, to_csv
    from recq.search.session import Session

    with Session(settings) as session:
        found = list_problems(session, source)
    if json_:
        typer.echo(json.dumps([each.to_json() for each in found], ensure_ascii=False, indent=2))
    elif csv_:
        typer.echo(to_csv(found), nl=False)
    else:
        for name, group in groupby(found, key=lambda each: each.source):
            listed = list(group)
            count = sum(each.count for each in listed)
            typer.echo(f"{printable(name) or 'of no source'}: {count:,} problem{'' if count == 1 else 's'}")
            for each in listed:
                typer.echo(f"  {each.kind}  {each.text}")
        if not found:
            typer.echo("nothing is wrong", err=True)


@grouped
def reconcile(
    *,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every file and compare its bytes. Example: recq-ingest reconcile --verify"),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what would be done, and do nothing. Example: recq-ingest reconcile --dry-run"
        ),
    ] = False,
    remove_foreign: Annotated[
        bool,
        typer.Option(
            "--remove-foreign",
            help="Remove points that other programs wrote into the collection, and that are no pictures. "
            "Example: recq-ingest reconcile --remove-foreign",
        ),
    ] = False,
    json_: Annotated[bool, json_option("recq-ingest", "reconcile")] = False,
    metadata: MetadataOption = None,
    index: Index,
    log_format: LogOption = None,
) -> int:
    """Compare the sources of the catalog with the index now, and make the index equal to them."""
    settings = index.settings()
    if dry_run:
        _print_plan(settings, metadata, verify=verify, remove_foreign=remove_foreign, json_=json_)
        return 0
    from ingest.service.foreign import foreign_points, remove_foreign_points
    from ingest.service.requests import compare

    removed = {"foreign": remove_foreign_points(settings)} if remove_foreign else {}
    pid = compare(settings, verify=verify)
    if pid is not None:
        text = f"process {pid} compares its sources now: {command('recq-ingest', 'status')} shows how far it is"
        typer.echo(json.dumps({"pid": pid, **removed}) if json_ else "\n".join([*_removed(removed), text]))
        return 0
    from ingest.service.outcome import require_none_failed
    from ingest.service.session import reconcile as reconcile_catalog

    outcome = reconcile_catalog(settings, table=metadata, verify=verify, log_format=log_format)
    if outcome.stopped:
        typer.echo("recq-ingest: interrupted: the rest is found by the next run, daemon or reconcile", err=True)
        return INTERRUPTED
    done = {**vars(outcome.counts), "held": outcome.standing.held}
    summary = ", ".join(f"{count:,} {_DONE[name]}" for name, count in done.items() if count)
    lines = [*_removed(removed), summary or "the index is as the folders are"]
    typer.echo(json.dumps({"pid": None, **done, **removed}) if json_ else "\n".join(lines))
    if not remove_foreign:
        _offer_removal(foreign_points(settings))
    require_none_failed(outcome)
    return 0


@grouped
def drop(
    *,
    catalog: Annotated[
        str, typer.Argument(metavar="CATALOG", show_default=False, help="A catalog's name. Example: shop")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Example: recq-ingest drop shop --yes")] = False,
    index: WholeIndex,
) -> int:
    """Take a whole catalog out of the index, after a question. Its pictures are not touched."""
    settings = index.settings(catalog=catalog)
    from ingest.service.drop import drop as drop_catalog
    from ingest.service.drop import planned

    plan = planned(settings)
    if not yes and not _agreed(f"{plan.question}. The pictures stay. Remove it from the index? [y/N] "):
        typer.echo("nothing was removed", err=True)
        return INTERRUPTED
    drop_catalog(settings, plan)
    items = "1 item" if plan.items == 1 else f"{plan.items:,} items"
    typer.echo(f"dropped {catalog}: {items} removed from the index")
    return 0


@grouped
def rollback(*, index: Index, log_format: LogOption = None) -> int:
    """Let the vectors that the last rebuild replaced answer again; the next rollback undoes it.

    Files that have changed since are indexed by the next run, as at every start; a daemon that runs indexes them first.
    """
    settings = index.settings()
    from ingest.service.kept import rollback as go_back
    from ingest.service.session import rollback as by_daemon

    outcome = by_daemon(settings, log_format=log_format)
    if outcome is None:
        space = go_back(settings).label
        then = f"; {command('recq-ingest', 'run')} indexes what has changed since"
    elif outcome.stopped:
        return interrupted(outcome)
    else:
        space, then = outcome.space, ""
    typer.echo(f"{settings.catalog} answers from {space} again{then}")
    return 0


def interrupted(outcome: Outcome) -> int:
    """Report that a rebuild or rollback was interrupted, and who goes on with it."""
    if outcome.taken_up:
        status = command("recq-ingest", "status")
        goes_on = f"{', '.join(outcome.taken_up)} goes on with it: {status} shows how far it is, run this again to wait"
    else:
        goes_on = "run it again to go on"
    typer.echo(f"recq-ingest: interrupted: the old vectors still answer; {goes_on}", err=True)
    return INTERRUPTED


@grouped
def prune(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Example: recq-ingest prune --yes")] = False,
    index: Index,
) -> int:
    """Delete the vectors that the last rebuild replaced, after a question: there is no rollback to them then."""
    settings = index.settings()
    from ingest.service.kept import kept
    from ingest.service.kept import prune as delete

    planned = kept(settings)
    if not yes and not _agreed(f"kept of catalog {settings.catalog!r}: {planned.text}. Delete it? [y/N] "):
        typer.echo("nothing was deleted", err=True)
        return INTERRUPTED
    delete(settings, planned)
    typer.echo(f"pruned {settings.catalog}: {planned.text}")
    return 0


def _agreed(question: str) -> bool:
    """The answer that is read from standard input. Raises UsageError where there is none."""
    typer.echo(question, nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        typer.echo(err=True)
        raise UsageError("standard input gives no answer: add --yes to do it without a question")
    return answer.strip().lower() in ("y", "yes")


def _print_asked(asked: Asked, line: str, metadata: str = "", *, nothing: str, json_: bool) -> None:
    """Print a request: as JSON, or a `line` for each source with the process that does it and the number of items.

    Items whose `metadata` alone is meant have a line of their own.
    """
    if json_:
        typer.echo(json.dumps(asked.to_json(), ensure_ascii=False, indent=2))
        return
    who = f"process {asked.pid}" if asked.pid is not None else "the next daemon, run or reconcile"
    for source, total in asked.items.items():
        described = asked.metadata.get(source, 0)
        for text, count in ((line, total - described), (metadata, described)):
            items = "1 item" if count == 1 else f"{count:,} items"
            if count:
                typer.echo(f"{printable(source)}: {text.format(who=who, items=items)}")
    if not asked.items:
        typer.echo(nothing, err=True)


def _removed(removed: Mapping[str, int]) -> list[str]:
    """The line about removed points of other programs; none where their removal was not requested."""
    return [f"{_points(count)} of other programs removed" for count in removed.values()]


def _offer_removal(foreign: Sequence[str]) -> None:
    """Report points of other programs, with the command that removes them."""
    if foreign:
        typer.echo(
            f"{_points(len(foreign))} of other programs in the index: "
            f"{command('recq-ingest', 'reconcile', '--remove-foreign')} removes them",
            err=True,
        )


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count:,} points"


def _print_plan(settings: Settings, table: Path | None, *, verify: bool, remove_foreign: bool, json_: bool) -> None:
    from rich.console import Console

    from ingest.service.dry_run import Planned, Step, counted
    from ingest.service.dry_run import dry_run as plan_all
    from ingest.service.foreign import foreign_points

    console = Console(stderr=True)
    with console.status("comparing") if console.is_terminal else nullcontext():
        steps = plan_all(settings, table=table, verify=verify)
        foreign = foreign_points(settings)
    if remove_foreign:
        steps += [Planned(Step.REMOVE_FOREIGN, "", point) for point in foreign]
    else:
        _offer_removal(foreign)
    if json_:
        typer.echo(json.dumps([step.to_json() for step in steps], ensure_ascii=False, indent=2))
        return
    for step in steps:
        typer.echo(step.text)
    summary = ", ".join(f"{count:,} to {step}" for step, count in counted(steps).items())
    typer.echo(summary or "the index is as the folders are", err=bool(summary))
