"""The commands of `recq-ingest` that learn from the catalogue's labels: train.

`ingest.cli.main` adds them to the program. As there, modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.model import PreprocessOption, ResizeOption, SizeOption
from ingest.cli.networks import train_network
from ingest.cli.pages import require_page, write_page
from ingest.cli.quality import calibration_line, class_lines, curve_lines, ranking_line, told
from recq.cli_groups import Index, grouped
from recq.cli_labels import LabelColumn, views_option
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.commands import command
from recq.errors import UsageError
from recq.paths import printable

if TYPE_CHECKING:
    from recq.learn.training_result import Training


class Method(StrEnum):
    """What is trained: a head on the vectors, or the network itself."""

    HEAD = "head"
    FINETUNE = "finetune"


class HeadChoice(StrEnum):
    """Which heads are tried."""

    AUTO = "auto"
    RESIDUAL = "residual"


class From(StrEnum):
    """What the network begins with."""

    CATALOG = "catalog"
    SCRATCH = "scratch"


@grouped
def train(
    *,
    label: Annotated[
        str,
        typer.Option(
            "--label",
            metavar="FIELD",
            show_default=False,
            help="The metadata field that is learned. Example: --label category",
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="A head on the stored vectors (seconds), or a network of its own, learned from the pictures (hours "
            "without a GPU). Example: --method finetune",
        ),
    ] = Method.HEAD,
    head: Annotated[
        HeadChoice | None,
        typer.Option(
            "--head",
            show_default=False,
            help="Which heads are tried: those that are learned in seconds (auto, the default), or a gated residual "
            "projection, which needs Keras and minutes. Example: --head residual",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            show_default=False,
            help="What the space is called, the field's name when not given. Example: --name by-category",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            show_default=False,
            help="Learn from matching items only; may be given several times. Example: --filter 'view=main'",
        ),
    ] = None,
    group_by: Annotated[str | None, views_option()] = None,
    holdout: Annotated[
        float,
        typer.Option(
            "--holdout", metavar="SHARE", help="The share that is held back and measured. Example: --holdout 0.3"
        ),
    ] = 0.2,
    column: LabelColumn,
    closed_set: Annotated[
        bool,
        typer.Option(
            "--closed-set",
            help="Offer also what finds pictures of classes without a label worse than before. "
            "Example: --label sku --closed-set",
        ),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            metavar="N",
            show_default=False,
            help="How often finetune shows each picture at most, 12 times by default. Example: --epochs 20",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            show_default=False,
            help="How many holdouts finetune is measured on, once by default: each costs a whole training. "
            "Example: --seeds 3",
        ),
    ] = None,
    unseen: Annotated[
        int | None,
        typer.Option(
            "--unseen",
            metavar="N",
            show_default=False,
            help="How many times finetune leaves classes out, to measure what it does to pictures of classes without a "
            "label; each costs a whole training, and 5 leave out each class once. Example: --unseen 5",
        ),
    ] = None,
    no_fit_all: Annotated[
        bool,
        typer.Option(
            "--no-fit-all",
            help="Keep the network of the first holdout: without it finetune trains once more, on all items. "
            "Example: --no-fit-all",
        ),
    ] = False,
    from_: Annotated[
        From | None,
        typer.Option(
            "--from",
            show_default=False,
            help="What finetune begins with: the network of the catalog (the default), or a small one that knows "
            "nothing. Example: --from scratch",
        ),
    ] = None,
    size: SizeOption = None,
    resize: ResizeOption = None,
    preprocess: PreprocessOption = None,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Measure also what fewer labels of each class would give. Of a head --report does so anyway; finetune "
            "trains a network for each point. Example: --curve",
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            show_default=False,
            help="Also write what was measured as an HTML page with plots. Example: --report category.html",
        ),
    ] = None,
    json_: Annotated[bool, json_option("recq-ingest", "train --label category")] = False,
    index: Index,
) -> None:
    """Learn a space of the catalog's own from a field of labels. Nothing is switched: the space is asked for by name.

    A head is learned from the vectors in the index, no picture is read; finetune trains a network on the pictures.
    """
    settings = index.settings()
    from recq.learn.labels import LabelRules

    if report is not None:
        require_page(report)
    rules = LabelRules.read(**vars(column))
    if method is Method.FINETUNE:
        if closed_set:
            raise UsageError("--closed-set is for --method head: a network is stored whatever it does to other classes")
        if head is not None:
            raise UsageError("--head is for --method head: a network has the layers that finetune gives it")
        from recq.learn.finetune import EPOCHS, FinetuneOptions

        tuning = FinetuneOptions(
            name=name,
            rules=rules,
            filters=tuple(filters or ()),
            group_by=group_by,
            holdout=holdout,
            seeds=1 if seeds is None else seeds,
            unseen=unseen or 0,
            fit_all=not no_fit_all,
            curve=curve,
            epochs=EPOCHS if epochs is None else epochs,
            start=(from_ or From.CATALOG).value,
            size=size,
            resize=resize,
            preprocess=preprocess,
        )
        train_network(settings, label, tuning, as_json=json_, report=report)
        return
    given = {
        "--epochs": epochs,
        "--seeds": seeds,
        "--unseen": unseen,
        "--no-fit-all": no_fit_all or None,
        "--from": from_,
        "--size": size,
        "--resize": resize,
        "--preprocess": preprocess,
    }
    wrong = [option for option, value in given.items() if value is not None]
    if wrong:
        raise UsageError(f"{wrong[0]} is for --method finetune: a head is learned from the vectors as they are")
    from recq.learn.training import TrainingOptions
    from recq.learn.training import train as learn
    from recq.search.session import Session

    options = TrainingOptions(
        name=name,
        rules=rules,
        filters=tuple(filters or ()),
        group_by=group_by,
        holdout=holdout,
        closed_set=closed_set,
        curve=curve or report is not None,
        head=(head or HeadChoice.AUTO).value,
    )
    with Session(settings) as session, bar() as progress:
        training = learn(session, label, options, progress)
    if report is not None:
        from recq.display.training_page import page_of_training

        write_page(report, page_of_training(training, settings.catalog))
    if json_:
        typer.echo(json.dumps(training.to_json(), ensure_ascii=False, indent=2))
    else:
        for line in _report(training, settings.catalog):
            typer.echo(line)
    _require_stored(training)


def _report(training: Training, catalog: str) -> Iterator[str]:
    groups = "" if training.groups == training.items else f" in {training.groups:,} groups"
    yield (
        f"{printable(training.label)}: {training.items:,} items{groups} of {len(training.classes):,} classes, "
        f"{training.fits} fits in {training.took_s:.0f} s"
    )
    yield "held-out items, mean of 5 seeds and 95 % interval, in %:"
    width = max(len(training.chosen.recipe.told), 20)
    yield f"  {'':{width}}  {'mAP':17}  {'P@1':17}  {'P@5':17}"
    yield f"  {'vectors as they are':{width}}  {told(training.before)}"
    yield f"  {training.chosen.recipe.told:{width}}  {told(training.after)}"
    if training.ungrouped is not None:
        flattered = training.ungrouped.map.mean - training.after.map.mean
        yield f"  {'without --group-by':{width}}  {told(training.ungrouped)}"
        yield f"  (views of one thing on both sides of a split would make that {100 * flattered:+.1f} points of mAP)"
    mean, worst = training.chosen.mean_gain, training.chosen.worst_gain
    if mean is None or worst is None:
        yield "classes without a label: not measured, there are too few classes to leave two out"
    else:
        yield f"classes left out: {100 * mean:+.1f} points of mAP on average, {100 * worst:+.1f} for the worst"
    yield calibration_line(training.calibration_error, training.calibration_by_chance)
    if training.ranking is not None:
        yield ranking_line(training.ranking)
    if training.sampled[0] < training.items:
        items, classes = training.sampled
        of = "" if classes == len(training.classes) else f" of {classes:,} classes"
        yield f"chosen and measured on {items:,} items{of}; learned from all"
    yield from curve_lines(training.curve, width)
    yield from class_lines(training.classes)
    if training.stored:
        asked = command("recq", "similar", "TARGET", "--space", training.candidate.name, catalog=catalog)
        yield f"the space {training.candidate.name!r} ({training.candidate.head.dim:,} numbers) is stored: {asked}"


def _require_stored(training: Training) -> None:
    """Raise UsageError where nothing was stored."""
    if training.stored:
        return
    if training.chosen.mean_gain is None:
        why = f"with {len(training.classes)} classes nobody can tell what happens to pictures of others"
    else:
        why = "every head finds pictures of classes without a label worse than before"
    raise UsageError(f"{training.label}: {why}: --closed-set stores it all the same")
