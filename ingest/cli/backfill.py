"""The command `recq-ingest backfill`. As in `ingest.cli.main`, what is slow to import is imported where it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ingest.cli.model import Space
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.errors import ItemsFailed
from recq.signals import INTERRUPTED

_PROG = "recq-ingest"


@grouped
def backfill(
    *,
    what: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="A folder to index, or a file with one path of a source a line. Example: /mnt/photos",
        ),
    ],
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS|local",
            help="The Ray cluster that does it, or local: the cores of this machine. Example: --ray 10.0.0.5:6379",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=False,
            help="Cores that work on it, else all that Ray has. Example: --workers 8",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="What the folder's source is called, or the source whose files are listed. Example: --source shop",
        ),
    ] = None,
    json_: Annotated[bool, json_option("recq-ingest", "backfill /mnt/photos")] = False,
    space: Space,
    index: Index,
) -> int:
    """Index many files once with the cores of a Ray cluster, on a Qdrant server. It needs recq[ray].

    What the index has unchanged is skipped, so a backfill that was interrupted goes on where it was. Nothing is
    deleted: a daemon that watches the folder afterwards finds what has gone, and keeps the index equal to it.
    """
    settings = index.settings(**space.settings())
    from ingest.service.backfill import backfill as fill
    from ingest.service.outcome import Outcome, Standing, require_none_failed
    from ingest.tally import Counts

    try:
        with bar() as progress:
            done = fill(settings, what, source, address=ray, workers=workers, progress=progress)
    except KeyboardInterrupt:
        complain(_PROG, "interrupted: what was indexed stays; run it again to go on")
        return INTERRUPTED
    if json_:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False, indent=2))
    else:
        new = done.indexed + done.reused
        typer.echo(
            f"{done.paths:,} files: {new:,} indexed, {done.metadata:,} updated, {done.failed:,} failed, "
            f"{done.unchanged:,} unchanged or no pictures, in {done.seconds:.1f} s on {done.workers} cores"
        )
    if done.unseen:
        complain(
            _PROG,
            f"{done.unseen:,} of these a worker could not see, the first is '{done.first_unseen}': what the index has "
            "of them stays; is the folder mounted, and readable, on every machine?",
        )
    standing = Standing(failed=done.failed, unmet=(done.source,) if done.unmet else ())
    require_none_failed(Outcome(stopped=False, counts=Counts(refused=done.refused), standing=standing))
    if done.unseen:
        raise ItemsFailed("not all files were seen: run it again where they are")
    return 0
