"""The command `recq-ingest`: folders in, a searchable index out.

A thin shell: each command is one call into `ingest.session` or `ingest.status`. Whatever is slow to import (the index,
models, watchers) is imported where it is used: `recq-ingest --help` needs none of it.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import recq
from ingest.report import LogFormat
from ingest.signals import INTERRUPTED, end_at_once
from ingest.targets import parse_targets, require_usable
from recq.cli_errors import run as run_shell
from recq.paths import printable
from recq.settings import Settings

PROG = "recq-ingest"

app = typer.Typer(
    name=PROG,
    help="Watch folders of pictures and keep them searchable with recq.",
    epilog="Try it: recq-ingest run ~/Pictures",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class WatchChoice(StrEnum):
    """How changes are noticed."""

    AUTO = "auto"
    NATIVE = "native"
    POLL = "poll"


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
        help="The Qdrant server to fill (RECQ_URL; its key in RECQ_API_KEY). Example: --url http://localhost:6333",
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        show_default=False,
        help="Where the embedded index lives (RECQ_DATA_DIR); without --url it is used whatever RECQ_URL says. "
        "Example: --data-dir ~/recq-data",
    ),
]
MetadataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="A table to use instead of the folder's metadata.csv. Example: --metadata products.csv",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="The weights of a keras: network that cannot be downloaded here. Example: --model keras:ResNet50 "
        "--weights resnet50.h5",
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON. Example: recq-ingest status --json")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error. Example: recq-ingest run photos --debug")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"{PROG} {recq.__version__}")
        raise typer.Exit


@app.callback()
def recq_ingest(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit. Example: --version"
        ),
    ] = False,
) -> None:
    """Options of `recq-ingest` itself; Typer shows the app's own help."""


@app.command()
def run(
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
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="The network of a new catalog, efficientnet_lite2 by default. Example: --model mobilenet_v2",
        ),
    ] = None,
    watch: Annotated[
        WatchChoice | None,
        typer.Option(
            show_default=False,
            help="How to notice changes; auto (the default) decides by file system. Example: --watch poll",
        ),
    ] = None,
    weights: WeightsOption = None,
    metadata: MetadataOption = None,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    log_format: LogOption = None,
    _debug: DebugOption = False,
) -> int:
    """Index folders and watch them: new, changed, moved and deleted pictures are searchable within a second.

    Ends with Ctrl-C or SIGTERM; what is under way is finished.
    """
    settings = load(catalog, url, data_dir, model=model, weights=weights, watch=watch.value if watch else None)
    targets = parse_targets(folders or [], sources or [])
    require_usable(targets, metadata, settings)
    from ingest.session import ingest, require_none_failed

    outcome = ingest(settings, targets, table=metadata, once=once, log_format=log_format)
    if once and not outcome.stopped:
        require_none_failed(outcome)
    return 0


@app.command()
def status(
    json_: JsonOption = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """How far the daemon is, or what the index holds when none runs."""
    settings = load(catalog, url, data_dir)
    from ingest.status import find_status

    found = find_status(settings)
    if json_:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return
    at_work = f"daemon {found.pid} is {found.state}" if found.running else "no daemon runs here"
    space = f"{found.space['model']}, {found.space['dim']} numbers" if found.space else "no embedding space yet"
    typer.echo(f"catalog {found.catalog} ({found.engine}; {space}): {at_work}")
    for source in found.sources:
        pending = "" if source.pending is None else f", {source.pending:,} pending"
        typer.echo(
            f"  {printable(source.name)}: {source.indexed:,} indexed, {source.failed:,} failed{pending}, "
            f"{source.ignored:,} ignored files  {printable(source.root or '')}"
        )
        for problem in source.problems:
            typer.echo(f"    {problem}")


@app.command()
def failed(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON. Example: recq-ingest failed --json")] = False,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """The items that could not be indexed, each with the reason. They are tried again when their file changes."""
    settings = load(catalog, url, data_dir)
    from ingest.failures import list_failures

    failures = list_failures(settings)
    if json_:
        typer.echo(json.dumps([failure.to_json() for failure in failures], ensure_ascii=False, indent=2))
        return
    for failure in failures:
        tries = "1 attempt" if failure.attempts == 1 else f"{failure.attempts} attempts"
        where = printable(f"{failure.source}/{failure.path}")
        typer.echo(f"{where}: {failure.reason}: {printable(failure.detail)} ({tries})")
    if not failures:
        typer.echo("nothing failed", err=True)


@app.command()
def forget(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", show_default=False, help="A source's name. Example: Pictures")
    ],
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    _debug: DebugOption = False,
) -> None:
    """Take a source and all its items out of the index. Its files are not touched."""
    settings = load(catalog, url, data_dir)
    from ingest.session import forget as forget_source

    items = forget_source(settings, source)
    typer.echo(f"forgot {printable(source)}: {items:,} {'item' if items == 1 else 'items'} removed from the index")


@app.command()
def rebuild(
    model: Annotated[
        str, typer.Option(metavar="NAME", show_default=False, help="The new network. Example: --model mobilenet_v2")
    ],
    weights: WeightsOption = None,
    metadata: MetadataOption = None,
    catalog: CatalogOption = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
    log_format: LogOption = None,
    _debug: DebugOption = False,
) -> int:
    """Index all sources again with another network. The old vectors answer until the new ones are complete."""
    settings = load(catalog, url, data_dir, weights=weights)
    from ingest.session import rebuild as rebuild_catalog
    from ingest.session import require_none_failed

    outcome = rebuild_catalog(settings, model, table=metadata, log_format=log_format)
    if outcome.stopped:
        typer.echo(f"{PROG}: interrupted: the old vectors still answer; run it again to go on", err=True)
        return INTERRUPTED
    require_none_failed(outcome)
    return 0


def load(catalog: str | None, url: str | None, data_dir: Path | None, **more: str | Path | None) -> Settings:
    """The settings in force. `--data-dir` alone means the embedded index there, whatever the environment's URL."""
    said: dict[str, Any] = {"catalog": catalog, "url": url, "data_dir": data_dir, **more}
    settings = Settings.load(**said)
    return settings if data_dir is None or url is not None else settings.model_copy(update={"url": None})


def main() -> None:
    """The console script. A signal ends the daemon as documented from here on, while much is still to be imported."""
    if sys.argv[1:2] == ["run"]:
        end_at_once(0)
    elif sys.argv[1:2] == ["rebuild"]:
        end_at_once(INTERRUPTED)
    sys.exit(run_shell(app, PROG))


if __name__ == "__main__":
    main()
