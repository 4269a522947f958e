"""Networks that are trained here: `recq-ingest train --method finetune`, and `recq-ingest models` for what it made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.quality import MEASURES, class_lines, told
from recq.cli_groups import WholeIndex, grouped
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.commands import command
from recq.errors import UsageError
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.finetune import FinetuneOptions, Finetuning
    from recq.settings import Settings


class Action(StrEnum):
    """What is done with a trained network."""

    EXPORT = "export"
    IMPORT = "import"


def train_network(settings: Settings, label: str, options: FinetuneOptions, *, as_json: bool) -> None:
    """Train a network on a field, and print what it gives."""
    from recq.learn.finetune import finetune
    from recq.search.session import Session

    with Session(settings) as session, bar() as progress:
        tuning = finetune(session, label, options, progress)
    if as_json:
        typer.echo(json.dumps(tuning.to_json(), ensure_ascii=False, indent=2))
        return
    for line in _report(tuning, settings.catalog):
        typer.echo(line)


def _report(tuning: Finetuning, catalog: str) -> Iterator[str]:
    resumed = f" (the first {tuning.resumed} of them by a process that had ended)" if tuning.resumed else ""
    yield (
        f"{printable(tuning.label)}: {tuning.items:,} items of {len(tuning.classes):,} classes, "
        f"{len(tuning.epochs)} epochs{resumed} in {tuning.took_s:.0f} s"
    )
    for reason, count in tuning.unread.items():
        yield f"  {count:,} pictures are {reason}" if count > 1 else f"  1 picture is {reason}"
    for number, epoch in enumerate(tuning.epochs, 1):
        best = "  <- kept" if number == tuning.best else ""
        yield (f"  epoch {number:>3}  {epoch.part:5}  loss {epoch.loss:8.4f}  validation {epoch.validation:8.4f}{best}")
    yield f"{tuning.held:,} held-out items, bootstrap intervals of 95 %, in %:"
    width = len("the new network")
    yield f"  {'':{width}}  {MEASURES}"
    yield f"  {'the catalog':{width}}  {told(tuning.before)}"
    yield f"  {'the new network':{width}}  {told(tuning.after)}"
    yield from class_lines(tuning.classes)
    rebuild = command("recq-ingest", "rebuild", "--model", tuning.network.model, catalog=catalog)
    yield f"{tuning.network.model} ({tuning.space.dim:,} numbers) is stored; nothing was switched: {rebuild}"


@grouped
def models(
    *,
    action: Annotated[
        Action | None,
        typer.Argument(
            metavar="[ACTION]",
            show_default=False,
            help="export NAME FILE writes a network into a file, import FILE takes one over. Example: export genres "
            "genres.keras",
        ),
    ] = None,
    operands: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [FILE]",
            show_default=False,
            help="The network and the file, or the file alone. Example: genres genres.keras",
        ),
    ] = None,
    json_: Annotated[bool, json_option("recq-ingest", "models")] = False,
    index: WholeIndex,
) -> None:
    """List the networks that were trained here, export one into a file, or import one from another machine."""
    settings = index.settings()
    given = operands or []
    wanted = {None: 0, Action.EXPORT: 2, Action.IMPORT: 1}[action]
    if len(given) != wanted:
        takes = {Action.EXPORT: "a name and a file: export genres genres.keras", Action.IMPORT: "a file"}
        raise UsageError(f"{action} takes {takes[action]}" if action else "export or import is needed before a name")
    from recq.models import trained

    if action is Action.EXPORT:
        found = [trained.export_trained(given[0], Path(given[1]).expanduser(), settings)]
    elif action is Action.IMPORT:
        found = [trained.import_trained(Path(given[0]).expanduser(), settings)]
    else:
        found = [network for network, _ in trained.trained_networks(settings)]
    if json_:
        typer.echo(json.dumps([each.to_json() for each in found], ensure_ascii=False, indent=2))
        return
    for each in found:
        base = "from scratch" if each.base is None else f"from {each.base}"
        typer.echo(
            f"{each.model} [{each.weights}]: {printable(each.field)}, {len(each.labels):,} labels, {each.size} px "
            f"{each.resize}, {printable(base)}, {each.made_at}"
        )
    if not found:
        train = command("recq-ingest", "train", "--method", "finetune", "--label", "FIELD")
        typer.echo(f"no network was trained or taken over here: {train} makes one", err=True)
