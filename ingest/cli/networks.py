"""`recq-ingest train --method finetune`: trains a network, and tells what it gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ingest.cli.pages import write_page
from ingest.cli.quality import MEASURES, calibration_line, class_lines, curve_lines, ranking_line, told
from recq.cli_progress import bar
from recq.commands import command
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.finetune import FinetuneOptions
    from recq.learn.finetuning_result import Finetuning, NetworkTraining
    from recq.settings import Settings

_NAMED = 4  # classes left out that a line names


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
    epochs = sum(len(each.epochs) for each in tuning.trainings)
    resumed = f" ({tuning.resumed} of them by a process that had ended)" if tuning.resumed else ""
    yield (
        f"{printable(tuning.label)}: {tuning.items:,} items of {len(tuning.classes):,} classes, "
        f"{len(tuning.trainings)} trainings with {epochs} epochs{resumed} in {tuning.took_s:.0f} s"
    )
    for reason, count in tuning.unread.items():
        yield f"  {count:,} pictures are {reason}" if count > 1 else f"  1 picture is {reason}"
    for each in tuning.trainings:
        yield f"  {_told(each)}{'  <- kept' if each is tuning.kept else ''}"
    if tuning.seeds == 1:
        yield f"{tuning.held:,} held-out items, bootstrap intervals of 95 %, in %:"
    else:
        yield f"about {tuning.held:,} held-out items, mean of {tuning.seeds} seeds and 95 % interval, in %:"
    width = len("the new network")
    yield f"  {'':{width}}  {MEASURES}"
    yield f"  {'the catalog':{width}}  {told(tuning.before)}"
    yield f"  {'the new network':{width}}  {told(tuning.after)}"
    yield from _unseen(tuning)
    if tuning.ranking is not None:
        yield ranking_line(tuning.ranking)
    yield calibration_line(tuning.calibration_error, tuning.calibration_by_chance)
    yield from curve_lines(tuning.curve, width)
    yield from class_lines(tuning.classes)
    rebuild = command("recq-ingest", "rebuild", "--model", tuning.network.model, catalog=catalog)
    yield f"{tuning.network.model} ({tuning.space.dim:,} numbers) is stored; nothing was switched: {rebuild}"


def _told(training: NetworkTraining) -> str:
    best = training.epochs[training.best - 1]
    line = f"{training.name:10}  {training.learned:>6,} items learned, "
    if best.validation is None:
        return f"{line}{len(training.epochs)} epochs, loss {best.loss:.4f}"
    return (
        f"{line}{len(training.epochs)} epochs, the best number {training.best}, validation loss {best.validation:.4f}"
    )


def _unseen(tuning: Finetuning) -> Iterator[str]:
    gains = tuning.gains
    if not gains:
        yield "classes without a label: not measured, --unseen N leaves some out"
        return
    mean, worst = 100 * sum(gains) / len(gains), 100 * min(gains)
    yield f"classes left out: {mean:+.1f} points of mAP on average, {worst:+.1f} for the worst"
    for each in tuning.unseen:
        named = ", ".join(map(printable, each.classes[:_NAMED]))
        more = f" and {len(each.classes) - _NAMED} more" if len(each.classes) > _NAMED else ""
        yield f"  {named}{more}: mAP {100 * each.before:.1f} -> {100 * each.after:.1f}"
