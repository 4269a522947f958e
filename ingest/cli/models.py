"""The group of commands `recq-ingest models`: by itself it lists the networks and trained spaces that there are.

`ingest.cli.main` adds it to the program; a command of the group is added to `models`. Modules that are slow to import
are imported where they are used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recq.cli_errors import complain
from recq.cli_groups import WholeIndex, grouped
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.commands import command
from recq.paths import printable

if TYPE_CHECKING:
    from ingest.service.models import Model, Models
    from recq.display.table import TextTable
    from recq.models.trained import TrainedNetwork

PROG = "recq-ingest"

models = typer.Typer(name="models", add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)


@models.callback()
@grouped
def list_(
    *,
    context: typer.Context,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure how fast each network is on this machine, two or three seconds each, and keep that. "
            "Example: recq-ingest models --measure",
        ),
    ] = False,
    json_: Annotated[bool, json_option(PROG, "models")] = False,
    index: WholeIndex,
) -> None:
    """The networks of this machine and the trained spaces of the index: size, speed, quality, which catalog uses which.

    Nothing is measured or loaded unless asked for. Where the index does not answer, the networks alone are listed.
    """
    if context.invoked_subcommand is not None:
        return
    settings = index.settings()
    from ingest.service.models import list_models

    with bar() as progress:
        found = list_models(settings, measure=measure, progress=progress)
    if json_:
        typer.echo(json.dumps([each.to_json() for each in found.models], ensure_ascii=False, indent=2))
    else:
        from recq.display.layout import plain

        typer.echo(plain(models_table(found)), nl=False)
    _remark(found, measured=measure)


@models.command()
@grouped
def export(
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", show_default=False, help="The network that was trained. Example: genres")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="The file to be written. Example: genres.keras")
    ],
    json_: Annotated[bool, json_option(PROG, "models export genres genres.keras")] = False,
    index: WholeIndex,
) -> None:
    """Write a network that was trained here into one file, for another machine."""
    from recq.models.trained import export_trained

    _tell(export_trained(name, file.expanduser(), index.settings()), as_json=json_)


@models.command("import")
@grouped
def import_(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="What export wrote. Example: genres.keras")
    ],
    json_: Annotated[bool, json_option(PROG, "models import genres.keras")] = False,
    index: WholeIndex,
) -> None:
    """Take over a network that was trained on another machine, after its digests have been compared."""
    from recq.models.trained import import_trained

    _tell(import_trained(file.expanduser(), index.settings()), as_json=json_)


def _tell(network: TrainedNetwork, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(network.to_json(), ensure_ascii=False, indent=2))
        return
    base = "from scratch" if network.base is None else f"from {network.base}"
    typer.echo(
        f"{network.model} [{network.weights}]: {printable(network.field)}, {len(network.labels):,} labels, "
        f"{network.size} px {network.resize}, {printable(base)}, {network.made_at}"
    )


def models_table(found: Models) -> TextTable:
    """A row for each."""
    from recq.display.table import TextTable

    header = ("model", "kind", "sees", "numbers", "bytes", "pictures/s", "mAP, %", "catalogs")
    rows = tuple(
        (
            printable(each.name),
            each.kind,
            _sees(each),
            f"{each.numbers:,}" if each.numbers else "",
            "" if each.bytes is None else f"{each.bytes:,}",
            "" if each.speed is None else f"{each.speed:,.0f}",
            _quality(each),
            ", ".join(map(printable, each.catalogs)),
        )
        for each in found.models
    )
    right = tuple(name in ("numbers", "bytes", "pictures/s") for name in header)
    return TextTable(header, rows, right, one_line=True, names="model")


def _sees(model: Model) -> str:
    return " ".join(part for part in (f"{model.size} px" if model.size else "", model.precision or "") if part)


def _quality(model: Model) -> str:
    if model.quality is None:
        return ""
    return " -> ".join(f"{100 * model.quality[end]['map']['mean']:.1f}" for end in ("before", "after"))


def _remark(found: Models, *, measured: bool) -> None:
    for each in found.models:
        if each.problem is not None:
            complain(PROG, f"{each.name}: {each.problem}")
    if found.problem is not None:
        complain(PROG, f"without the catalogs: {found.problem}")
    unmeasured = any(each.speed is None for each in found.models if each.kind in ("shipped", "cached"))
    if unmeasured and not measured:
        complain(PROG, f"not every network was measured on this machine: {command(PROG, 'models', '--measure')}")
