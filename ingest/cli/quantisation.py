"""The command of `recq-ingest` that has a Qdrant server keep vectors small."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_options import json_option
from recq.cli_progress import bar
from recq.errors import ItemsFailed, UsageError
from recq.paths import printable
from recq.signals import INTERRUPTED

_PROG = "recq-ingest"


class KindChoice(StrEnum):
    """`recq.index.quantisation.Kind`, and none."""

    INT8 = "int8"
    TURBO = "turbo"
    PRODUCT = "product"
    BINARY = "binary"
    NONE = "none"


class OriginalsChoice(StrEnum):
    """Where the originals are."""

    DISK = "disk"
    MEMORY = "memory"


@grouped
def quantise(
    *,
    kind: Annotated[
        KindChoice,
        typer.Option(
            show_default=False,
            help="What a number becomes: int8 (the default), turbo (4 bits; a server from 1.18 on), product or binary "
            "(2 bits), none (switches it off). Example: --kind int8",
        ),
    ] = KindChoice.INT8,
    oversampling: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            show_default=False,
            help="How many times as many candidates as answers are compared by their originals. "
            "Example: --oversampling 4",
        ),
    ] = None,
    originals: Annotated[
        OriginalsChoice,
        typer.Option(
            show_default=False,
            help="Where the originals are: disk (the default), or memory, which saves none and is only faster. "
            "Example: --originals memory",
        ),
    ] = OriginalsChoice.DISK,
    measure: Annotated[
        bool, typer.Option("--measure", help="Only measure. Example: recq-ingest quantise --measure")
    ] = False,
    queries: Annotated[
        int,
        typer.Option(
            "--queries", metavar="N", min=1, help="Items that recall is measured with. Example: --queries 500"
        ),
    ] = 200,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Switch it on whatever was measured. Example: recq-ingest quantise --kind binary --force"
        ),
    ] = False,
    json_: Annotated[bool, json_option("recq-ingest", "quantise")] = False,
    index: Index,
) -> int:
    """Have a Qdrant server keep vectors in a quarter of the memory, after the recall was measured on the catalog's own.

    Nothing is switched on where fewer than 99 % of the true ten nearest are found (exit code 3). Questions are answered
    meanwhile. `--kind none` switches it off again.
    """
    if measure and (force or kind is KindChoice.NONE):
        raise UsageError("--measure switches nothing on or off: leave out --force and --kind none, or --measure")
    settings = index.settings()
    from recq.index.quantisation import Kind, Quantised
    from recq.operate.quantise import keep_whole, memory_line, quantise_catalog, recall_line, refusal

    try:
        with bar() as progress:
            if kind is KindChoice.NONE:
                was_on = keep_whole(settings, progress)
                found = None
            else:
                on_disk = originals is OriginalsChoice.DISK
                wanted = Quantised.of_kind(Kind(kind.value), oversampling, on_disk=on_disk)
                found = quantise_catalog(
                    settings, wanted, queries=queries, only_measure=measure, force=force, progress=progress
                )
    except KeyboardInterrupt:
        complain(_PROG, "interrupted: what the server was asked for it goes on with")
        return INTERRUPTED
    name = printable(settings.catalog)
    if found is None:
        done = {"catalog": settings.catalog, "switched": was_on}
        said = f"catalog {name} keeps whole vectors again" if was_on else f"catalog {name} was not quantised"
        typer.echo(json.dumps(done, ensure_ascii=False, indent=2) if json_ else said)
        return 0
    if json_:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        typer.echo(f"catalog {name}, {kind}: {recall_line(found)}")
        typer.echo(memory_line(found))
        if found.switched:
            typer.echo(f"switched on: {name} is searched so from now on")
    if measure or found.switched:
        return 0
    complain(_PROG, refusal(found))
    return ItemsFailed.exit_code
