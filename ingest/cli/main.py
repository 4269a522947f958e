"""The command `recq-ingest`: folders in, a searchable index out.

Each command is one call into `ingest.service`. Modules that are slow to import (the index, models, watchers) are
imported where they are used: `recq-ingest --help` needs none of them.
"""

from __future__ import annotations

import io
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import recq
from ingest.cli.backfill import backfill
from ingest.cli.backups import backup, check, restore
from ingest.cli.doctor import doctor
from ingest.cli.learning import train
from ingest.cli.model import Space
from ingest.cli.models import models
from ingest.cli.quantisation import quantise
from ingest.cli.requests import (
    LogOption,
    MetadataOption,
    confirm,
    drop,
    interrupted,
    problems,
    prune,
    reconcile,
    retry,
    rollback,
)
from ingest.cli.token import token
from ingest.service.allocator import give_memory_back
from ingest.service.interpreter import set_up_daemon
from recq.cli_errors import run as run_shell
from recq.cli_groups import Index, grouped
from recq.cli_options import json_option, version_option
from recq.commands import command
from recq.errors import UsageError
from recq.paths import printable
from recq.signals import INTERRUPTED, end_at_once
from recq.start_up import begun, leaving

if TYPE_CHECKING:
    from recq.settings import Settings

PROG = "recq-ingest"

_PLAIN = {"shards": 1, "replicas": 1, "write_consistency": 1}
"""How a catalog lies on a server of one node, of which nothing is to be said."""

app = typer.Typer(
    name=PROG,
    help="Watch folders of pictures and keep them searchable with recq.",
    epilog="Try it: recq-ingest run ~/Pictures",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class WatchChoice(StrEnum):
    """How changes are noticed."""

    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


@app.callback()
def recq_ingest(
    version: Annotated[bool, version_option(PROG, recq.__version__)] = False,
) -> None:
    """Options of `recq-ingest` itself; Typer shows the app's own help."""


@app.command()
@grouped
def run(
    *,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...", show_default=False, help="Folders to index, whole. Example: ~/Pictures /srv/shop"
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop when everything is indexed. Example: recq-ingest run photos --once")
    ] = False,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="NAME=FOLDER",
            show_default=False,
            help="A folder with a name of its own; may be given several times. Example: --source shop=/srv/photos",
        ),
    ] = None,
    watch: Annotated[
        WatchChoice | None,
        typer.Option(
            show_default=False,
            help="How to notice changes; auto (the default) decides by file system. Example: --watch poll",
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER/PARTS",
            show_default=False,
            help="Share the folders with other daemons, on a Qdrant server: this one sees to one part of their files. "
            "Example: --partition 2/5",
        ),
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(
            "--predict",
            metavar="FIELD",
            show_default=False,
            help="Predict this field for pictures without it, by a trained space (FIELD=NAME names one of several); "
            "imagenet needs none. May be given several times. Example: --predict category",
        ),
    ] = None,
    no_predict: Annotated[
        bool,
        typer.Option("--no-predict", help="Predict nothing any more. Example: recq-ingest run photos --no-predict"),
    ] = False,
    api: Annotated[
        bool | None,
        typer.Option(
            "--api/--no-api",
            show_default=False,
            help="Answer over HTTP as well, in a process beside the daemon; on by default, never with --once. "
            "Example: recq-ingest run photos --no-api",
        ),
    ] = None,
    space: Space,
    metadata: MetadataOption = None,
    index: Index,
    log_format: LogOption = None,
) -> int:
    """Index folders and watch them: new, changed, moved and deleted pictures are searchable within a second.

    Ends with Ctrl-C or SIGTERM; what is under way is finished.
    """
    if predict and no_predict:
        raise UsageError("--predict and --no-predict exclude each other: give one of them")
    predicted = () if no_predict else tuple(predict) if predict else None
    settings = index.settings(
        watch=watch.value if watch else None, partition=partition, predict=predicted, api=api, **space.settings()
    )
    from ingest.source.targets import parse_targets, require_usable

    targets = parse_targets(folders or [], sources or [])
    require_usable(targets, metadata, settings)
    from ingest.service.outcome import require_none_failed, summary
    from ingest.service.session import ingest

    outcome = ingest(settings, targets, table=metadata, once=once, log_format=log_format)
    for line in outcome.taken_up:
        typer.echo(line)
    if once and outcome.stopped:
        goes_on = "the daemon goes on with it" if outcome.taken_up else "run it again to go on"
        typer.echo(f"{PROG}: interrupted: {goes_on}", err=True)
    elif once:
        typer.echo(summary(outcome))
        require_none_failed(outcome)
    return 0


