"""`recq-ingest train --method finetune`: trains a network, and tells what it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ingest.cli.pages import write_page
from ingest.cli.quality import MEASURES, class_lines, told
from recq.cli_progress import bar
from recq.commands import command
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.finetune import FinetuneOptions, Finetuning
    from recq.settings import Settings


def train_network(
    settings: Settings, label: str, options: FinetuneOptions, *, as_json: bool, report: Path | None = None
) -> None:
    """Train a network on a field, print what it gives, and write it as a page where one is asked for."""
    from recq.learn.finetune import finetune
    from recq.search.session import Session

    with Session(settings) as session, bar() as progress:
        tuning = finetune(session, label, options, progress)
    if report is not None:
        from recq.display.training_page import page_of_finetuning

        write_page(report, page_of_finetuning(tuning, settings.catalog))
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
