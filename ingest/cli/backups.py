"""The commands of `recq-ingest` about backups: backup, restore, check.

`ingest.cli.main` adds them to the program. As there, modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.errors import BackupDamaged, ItemsFailed
from recq.paths import printable
from recq.signals import INTERRUPTED

_PROG = "recq-ingest"

FolderArgument = Annotated[
    Path, typer.Argument(metavar="DIR", show_default=False, help="The backup's folder. Example: /mnt/backup/images")
]


@grouped
def backup(
    *,
    folder: FolderArgument,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read all parts of the backup first, and write anew what is damaged. "
            "Example: recq-ingest backup /mnt/backup --verify",
        ),
    ] = False,
    json_: Annotated[bool, json_option("recq-ingest", "backup DIR")] = False,
    index: Index,
) -> int:
    """Write what has changed in the catalog since the last backup into its folder. A daemon may go on meanwhile.

    Items with their vectors, trained spaces, decisions and all else that no folder of pictures has. Interrupted, it
    goes on where it stopped; until it is done, the folder has the backup of before.
    """
    settings = index.settings()
    from recq.transfer.backup import back_up

    try:
        with bar() as progress:
            done = back_up(settings, folder, verify=verify, progress=progress)
    except KeyboardInterrupt:
        complain(_PROG, "interrupted: the folder has the backup of before, if any; run it again to go on")
        return INTERRUPTED
    if json_:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False, indent=2))
        return 0
    failed = f" ({done.failed:,} of them failed)" if done.failed else ""
    gone = f", {done.gone:,} gone" if done.gone else ""
    typer.echo(
        f"{_items(done.items)}{failed} of catalog {printable(done.catalog)} in {printable(str(folder))}: "
        f"{done.written:,} written{gone}, {done.bytes / 1e6:,.1f} MB"
    )
    return 0


@grouped
def restore(
    *,
    folder: FolderArgument,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace also what the catalog has written since the backup. "
            "Example: recq-ingest restore /mnt/backup --overwrite",
        ),
    ] = False,
    json_: Annotated[bool, json_option("recq-ingest", "restore DIR")] = False,
    index: Index,
) -> int:
    """Write a backup's items into the catalog of its name, or of --catalog, which is made if it is missing.

    What the catalog has written since stays, as does what only the catalog has. Nothing is embedded again. A daemon may
    go on meanwhile, and brings up to date what has changed in its folders.
    """
    settings = index.settings()
    from recq.transfer.restore import catalog_of
    from recq.transfer.restore import restore as restore_catalog

    if index.catalog is None:
        settings = settings.of_catalog(catalog_of(folder))
    try:
        with bar() as progress:
            done = restore_catalog(settings, folder, overwrite=overwrite, progress=progress)
    except KeyboardInterrupt:
        complain(_PROG, "interrupted: run it again to go on")
        return INTERRUPTED
    if json_:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False, indent=2))
    else:
        typer.echo(
            f"catalog {printable(done.catalog)}, backup of {done.made_at}: {done.restored:,} restored, "
            f"{done.same:,} as they were, {done.newer:,} newer in the catalog"
        )
    if done.damaged:
        what = "\n".join(done.damaged)
        raise BackupDamaged(f"{_items(done.lost)} could not be restored, all others were:\n{what}")
    return 0


@grouped
def check(
    *,
    backup_: Annotated[
        Path | None,
        typer.Option(
            "--backup",
            metavar="DIR",
            show_default=False,
            help="Compare also with this backup, and read all of it. Example: --backup /mnt/backup/images",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every picture and compare its bytes. Example: recq-ingest check --verify"),
    ] = False,
    json_: Annotated[bool, json_option("recq-ingest", "check")] = False,
    index: Index,
) -> int:
    """Compare the index with its folders, and with a backup. Nothing is written; exit code 3 where they differ."""
    settings = index.settings()
    from ingest.service.check import check as check_all

    with bar() as progress:
        found = check_all(settings, backup_, verify=verify, progress=progress)
    if json_:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        for line in found.lines():
            typer.echo(line)
    return 0 if found.is_well else ItemsFailed.exit_code


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"