@app.command()
@grouped
def status(
    *,
    json_: Annotated[bool, json_option("recq-ingest", "status")] = False,
    index: Index,
) -> None:
    """How far the daemon is, or what the index holds when none runs."""
    settings = index.settings()
    from recq.operate.status import find_status
    from recq.search.session import Session

    with Session(settings) as session:
        found = find_status(session)
    if json_:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return
    at_work = f"daemon {found.pid} is {found.state}" if found.running else "no daemon runs here"
    if found.runtime is not None:
        at_work += f", {found.runtime} on {found.device}"
    space = f"{found.space['model']}, {found.space['dim']} numbers" if found.space else "no embedding space yet"
    typer.echo(f"catalog {found.catalog} ({found.engine}; {space}): {at_work}")
    if found.node is not None and found.node != found.engine:
        typer.echo(f"  {found.node} answers")
    if found.placement is not None and found.placement != _PLAIN:
        from recq.index.placement import placement_text

        typer.echo(f"  {placement_text(found.placement)}")
    if found.quantised is not None:
        from recq.index.quantisation import quantised_text

        typer.echo(f"  quantised: {quantised_text(found.quantised)}")
    if found.detail is not None:
        typer.echo(f"  waiting: {printable(found.detail)}")
    if found.indexes_waiting:
        by = "" if found.running else f", and {command(PROG, 'run')} makes them"
        typer.echo(f"  {found.indexes_waiting:,} indexes of new fields wait: filters on these fields are refused{by}")
    if found.indexes_refused:
        indexes = "1 index" if found.indexes_refused == 1 else f"{found.indexes_refused:,} indexes"
        typer.echo(f"  {indexes} of new fields could not be made: {command(PROG, 'problems')} lists them")
    if (rebuilding := found.rebuilding) is not None:
        into = rebuilding.trained or (rebuilding.space["model"] if rebuilding.space else "another space")
        typer.echo(
            f"  moving to {printable(into)}: {rebuilding.stage}, {rebuilding.done:,} of {rebuilding.total:,} items; "
            "the old vectors answer meanwhile"
        )
        if rebuilding.detail is not None and rebuilding.detail != found.detail:
            typer.echo(f"  waiting: {printable(rebuilding.detail)}")
    if found.kept is not None:
        size = f"about {found.kept['size'] / 1e6:,.1f} MB of vectors"
        typer.echo(
            f"  kept since the rebuild of {found.kept['at']}: {found.kept['items']:,} items of "
            f"{found.kept['space']['model']}, {size}: {command(PROG, 'rollback')} goes back to them, "
            f"{command(PROG, 'prune')} deletes them"
        )
    for each in found.predicted:
        typer.echo(f"  predicted: {each}")
    for source in found.sources:
        pending = "" if source.pending is None else f", {source.pending:,} pending"
        typer.echo(
            f"  {printable(source.name)}: {source.indexed:,} indexed, {source.failed:,} failed{pending}, "
            f"{source.ignored:,} ignored files  {printable(source.root or '')}"
        )
        for part in source.parts:
            typer.echo(f"    {part}")
        if source.held:
            items = "1 item has" if source.held == 1 else f"{source.held:,} items have"
            confirm_it = command(PROG, "confirm", source.name)
            typer.echo(f"    {items} gone and stay in the index: if that was meant, {confirm_it}")
        if source.held_metadata:
            items = "1 item keeps" if source.held_metadata == 1 else f"{source.held_metadata:,} items keep"
            typer.echo(
                f"    {items} metadata that the folder does not give any more: if that was meant, "
                f"{command(PROG, 'confirm', source.name)}"
            )
        if source.problem_counts:
            counts = ", ".join(f"{count:,} {kind}" for kind, count in source.problem_counts.items())
            typer.echo(f"    problems ({counts}): {command(PROG, 'problems')} lists them all")
        for problem in source.problems:
            typer.echo(f"    {problem}")


