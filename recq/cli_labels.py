"""Options of the commands of both programs that learn from labels: how a column becomes labels, and what is grouped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


@dataclass(frozen=True)
class LabelColumn:
    """How the values of a field become labels: what `recq.learn.labels.LabelRules.read` takes."""

    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="SEPARATOR",
            show_default=False,
            help="The field holds lists written with this separator. Example: --split ,",
        ),
    ] = None
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="A,B",
            show_default=False,
            help="Learn these labels alone. Example: --keep sofa,chair,table",
        ),
    ] = None
    mapping: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            show_default=False,
            help="A CSV file of values and their labels, which folds many into few; a blank label drops the value. "
            "Example: --map genres.csv",
        ),
    ] = None
    drop_small: Annotated[
        bool,
        typer.Option("--drop-small", help="Leave out classes of fewer than 5 items. Example: --drop-small"),
    ] = False


def views_option(completion: Callable[..., list[str]] | None = None) -> Any:
    """`--group-by` of a command that learns."""
    return typer.Option(
        "--group-by",
        metavar="FIELD",
        autocompletion=completion,
        show_default=False,
        help="Items of one value are views of one thing, which are learned or measured together. "
        "Example: --group-by sku",
    )