@app.command()
@grouped
def failed(
    *,
    json_: Annotated[bool, json_option("recq-ingest", "failed")] = False,
    index: Index,
) -> None:
    """The items that could not be indexed, each with the reason. They are tried again when their file changes."""
    settings = index.settings()
    from recq.operate.failures import list_failures
    from recq.search.session import Session

    with Session(settings) as session:
        failures = list_failures(session)
    if json_:
        typer.echo(json.dumps([failure.to_json() for failure in failures], ensure_ascii=False, indent=2))
        return
    for failure in failures:
        tries = "1 attempt" if failure.attempts == 1 else f"{failure.attempts} attempts"
        where = printable(f"{failure.source}/{failure.path}")
        typer.echo(f"{where}: {failure.reason}: {printable(failure.detail)} ({tries})")
    if not failures:
        typer.echo("nothing failed", err=True)


app.command()(retry)
app.command()(confirm)
app.command()(problems)
app.command()(doctor)
app.command()(reconcile)


@app.command()
@grouped
def forget(
    *,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", show_default=False, help="A source's name. Example: Pictures")
    ],
    index: Index,
) -> None:
    """Take a source and all its items out of the index. Its files are not touched."""
    settings = index.settings()
    from ingest.service.session import forget as forget_source

    items = forget_source(settings, source)
    typer.echo(f"forgot {printable(source)}: {items:,} {'item' if items == 1 else 'items'} removed from the index")


app.command()(drop)


@app.command()
@grouped
def rebuild(
    *,
    trained: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="NAME",
            show_default=False,
            help="A space that was trained on this catalog: its vectors are made of the stored ones, and no picture is "
            "read. Example: --space category",
        ),
    ] = None,
    stop: Annotated[
        bool,
        typer.Option(
            "--stop", help="Give up the rebuild that the daemon carries out. Example: recq-ingest rebuild --stop"
        ),
    ] = False,
    space: Space,
    metadata: MetadataOption = None,
    index: Index,
    log_format: LogOption = None,
) -> int:
    """Index all sources again in another embedding space. The old vectors answer until the new ones are complete.

    With --model everything else is that network's own unless given; without it the rest stays as it is. With --space
    a trained space becomes the catalog's own. A daemon that runs does it, and goes on watching meanwhile.
    """
    settings = index.settings(**space.settings())
    if stop:
        return _stop(settings)
    if trained is not None and metadata is not None:
        raise UsageError(
            "--metadata is for a rebuild that reads pictures, and --space reads none: leave one of them out"
        )
    from ingest.service.outcome import require_none_failed, summary
    from ingest.service.session import rebuild as rebuild_catalog
    from ingest.service.session import switch

    if trained is not None:
        outcome = switch(settings, trained, log_format=log_format)
    else:
        outcome = rebuild_catalog(settings, table=metadata, log_format=log_format)
    if outcome.stopped:
        return interrupted(outcome)
    typer.echo(summary(outcome))
    if trained is None:
        require_none_failed(outcome)
    return 0


def _stop(settings: Settings) -> int:
    from ingest.service.rebuilds import give_up

    if not give_up(settings):
        raise UsageError(f"no daemon rebuilds catalog {settings.catalog!r} here: there is nothing to stop")
    typer.echo(f"the rebuild of {settings.catalog} was given up: the old vectors go on answering")
    return 0


app.command()(rollback)
app.command()(prune)
app.command()(token)
app.command()(quantise)
app.command()(backfill)
app.command()(backup)
app.command()(restore)
app.command()(check)
app.command()(train)
app.add_typer(models)


def _print_any_name() -> None:
    """Write UTF-8 to standard output whatever the locale, and undecodable file names as their bytes, as `recq` does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


_LONG = {"run": 0, "rebuild": INTERRUPTED, "reconcile": INTERRUPTED}
"""The commands that index, and the exit code of each for a signal that comes before they have begun."""


def main() -> None:
    """The console script. From its start on a signal ends a command that indexes, while modules are still imported."""
    code = _LONG.get(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
    if code is not None:
        give_memory_back()
        set_up_daemon()
        end_at_once(code)
    begun()
    _print_any_name()
    code = run_shell(app, PROG)
    leaving()
    sys.exit(code)
